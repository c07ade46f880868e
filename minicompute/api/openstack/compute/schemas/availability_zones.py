from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

_service = types.closed({'active': {'type': 'boolean'}, 'available': {'type': 'boolean'},
                         'updated_at': types.NULLABLE_DATE_TIME}, required=['active', 'available', 'updated_at'])
_hosts = {'type': 'object', 'additionalProperties': {'type': 'object', 'additionalProperties': _service}}
_zone = types.closed({
    'zoneName': types.STRING, 'zoneState': types.single('available', {'type': 'boolean'}),
    'hosts': {'anyOf': [types.NULL, _hosts]}}, required=['zoneName', 'zoneState', 'hosts'])
answer = Schemas({'2.1': types.single('availabilityZoneInfo', {'type': 'array', 'items': _zone})})
