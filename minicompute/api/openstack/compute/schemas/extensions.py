from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

_TEXTS = ('alias', 'name', 'description', 'namespace', 'updated')
_extension = types.closed({**{name: types.STRING for name in _TEXTS}, 'links': {'type': 'array', 'maxItems': 0}},
                          required=[*_TEXTS, 'links'])
index_answer = Schemas({'2.1': types.single('extensions', {'type': 'array', 'items': _extension})})
show_answer = Schemas({'2.1': types.single('extension', _extension)})
