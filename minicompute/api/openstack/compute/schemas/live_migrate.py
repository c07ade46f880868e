"""Bodies of live migrations and evacuations."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_HOST = {**types.FQDN, 'minLength': 1}
_HOST_OR_NONE = {**_HOST, 'type': ['string', 'null']}
_AUTO = {**types.BOOLEAN, 'enum': [*types.BOOLEAN['enum'], 'auto']}

_live_2_25 = types.closed({'block_migration': _AUTO, 'host': _HOST_OR_NONE}, required=['block_migration', 'host'])
migrate_live = Schemas({
    '2.1': types.single('os-migrateLive', types.closed(
        {'block_migration': types.BOOLEAN, 'disk_over_commit': types.BOOLEAN, 'host': _HOST_OR_NONE},
        required=['block_migration', 'disk_over_commit', 'host'])),
    '2.25': types.single('os-migrateLive', _live_2_25),
    '2.30': types.single('os-migrateLive', types.extended(_live_2_25, force=types.BOOLEAN)),
    '2.68': types.single('os-migrateLive', _live_2_25)})

force_complete = Schemas({'2.22': types.single('force_complete', types.NULL)})

_evacuate = types.closed({'host': _HOST, 'adminPass': types.PASSWORD})
evacuate = Schemas({
    '2.1': types.single('evacuate', types.extended(
        _evacuate, onSharedStorage=types.BOOLEAN, required=['onSharedStorage'])),
    '2.14': types.single('evacuate', _evacuate),
    '2.29': types.single('evacuate', types.extended(_evacuate, force=types.BOOLEAN)),
    '2.68': types.single('evacuate', _evacuate)})
evacuate_answer = Schemas({
    '2.1': {**types.closed({'adminPass': types.NULLABLE_STRING}), 'type': ['object', 'null']},
    '2.14': types.NULL})
