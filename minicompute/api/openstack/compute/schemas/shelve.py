"""Bodies of shelve, shelveOffload and unshelve."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

Schema = types.Schema

# What the value of these was never mattered: clients send null, {} and more.
shelve = Schemas({'2.1': types.single('shelve', {})})
shelve_offload = Schemas({'2.1': types.single('shelveOffload', {})})

_ZONE: Schema = types.AVAILABILITY_ZONE


def _unshelve(properties: Schema, required: list[str] | None = None) -> Schema:
    return types.single('unshelve', {**types.closed(properties, required=required), 'type': ['object', 'null']})


unshelve = Schemas({
    '2.1': types.single('unshelve', {}),
    '2.77': _unshelve({'availability_zone': _ZONE}, ['availability_zone']),
    '2.91': _unshelve({'availability_zone': {**_ZONE, 'type': ['string', 'null']},
                       'host': {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'text'}})})
nothing = Schemas({'2.1': types.NULL})
