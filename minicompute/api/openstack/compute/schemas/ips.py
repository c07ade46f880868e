from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_by_network = {'type': 'object', 'additionalProperties': {'type': 'array', 'items': types.closed(
    {'version': {'enum': [4, 6]}, 'addr': types.STRING}, required=['version', 'addr'])}}
index = Schemas({'2.1': types.single('addresses', _by_network)})
show = Schemas({'2.1': {**_by_network, 'minProperties': 1, 'maxProperties': 1}})
