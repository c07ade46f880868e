from __future__ import annotations

from minicompute.api.openstack.compute.schemas.servers import TAG
from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types
from minicompute.api.validation.parameter_types import Schema

_pages: Schema = {'limit': types.many(types.QUERY_NUMBER), 'offset': types.many(types.QUERY_NUMBER)}
index_query = Schemas({'2.1': types.query(_pages), '2.75': types.query(_pages, strict=True)})
show_query = Schemas({'2.1': types.query({})})      # never refused any

_DEVICE: Schema = {'type': ['string', 'null'], 'maxLength': 255,
                   'pattern': types.whole('/dev/x?[a-z]?d?[a-z]+[0-9]*')}


def _attachment(**properties: Schema) -> Schema:
    return types.single('volumeAttachment', types.closed({'volumeId': types.UUID, **properties}, required=['volumeId']))


create = Schemas({
    '2.1': _attachment(device=_DEVICE),
    '2.49': _attachment(device=_DEVICE, tag=TAG),
    '2.79': _attachment(device=_DEVICE, tag=TAG, delete_on_termination=types.BOOLEAN)})
# From 2.85 what GET shows may be sent back, though little of it can be changed.
update = Schemas({
    '2.1': _attachment(),
    '2.85': _attachment(device=_DEVICE, tag=TAG, delete_on_termination=types.BOOLEAN, serverId=types.UUID,
                        id=types.UUID)})

_shown: Schema = {'volumeId': types.UUID, 'serverId': types.UUID, 'device': _DEVICE}
_named: Schema = {**_shown, 'id': types.UUID}
_tagged: Schema = {**_named, 'tag': types.NULLABLE_STRING}
_bound: Schema = {**_tagged, 'delete_on_termination': types.BOOLEAN}
_latest: Schema = {**{name: schema for name, schema in _bound.items() if name != 'id'},
                   'attachment_id': types.NULLABLE_UUID, 'bdm_uuid': types.UUID}


def _one(properties: Schema, *optional: str) -> Schema:
    return types.closed(properties, required=sorted(set(properties) - set(optional)))


_by_version = (('2.1', _named), ('2.70', _tagged), ('2.79', _bound), ('2.89', _latest))
index = Schemas({version: types.single('volumeAttachments', {'type': 'array', 'items': _one(shown, 'device')})
                 for version, shown in _by_version})
show = Schemas({version: types.single('volumeAttachment', _one(shown, 'device')) for version, shown in _by_version})
created = Schemas({**{version: types.single('volumeAttachment', _one(shown)) for version, shown in _by_version[:3]},
                   '2.101': types.NULL})
