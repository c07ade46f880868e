"""Query strings and answers of /minicompute/v1/. (The body of a placement is that of a create.)"""
from __future__ import annotations

from minicompute.api.openstack.common import STATUS
from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

STATUSES = sorted({status for row in STATUS.values() for status in row.values()})
LONGEST_WAIT = 3600

_NULLABLE_INTEGER: types.Schema = {'type': ['integer', 'null']}
_COUNT: types.Schema = {'type': 'integer', 'minimum': 0}
_FLAG = types.once({'type': 'string', 'enum': ['0', '1', 'true', 'false', 'True', 'False']})

# -- events --------------------------------------------------------------------

follow_query = Schemas({'2.1': types.query({
    'server_id': types.once(types.UUID), 'all_projects': _FLAG, 'last_event_id': types.once(types.QUERY_NUMBER)},
    strict=True)})

wait_query = Schemas({'2.1': {**types.query({
    'status': types.once({'type': 'string', 'enum': STATUSES + [status.lower() for status in STATUSES]}),
    'timeout': types.once({'type': 'string', 'pattern': types.whole('[0-9]{1,4}')})}, strict=True),
    'required': ['status']}})
wait_answer = Schemas({'2.1': types.closed({
    'server': types.closed({
        'id': types.UUID, 'name': types.NULLABLE_STRING, 'status': types.STRING, 'task_state': types.NULLABLE_STRING,
        'power_state': _NULLABLE_INTEGER}),
    'reached': {'type': 'boolean'}, 'reason': {'type': 'string', 'enum': ['status', 'error', 'deleted', 'timeout']}},
    required=['server', 'reached', 'reason'])})

# -- placement -----------------------------------------------------------------

_FUNNEL = types.closed({
    'total': _COUNT,
    'stages': {'type': 'array', 'items': types.closed({'name': types.STRING, 'left': _COUNT}, ['name', 'left'])}},
    required=['total', 'stages'])
_CHANGE = types.closed({
    'without': {'type': 'array', 'items': types.closed(
        {'filter': types.STRING, 'what': types.NULLABLE_STRING, 'reason': types.STRING},
        ['filter', 'what', 'reason'])},
    'more': {'type': 'array', 'items': types.closed(
        {'resource': types.STRING, 'amount': {'type': 'integer', 'minimum': 1}, 'unit': types.STRING},
        ['resource', 'amount', 'unit'])},
    'hosts': {'type': 'integer', 'minimum': 1}, 'host': types.STRING, 'text': types.STRING},
    required=['without', 'more', 'hosts', 'text'])
_FOUND = types.closed({
    'fits': {'type': 'boolean'}, 'servers': _COUNT, 'servers_that_fit': _COUNT,
    'quota': types.closed({'fits': {'type': 'boolean'}, 'reason': types.NULLABLE_STRING}, ['fits', 'reason']),
    'funnel': {'oneOf': [_FUNNEL, types.NULL]}, 'hosts_chosen': _COUNT,
    'hosts': {'type': 'array', 'items': types.STRING}, 'changes': {'type': 'array', 'items': _CHANGE},
    'text': types.STRING},
    required=['fits', 'servers', 'servers_that_fit', 'quota', 'funnel', 'hosts_chosen', 'changes', 'text'])
explain_answer = Schemas({'2.1': types.single('placement', _FOUND)})
placed_answer = Schemas({'2.1': types.single('placement', types.closed({
    'server_id': types.UUID, 'placed': {'type': 'boolean'}, 'host': types.NULLABLE_STRING,
    'attempts': {'type': 'array', 'items': types.closed(
        {'action': types.STRING, 'request_id': types.STRING, 'time': types.NULLABLE_DATE_TIME, 'funnel': _FUNNEL},
        ['action', 'request_id', 'time', 'funnel'])},
    'now': {'oneOf': [_FOUND, types.NULL]}, 'now_unknown': types.NULLABLE_STRING},
    required=['server_id', 'placed', 'attempts', 'now', 'now_unknown']))})

# -- summary -------------------------------------------------------------------

summary_query = Schemas({'2.1': types.query({'all_projects': _FLAG}, strict=True)})
_COUNTS = types.closed({'servers': _COUNT, 'vcpus': _COUNT, 'memory_mb': _COUNT}, ['servers', 'vcpus', 'memory_mb'])
_GROUPS: types.Schema = {'type': 'object', 'additionalProperties': _COUNTS}
summary_answer = Schemas({'2.1': types.single('summary', types.closed(
    {'total': _COUNTS, 'status': _GROUPS, 'task_state': _GROUPS, 'flavor': _GROUPS, 'project': _GROUPS,
     'host': _GROUPS}, ['total', 'status', 'task_state', 'flavor', 'project']))})
