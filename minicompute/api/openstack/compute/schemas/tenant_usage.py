from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types
from minicompute.objects import VMState

_period = {'start': types.many(types.QUERY_TEXT), 'end': types.many(types.QUERY_TEXT)}
_index = {**_period, 'detailed': types.many(types.QUERY_TEXT)}


def _queries(known: types.Schema) -> Schemas:
    paged = {**known, **types.PAGING}
    return Schemas({'2.1': types.query(known), '2.40': types.query(paged), '2.75': types.query(paged, strict=True)})


index_query, show_query = _queries(_index), _queries(_period)

_HOURS = {'type': 'number', 'minimum': 0}
_AMOUNT = {'type': 'integer', 'minimum': 0}
_STATES = [value for name, value in vars(VMState).items() if name.isupper() and isinstance(value, str)]
_server = {
    'ended_at': types.NULLABLE_DATE_TIME, 'flavor': types.STRING, 'hours': _HOURS, 'instance_id': types.UUID,
    'local_gb': _AMOUNT, 'memory_mb': _AMOUNT, 'name': types.STRING, 'started_at': types.DATE_TIME,
    'state': {'type': 'string', 'enum': [*_STATES, 'terminated']}, 'tenant_id': types.STRING, 'uptime': _AMOUNT,
    'vcpus': _AMOUNT}
_servers = {'type': 'array', 'items': types.closed(_server, required=list(_server))}
_project = {
    'start': types.DATE_TIME, 'stop': types.DATE_TIME, 'tenant_id': types.STRING, 'total_hours': _HOURS,
    'total_local_gb_usage': _HOURS, 'total_memory_mb_usage': _HOURS, 'total_vcpus_usage': _HOURS}
_brief = types.closed({**_project, 'server_usages': _servers}, required=list(_project))
_full = types.closed({**_project, 'server_usages': _servers}, required=[*_project, 'server_usages'])


def _answers(name: str, value: types.Schema) -> Schemas:
    first = types.single(name, value)
    return Schemas({'2.1': first, '2.40': types.extended(
        first, **{f'{name}_links': types.LINKS})})     # type: ignore[arg-type]


index_answer = _answers('tenant_usages', {'type': 'array', 'items': _brief})
# A project that used nothing has an empty object.
show_answer = _answers('tenant_usage', {'anyOf': [_full, types.NOTHING]})
