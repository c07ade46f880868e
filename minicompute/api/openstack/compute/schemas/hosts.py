from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_SWITCH = {'type': 'string', 'enum': ['enable', 'disable', 'Enable', 'Disable', 'ENABLE', 'DISABLE']}
update = Schemas({'2.1': {**types.closed({'status': _SWITCH, 'maintenance_mode': _SWITCH}),
                          'anyOf': [{'required': ['status']}, {'required': ['maintenance_mode']}]}})
index_query = Schemas({'2.1': types.query({'zone': types.many(types.QUERY_TEXT)})})
no_query = Schemas({'2.1': types.query({})})


def _row(**properties: types.Schema) -> types.Schema:
    return types.closed(properties, required=list(properties))


index_answer = Schemas({'2.1': types.single('hosts', {'type': 'array', 'items': _row(
    host_name=types.STRING, service=types.NULLABLE_STRING, zone=types.STRING)})})
show_answer = Schemas({'2.1': types.single('host', {'type': 'array', 'items': types.single('resource', _row(
    host=types.STRING, project=types.STRING, cpu=types.INTEGER, memory_mb=types.INTEGER, disk_gb=types.INTEGER))})})
update_answer = Schemas({'2.1': types.closed(
    {'host': types.STRING, 'status': {'enum': ['enabled', 'disabled']}}, required=['host'])})
