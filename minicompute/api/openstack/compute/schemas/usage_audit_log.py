from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

_COUNT = {'type': 'integer', 'minimum': 0}
_host = {'instances': _COUNT, 'errors': _COUNT, 'message': types.STRING, 'state': {'enum': ['RUNNING', 'DONE']}}
_log = {
    'hosts_not_run': {'type': 'array', 'items': types.STRING},
    'log': {'type': 'object', 'additionalProperties': types.closed(_host, required=list(_host))},
    'num_hosts': _COUNT, 'num_hosts_done': _COUNT, 'num_hosts_not_run': _COUNT, 'num_hosts_running': _COUNT,
    'overall_status': types.STRING, 'period_beginning': types.DATE_TIME, 'period_ending': types.DATE_TIME,
    'total_errors': _COUNT, 'total_instances': _COUNT}
_closed = types.closed(_log, required=list(_log))
index_answer = Schemas({'2.1': types.single('instance_usage_audit_logs', _closed)})
show_answer = Schemas({'2.1': types.single('instance_usage_audit_log', _closed)})
