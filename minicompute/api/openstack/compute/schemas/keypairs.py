from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types

_NAME = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'keypair_name'}
_NAME_2_0 = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'name_with_spaces'}
_NAME_2_92 = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'keypair_name_2_92'}
_KEY = {'type': 'string', 'minLength': 1, 'maxLength': 16384, 'format': 'text'}
_TYPE = {'type': 'string', 'enum': ['ssh', 'x509']}

_create = types.single('keypair', types.closed({'name': _NAME, 'public_key': _KEY}, required=['name']))
_create_2_2 = types.extended(_create, 'keypair', type=_TYPE)
_create_2_10 = types.extended(_create_2_2, 'keypair', user_id=types.USER_ID)
create = Schemas({
    '2.0': types.extended(_create, 'keypair', name=_NAME_2_0), '2.1': _create, '2.2': _create_2_2,
    '2.10': _create_2_10,
    '2.92': types.extended(_create_2_10, 'keypair', name=_NAME_2_92, required=['name', 'public_key'])})

_user = {'user_id': types.many(types.QUERY_TEXT)}
_paged = {**_user, **types.PAGING}
index_query = Schemas({'2.1': types.query({}), '2.10': types.query(_user), '2.35': types.query(_paged),
                       '2.75': types.query(_paged, strict=True)})
show_query = Schemas({'2.1': types.query({}), '2.10': types.query(_user), '2.75': types.query(_user, strict=True)})

_brief = types.closed({'name': types.STRING, 'public_key': types.STRING, 'fingerprint': types.STRING},
                      required=['name', 'public_key', 'fingerprint'])
_brief_2_2 = types.extended(_brief, type=_TYPE, required=[*_brief['required'], 'type'])


def _page(row: types.Schema) -> types.Schema:
    return types.single('keypairs', {'type': 'array', 'items': types.single('keypair', row)})


def _created(row: types.Schema, **more: types.Schema) -> types.Schema:
    return types.single('keypair', types.extended(
        row, user_id=types.STRING, required=[*row['required'], 'user_id'], **more))


def _shown(row: types.Schema) -> types.Schema:
    more = {'id': types.INTEGER, 'user_id': types.STRING, 'created_at': types.DATE_TIME,
            'updated_at': types.NULLABLE_DATE_TIME, 'deleted': {'type': 'boolean'}, 'deleted_at': types.NULL}
    return types.single('keypair', types.extended(row, required=[*row['required'], *more], **more))


index_answer = Schemas({'2.1': _page(_brief), '2.2': _page(_brief_2_2),
                        '2.35': types.extended(_page(_brief_2_2), keypairs_links=types.LINKS)})
show_answer = Schemas({'2.1': _shown(_brief), '2.2': _shown(_brief_2_2)})
create_answer = Schemas({'2.1': _created(_brief, private_key=types.STRING),
                         '2.2': _created(_brief_2_2, private_key=types.STRING), '2.92': _created(_brief_2_2)})
