from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

# A colon would part it from a host in the availability_zone of a create.
_ZONE = {**types.AVAILABILITY_ZONE, 'type': ['string', 'null'], 'pattern': types.whole('[^:]*')}
_ZONE_WITH_SPACES = {**_ZONE, 'format': 'name_with_spaces'}


def _create(name: types.Schema, zone: types.Schema) -> types.Schema:
    return types.single('aggregate', types.closed({'name': name, 'availability_zone': zone}, required=['name']))


create = Schemas({'2.0': _create(types.NAME_WITH_SPACES, _ZONE_WITH_SPACES), '2.1': _create(types.NAME, _ZONE)})


def _update(zone: types.Schema) -> types.Schema:
    changes = types.closed({'name': types.NAME_WITH_SPACES, 'availability_zone': zone})
    return types.single('aggregate', {
        **changes, 'anyOf': [{'required': ['name']}, {'required': ['availability_zone']}]})


update = Schemas({'2.0': _update(_ZONE_WITH_SPACES), '2.1': _update(_ZONE)})

_HOST = types.single('host', types.HOSTNAME)
add_host = Schemas({'2.1': types.single('add_host', _HOST)})
remove_host = Schemas({'2.1': types.single('remove_host', _HOST)})
set_metadata = Schemas({'2.1': types.single('set_metadata', types.single('metadata', types.METADATA_WITH_NULL))})
images = Schemas({'2.81': types.single('cache', {
    'type': 'array', 'minItems': 1, 'items': types.single('id', types.UUID)})})

_short = {'id': types.INTEGER, 'name': types.STRING, 'availability_zone': types.NULLABLE_STRING,
          'created_at': types.DATE_TIME, 'updated_at': types.NULLABLE_DATE_TIME, 'deleted': {'type': 'boolean'},
          'deleted_at': types.NULL}
_more = {'hosts': {'type': 'array', 'items': types.STRING}, 'metadata': {'type': 'object'}}


def _shown(properties: types.Schema) -> dict[str, types.Schema]:
    with_uuid = {**properties, 'uuid': types.UUID}
    return {'2.1': types.closed(properties, required=list(properties)),
            '2.41': types.closed(with_uuid, required=list(with_uuid))}


create_answer = Schemas({version: types.single('aggregate', row) for version, row in _shown(_short).items()})
show_answer = Schemas({version: types.single('aggregate', row)
                       for version, row in _shown({**_short, **_more}).items()})
index_answer = Schemas({version: types.single('aggregates', {'type': 'array', 'items': row})
                        for version, row in _shown({**_short, **_more}).items()})
