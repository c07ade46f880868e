from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_TAG: types.Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'pattern': types.whole('[a-zA-Z0-9-]*')}

query = Schemas({'2.97': types.query({}, strict=True)})
create = Schemas({'2.97': types.single('share', types.closed(
    {'share_id': types.UUID, 'tag': _TAG}, required=['share_id']))})

_share = types.closed({
    'share_id': types.UUID, 'tag': _TAG, 'uuid': types.UUID, 'export_location': types.STRING,
    'status': {'enum': ['active', 'inactive', 'attaching', 'detaching', 'error']}},
    required=['share_id', 'status', 'tag'])
index = Schemas({'2.97': types.single('shares', {'type': 'array', 'items': _share})})
show = Schemas({'2.97': types.single('share', _share)})
nothing = Schemas({'2.97': types.NULL})
