from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_TEXT: types.Schema = {'type': 'string', 'minLength': 1, 'format': 'text'}
_info = types.closed({'snapshot_id': _TEXT, 'type': {'type': 'string', 'enum': ['qcow2']}, 'new_file': _TEXT,
                      'id': _TEXT}, required=['snapshot_id', 'type', 'new_file'])
create = Schemas({'2.1': types.single('snapshot', types.closed(
    {'volume_id': _TEXT, 'create_info': _info}, required=['volume_id', 'create_info']))})
created = Schemas({'2.1': types.single('snapshot', types.closed(
    {'id': types.NULLABLE_UUID, 'volumeId': types.UUID}, required=['id', 'volumeId']))})

_delete: types.Schema = {'delete_info': types.many(types.QUERY_TEXT)}
delete_query = Schemas({'2.1': types.query(_delete), '2.75': types.query(_delete, strict=True)})
nothing = Schemas({'2.1': types.NULL})
