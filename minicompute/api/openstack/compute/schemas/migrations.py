"""/os-migrations and /servers/{id}/migrations."""
from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_text = types.many(types.QUERY_TEXT)
_filters = {'hidden': _text, 'host': _text, 'instance_uuid': _text, 'source_compute': _text, 'status': _text,
            'migration_type': _text}
# Below 2.59 what the schema did not name came through to the search.
_loose = {**_filters, 'node': _text, 'user_id': _text, 'project_id': _text}
_paged = {**_filters, 'limit': types.once(types.QUERY_NUMBER), 'marker': types.once(types.QUERY_TEXT),
          'changes-since': types.once(types.DATE_TIME)}
_before = {**_paged, 'changes-before': types.once(types.DATE_TIME)}
_owned = {**_before, 'user_id': types.once(types.QUERY_TEXT), 'project_id': types.once(types.QUERY_TEXT)}
index_query = Schemas({'2.1': types.query(_loose), '2.59': types.query(_paged, strict=True),
                       '2.66': types.query(_before, strict=True), '2.80': types.query(_owned, strict=True)})

_NUMBER = {'type': ['integer', 'null']}
_row = types.closed({
    'created_at': types.DATE_TIME, 'dest_compute': types.NULLABLE_STRING, 'dest_host': types.NULLABLE_STRING,
    'dest_node': types.NULLABLE_STRING, 'id': types.INTEGER, 'instance_uuid': types.UUID,
    'new_instance_type_id': _NUMBER, 'old_instance_type_id': _NUMBER, 'source_compute': types.NULLABLE_STRING,
    'source_node': types.NULLABLE_STRING, 'status': types.STRING, 'updated_at': types.NULLABLE_DATE_TIME})
_row['required'] = list(_row['properties'])
_OWNER = {'user_id': types.NULLABLE_STRING, 'project_id': types.NULLABLE_STRING}
_KIND = {'enum': ['migration', 'resize', 'live-migration', 'evacuation']}
_row_2_23 = types.extended(_row, migration_type=_KIND, links=types.LINKS,
                           required=[*_row['required'], 'migration_type'])
_row_2_59 = types.extended(_row_2_23, uuid=types.UUID, required=[*_row_2_23['required'], 'uuid'])
_row_2_80 = types.extended(_row_2_59, **_OWNER, required=[*_row_2_59['required'], *_OWNER])


def _page(row: types.Schema, *, links: bool = False) -> types.Schema:
    more = {'migrations_links': types.LINKS} if links else {}
    return types.closed({'migrations': {'type': 'array', 'items': row}, **more}, required=['migrations'])


index_answer = Schemas({'2.1': _page(_row), '2.23': _page(_row_2_23), '2.59': _page(_row_2_59, links=True),
                        '2.80': _page(_row_2_80, links=True)})

# -- of one server ---------------------------------------------------------------------

server_query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

_BYTES = {'type': ['integer', 'null'], 'minimum': 0}
_live = types.closed({
    'created_at': types.DATE_TIME, 'dest_compute': types.NULLABLE_STRING, 'dest_host': types.NULLABLE_STRING,
    'dest_node': types.NULLABLE_STRING, 'disk_processed_bytes': _BYTES, 'disk_remaining_bytes': _BYTES,
    'disk_total_bytes': _BYTES, 'id': types.INTEGER, 'memory_processed_bytes': _BYTES,
    'memory_remaining_bytes': _BYTES, 'memory_total_bytes': _BYTES, 'server_uuid': types.UUID,
    'source_compute': types.NULLABLE_STRING, 'source_node': types.NULLABLE_STRING, 'status': types.STRING,
    'updated_at': types.NULLABLE_DATE_TIME})
_live['required'] = list(_live['properties'])
_live_2_59 = types.extended(_live, uuid=types.UUID, required=[*_live['required'], 'uuid'])
_live_2_80 = types.extended(_live_2_59, **_OWNER, required=[*_live_2_59['required'], *_OWNER])

server_index_answer = Schemas({version: _page(row) for version, row in (
    ('2.23', _live), ('2.59', _live_2_59), ('2.80', _live_2_80))})
server_show_answer = Schemas({version: types.single('migration', row) for version, row in (
    ('2.23', _live), ('2.59', _live_2_59), ('2.80', _live_2_80))})
