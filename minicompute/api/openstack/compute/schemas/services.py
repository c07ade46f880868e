from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_query = {'host': types.many(types.QUERY_TEXT), 'binary': types.many(types.QUERY_TEXT)}
index_query = Schemas({'2.1': types.query(_query), '2.75': types.query(_query, strict=True)})

_BINARY = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'text'}
_REASON = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'text'}

_named = types.closed({'host': types.HOSTNAME, 'binary': _BINARY, 'disabled_reason': _REASON},
                      required=['host', 'binary'])
update_by_name = Schemas({'2.1': _named, '2.11': types.extended(_named, forced_down=types.BOOLEAN)})
update = Schemas({'2.53': types.closed({'status': {'type': 'string', 'enum': ['enabled', 'disabled']},
                                        'disabled_reason': _REASON, 'forced_down': types.BOOLEAN})})

_row = types.closed({
    'id': types.INTEGER, 'binary': types.STRING, 'host': types.STRING, 'zone': types.STRING,
    'status': {'enum': ['enabled', 'disabled']}, 'state': {'enum': ['up', 'down']},
    'updated_at': types.NULLABLE_DATE_TIME, 'disabled_reason': types.NULLABLE_STRING})
_row['required'] = list(_row['properties'])
_row_2_11 = types.extended(_row, forced_down={'type': 'boolean'}, required=[*_row['required'], 'forced_down'])
_row_2_53 = types.extended(_row_2_11, id=types.UUID)

index_answer = Schemas({version: types.single('services', {'type': 'array', 'items': row})
                        for version, row in (('2.1', _row), ('2.11', _row_2_11), ('2.53', _row_2_53))})
update_answer = Schemas({'2.53': types.single('service', _row_2_53)})
update_by_name_answer = Schemas({'2.1': types.single('service', types.closed({
    'host': types.STRING, 'binary': types.STRING, 'status': types.STRING, 'disabled_reason': types.STRING,
    'forced_down': {'type': 'boolean'}}, required=['host', 'binary']))})
