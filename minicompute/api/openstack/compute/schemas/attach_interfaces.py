from __future__ import annotations

from minicompute.api.openstack.compute.schemas.servers import TAG
from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types
from minicompute.api.validation.parameter_types import Schema

query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

_asked: Schema = {
    'net_id': types.UUID, 'port_id': types.UUID,
    'fixed_ips': {'type': 'array', 'minItems': 1, 'maxItems': 1,
                  'items': types.closed({'ip_address': types.IP}, required=['ip_address'])}}
# The body may be empty: then the server gets a card of the only network there is.
create = Schemas({
    '2.1': types.closed({'interfaceAttachment': types.closed(_asked)}),
    '2.49': types.closed({'interfaceAttachment': types.closed({**_asked, 'tag': TAG})})})

_shown: Schema = {
    'net_id': types.UUID, 'port_id': types.UUID, 'mac_addr': types.MAC, 'port_state': types.STRING,
    'fixed_ips': {'type': ['array', 'null'], 'items': types.closed(
        {'ip_address': types.IP, 'subnet_id': types.UUID}, required=['ip_address', 'subnet_id'])}}
_one = types.closed(_shown, required=sorted(_shown))
_one_2_70 = types.closed({**_shown, 'tag': types.NULLABLE_STRING}, required=[*sorted(_shown), 'tag'])
answer = Schemas({version: types.single('interfaceAttachment', one) for version, one in (
    ('2.1', _one), ('2.70', _one_2_70))})
index = Schemas({version: types.single('interfaceAttachments', {'type': 'array', 'items': one}) for version, one in (
    ('2.1', _one), ('2.70', _one_2_70))})
