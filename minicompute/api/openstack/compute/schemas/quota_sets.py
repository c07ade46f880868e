"""Of os-quota-sets and os-quota-class-sets, which part at 2.36 and 2.50."""
from __future__ import annotations

from collections.abc import Collection

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

NETWORK = ('fixed_ips', 'floating_ips', 'security_group_rules', 'security_groups')
INJECTED = ('injected_file_content_bytes', 'injected_file_path_bytes', 'injected_files')
GROUPS = ('server_group_members', 'server_groups')
_SERVERS = ('cores', 'instances', 'key_pairs', 'metadata_items', 'ram')

#: version -> the resources that a request may name and an answer shows
SETS = {'2.1': (*_SERVERS, *GROUPS, *INJECTED, *NETWORK), '2.36': (*_SERVERS, *GROUPS, *INJECTED),
        '2.57': (*_SERVERS, *GROUPS)}
CLASSES = {'2.1': (*_SERVERS, *INJECTED, *NETWORK), '2.50': (*_SERVERS, *GROUPS, *INJECTED),
           '2.57': (*_SERVERS, *GROUPS)}

_LIMIT = {'type': ['integer', 'string'], 'minimum': -1, 'maximum': types.MAX_INTEGER, 'format': 'limit_int'}
_SHOWN = {'type': 'integer', 'minimum': -1}
_USED = types.closed({'in_use': _SHOWN, 'limit': _SHOWN, 'reserved': _SHOWN}, required=['in_use', 'limit', 'reserved'])
_ID = {'id': types.STRING}


def _request(key: str, names: Collection[str], **more: types.Schema) -> types.Schema:
    return types.single(key, types.closed({**dict.fromkeys(names, _LIMIT), **more}))


def _answer(key: str, names: Collection[str], value: types.Schema = _SHOWN, **more: types.Schema) -> types.Schema:
    return types.single(key, types.closed({**dict.fromkeys(names, value), **more}, required=[*names, *more]))


update = Schemas({version: _request('quota_set', names, force=types.BOOLEAN) for version, names in SETS.items()})
show_answer = Schemas({version: _answer('quota_set', names, **_ID) for version, names in SETS.items()})
detail_answer = Schemas({version: _answer('quota_set', names, _USED, **_ID) for version, names in SETS.items()})
update_answer = Schemas({version: _answer('quota_set', names) for version, names in SETS.items()})

_user = {'user_id': types.many(types.QUERY_TEXT)}
query = Schemas({'2.1': types.query(_user), '2.75': types.query(_user, strict=True)})
defaults_query = Schemas({'2.1': types.query({})})      # which no version made strict

# A class may be given the limits of groups before 2.50 shows them.
update_class = Schemas({version: _request('quota_class_set', sorted({*names, *GROUPS}))
                        for version, names in CLASSES.items()})
class_answer = Schemas({version: _answer('quota_class_set', names, **_ID) for version, names in CLASSES.items()})
update_class_answer = Schemas({version: _answer('quota_class_set', names) for version, names in CLASSES.items()})
class_query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})
