from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_HARD = ['anti-affinity', 'affinity']
_ALL = [*_HARD, 'soft-anti-affinity', 'soft-affinity']


def _policies(*known: str) -> types.Schema:
    return {'type': 'array', 'items': {'enum': list(known)}, 'minItems': 1, 'maxItems': 1}


_create_2_1 = types.single('server_group', types.closed(
    {'name': types.NAME, 'policies': _policies(*_HARD)}, required=['name', 'policies']))
_create_2_15 = types.extended(_create_2_1, 'server_group', policies=_policies(*_ALL))
_create_2_64 = types.single('server_group', types.closed(
    {'name': types.NAME, 'policy': {'type': 'string', 'enum': _ALL},
     'rules': types.closed({'max_server_per_host': types.POSITIVE})}, required=['name', 'policy']))
create = Schemas({'2.1': _create_2_1, '2.15': _create_2_15, '2.64': _create_2_64})

_index = {'all_projects': types.many(types.QUERY_TEXT), 'limit': types.many(types.QUERY_NUMBER),
          'offset': types.many(types.QUERY_NUMBER)}
index_query = Schemas({'2.1': types.query(_index), '2.75': types.query(_index, strict=True)})
show_query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

_TEXTS = {'type': 'array', 'items': types.STRING}
_OWNER = {'project_id': types.STRING, 'user_id': types.STRING}
_base = {'id': types.STRING, 'name': types.STRING, 'members': _TEXTS}
_old = {**_base, 'policies': _TEXTS, 'metadata': {'type': 'object'}}
_new = {**_base, **_OWNER, 'policy': types.STRING, 'rules': {'type': 'object'}}
_GROUPS = {'2.1': types.closed(_old, required=list(_old)),
           '2.13': types.closed({**_old, **_OWNER}, required=[*_old, *_OWNER]),
           '2.64': types.closed(_new, required=list(_new))}
show_answer = Schemas({version: types.single('server_group', group) for version, group in _GROUPS.items()})
index_answer = Schemas({version: types.single('server_groups', {'type': 'array', 'items': group})
                        for version, group in _GROUPS.items()})
