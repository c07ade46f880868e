from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types


def _named(action: str) -> Schemas:
    """Nova lets other keys pass beside the action; the router of ours takes bodies with one key only."""
    return Schemas({'2.1': types.single(action, types.single('name', {
        'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'text'}))})


add = _named('addSecurityGroup')
remove = _named('removeSecurityGroup')

_rule = types.closed({
    'id': types.UUID, 'parent_group_id': types.UUID, 'ip_protocol': types.NULLABLE_STRING,
    'from_port': {'type': ['integer', 'null']}, 'to_port': {'type': ['integer', 'null']},
    'group': types.closed({'name': types.STRING, 'tenant_id': types.STRING}),
    'ip_range': types.closed({'cidr': types.STRING})},
    required=['id', 'parent_group_id', 'ip_protocol', 'from_port', 'to_port', 'group', 'ip_range'])
_group = types.closed({
    'id': types.UUID, 'name': types.STRING, 'description': types.NULLABLE_STRING, 'tenant_id': types.STRING,
    'rules': {'type': 'array', 'items': _rule}}, required=['id', 'name', 'description', 'tenant_id', 'rules'])
answer = Schemas({'2.1': types.single('security_groups', {'type': 'array', 'items': _group})})
one = Schemas({'2.1': types.single('security_group', _group)})
rule = Schemas({'2.1': types.single('security_group_rule', _rule)})

index_query = Schemas({'2.1': types.query({
    'limit': types.many(types.QUERY_NUMBER), 'offset': types.many(types.QUERY_NUMBER),
    'all_tenants': types.many(types.QUERY_TEXT)})})
_text = {'type': 'string', 'maxLength': 255, 'format': 'text'}


def _open(name: str, properties: types.Schema, required: list[str]) -> Schemas:
    """Other keys have always been let through here."""
    return Schemas({'2.1': {'type': 'object', 'required': [name], 'properties': {
        name: {'type': 'object', 'properties': properties, 'required': required}}}})


create = _open('security_group', {'name': _text, 'description': _text}, ['name', 'description'])
create_rule = _open('security_group_rule', {
    'parent_group_id': types.UUID, 'group_id': types.NULLABLE_UUID, 'from_port': {}, 'to_port': {}, 'ip_protocol': {},
    'cidr': {}}, ['parent_group_id'])
