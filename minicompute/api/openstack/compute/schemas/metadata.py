"""Metadata of servers and of images: one item, and all items."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

items = Schemas({'2.1': types.single('metadata', types.METADATA)})
item = Schemas({'2.1': types.single('meta', {**types.METADATA, 'minProperties': 1, 'maxProperties': 1})})

# What an image says may be longer than what a user may write.
_ANY = {'type': 'object', 'additionalProperties': types.STRING}
image_items = Schemas({'2.1': types.single('metadata', _ANY)})
image_item = Schemas({'2.1': types.single('meta', _ANY)})
no_query = Schemas({'2.1': types.query({})})
