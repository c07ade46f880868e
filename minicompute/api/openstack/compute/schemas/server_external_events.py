from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types
from minicompute.api.validation.parameter_types import Schema

_NAMES = {
    '2.1': ('network-changed', 'network-vif-plugged', 'network-vif-unplugged', 'network-vif-deleted'),
    '2.51': ('volume-extended',), '2.76': ('power-update',), '2.82': ('accelerator-request-bound',),
    '2.93': ('volume-reimaged',)}
_common: Schema = {'server_uuid': types.UUID, 'tag': {'type': 'string', 'maxLength': 255, 'format': 'text'},
                   'status': {'type': 'string', 'enum': ['failed', 'completed', 'in-progress']}}


def _events(required: list[str], **more: Schema) -> Schemas:
    known: tuple[str, ...] = ()
    table = {}
    for version, names in _NAMES.items():
        known += names
        item = types.closed({'name': {'type': 'string', 'enum': list(known)}, **_common, **more}, required=required)
        table[version] = types.single('events', {'type': 'array', 'minItems': 1, 'items': item})
    return Schemas(table)


create = _events(['name', 'server_uuid'])
answer = _events(['code', 'name', 'server_uuid', 'status'], code={'type': 'integer', 'enum': [200, 400, 404, 422]})
