from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_text = types.many(types.QUERY_TEXT)
_number = types.many(types.QUERY_NUMBER)


class _WithProperties(dict[str, types.Schema]):
    """property-NAME is known for every NAME."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and name.startswith('property-'))


query = Schemas({'2.1': types.query(_WithProperties({
    'name': _text, 'status': _text, 'server': _text, 'type': _text, 'minRam': _number, 'minDisk': _number,
    'changes-since': types.many(types.DATE_TIME), 'offset': _number, 'page_size': _number, **types.PAGING}))})
nothing = Schemas({'2.1': types.query({})})

_brief = types.closed({'id': types.STRING, 'name': types.NULLABLE_STRING, 'links': types.LINKS},
                      required=['id', 'name', 'links'])
_server = types.closed({'id': types.STRING, 'links': types.LINKS}, required=['id', 'links'])
_full = types.extended(_brief, required=['id', 'name', 'links', 'minRam', 'minDisk', 'metadata', 'created',
                                         'updated', 'status', 'progress'],
                       minRam=types.INTEGER, minDisk=types.INTEGER, metadata={'type': 'object'}, created=types.STRING,
                       updated=types.STRING, status=types.STRING, progress=types.INTEGER, server=_server,
                       **{'OS-EXT-IMG-SIZE:size': {'type': ['integer', 'null']},
                          'OS-DCF:diskConfig': {'enum': ['AUTO', 'MANUAL']}})


def _page(row: types.Schema) -> types.Schema:
    return types.closed({'images': {'type': 'array', 'items': row}, 'images_links': types.LINKS},
                        required=['images'])


index = Schemas({'2.1': _page(_brief)})
detail = Schemas({'2.1': _page(_full)})
show = Schemas({'2.1': types.single('image', _full)})
