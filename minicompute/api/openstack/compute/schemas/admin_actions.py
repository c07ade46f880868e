"""Bodies of what owners and operators do to servers besides running them."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_REASON = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'text'}
_lock_2_73 = types.single('lock', {**types.closed({'locked_reason': _REASON}), 'type': ['object', 'null']})
lock = Schemas({'2.1': types.single('lock', {}), '2.73': _lock_2_73})
unlock = Schemas({'2.1': types.single('unlock', {})})

reset_state = Schemas({'2.1': types.single('os-resetState', types.single(
    'state', {'type': 'string', 'enum': ['active', 'error']}))})
inject_network_info = Schemas({'2.1': types.single('injectNetworkInfo', {})})

restore = Schemas({'2.1': types.single('restore', {})})
