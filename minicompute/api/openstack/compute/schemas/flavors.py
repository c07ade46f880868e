from __future__ import annotations

from minicompute.api.validation import Schemas
from minicompute.api.validation import parameter_types as types
from minicompute.db.api.flavors import SORT_KEYS

# -- requests --------------------------------------------------------------------

_ID = {'anyOf': [
    {'type': 'string', 'minLength': 1, 'maxLength': 255, 'pattern': types.whole(r'(?! )[a-zA-Z0-9. _-]+(?<! )')},
    {'type': 'number', 'minimum': -types.MAX_INTEGER, 'maximum': types.MAX_INTEGER}, {'type': 'null'}]}
_RXTX = {'type': ['number', 'string'], 'format': 'positive_number', 'maximum': 3.40282e+38, 'exclusiveMinimum': 0}
_DESCRIPTION = {'type': ['string', 'null'], 'maxLength': 65535, 'format': 'printable'}

_create_2_1 = types.single('flavor', types.closed({
    'name': types.NAME, 'id': _ID, 'ram': types.POSITIVE, 'vcpus': types.POSITIVE, 'disk': types.NON_NEGATIVE,
    'OS-FLV-EXT-DATA:ephemeral': types.NON_NEGATIVE, 'swap': types.NON_NEGATIVE, 'rxtx_factor': _RXTX,
    'os-flavor-access:is_public': types.BOOLEAN,
}, required=['name', 'ram', 'vcpus', 'disk']))
_create_2_0 = types.extended(_create_2_1, 'flavor', name=types.NAME_WITH_SPACES)
_create_2_55 = types.extended(_create_2_1, 'flavor', description=_DESCRIPTION)
_create_2_102 = types.extended(_create_2_55, 'flavor', rxtx_factor=None)
create = Schemas({'2.0': _create_2_0, '2.1': _create_2_1, '2.55': _create_2_55, '2.102': _create_2_102})

update = Schemas({'2.55': types.single('flavor', types.single('description', _DESCRIPTION))})

_index = {**types.PAGING, 'is_public': types.many(types.STRING), 'minRam': types.many(types.QUERY_TEXT),
          'minDisk': types.many(types.QUERY_TEXT), 'sort_key': types.many({'type': 'string', 'enum': [*SORT_KEYS]}),
          'sort_dir': types.many({'type': 'string', 'enum': ['asc', 'desc']})}
_SORT_2_102 = types.many({'type': 'string', 'enum': [key for key in SORT_KEYS if key != 'rxtx_factor']})
index_query = Schemas({'2.1': types.query(_index), '2.75': types.query(_index, strict=True),
                       '2.102': types.query({**_index, 'sort_key': _SORT_2_102,
                                             'name': types.many(types.QUERY_TEXT)}, strict=True)})
show_query = Schemas({'2.1': types.query({}), '2.102': types.query({}, strict=True)})

# -- answers ---------------------------------------------------------------------

_brief = types.closed({'id': types.STRING, 'name': types.STRING, 'links': types.LINKS},
                      required=['id', 'name', 'links'])
_brief_2_55 = types.extended(_brief, required=['id', 'name', 'links', 'description'],
                             description=types.NULLABLE_STRING)

_full = types.closed({
    'id': types.STRING, 'name': types.STRING, 'ram': types.INTEGER, 'disk': types.INTEGER, 'vcpus': types.INTEGER,
    'swap': {'anyOf': [types.INTEGER, {'const': ''}]}, 'OS-FLV-EXT-DATA:ephemeral': types.INTEGER,
    'OS-FLV-DISABLED:disabled': {'type': 'boolean'}, 'os-flavor-access:is_public': {'type': 'boolean'},
    'rxtx_factor': types.NUMBER, 'links': types.LINKS})
_full['required'] = list(_full['properties'])
_full_2_55 = types.extended(_full, description=types.NULLABLE_STRING,
                            required=[*_full['required'], 'description'])
_full_2_61 = types.extended(_full_2_55, extra_specs={'type': 'object'})
_full_2_75 = types.extended(_full_2_61, swap=types.INTEGER)
_full_2_102 = types.extended(
    _full_2_75, rxtx_factor=None, **{'OS-FLV-DISABLED:disabled': None},    # type: ignore[arg-type]
    required=[name for name in _full_2_75['required'] if name not in ('rxtx_factor', 'OS-FLV-DISABLED:disabled')])
_FULL = {'2.1': _full, '2.55': _full_2_55, '2.61': _full_2_61, '2.75': _full_2_75, '2.102': _full_2_102}


def _page(row: types.Schema) -> types.Schema:
    return types.closed({'flavors': {'type': 'array', 'items': row}, 'flavors_links': types.LINKS},
                        required=['flavors'])


index_answer = Schemas({'2.1': _page(_brief), '2.55': _page(_brief_2_55)})
detail_answer = Schemas({version: _page(row) for version, row in _FULL.items()})
show_answer = Schemas({version: types.single('flavor', row) for version, row in _FULL.items()})

# -- access ----------------------------------------------------------------------

_project = types.single('tenant', types.PROJECT_ID)
add_access = Schemas({'2.1': types.single('addTenantAccess', _project)})
remove_access = Schemas({'2.1': types.single('removeTenantAccess', _project)})
access_answer = Schemas({'2.1': types.single('flavor_access', {'type': 'array', 'items': types.closed(
    {'flavor_id': types.STRING, 'tenant_id': types.STRING}, required=['flavor_id', 'tenant_id'])})})

# -- extra specs -------------------------------------------------------------------

_VALUE = {'type': ['string', 'number'], 'maxLength': 255, 'format': 'text'}
_specs = {'type': 'object', 'patternProperties': {types.METADATA_KEY: _VALUE}, 'additionalProperties': False}
create_specs = Schemas({'2.1': types.single('extra_specs', _specs)})
update_spec = Schemas({'2.1': {**_specs, 'minProperties': 1, 'maxProperties': 1}})
_answered = {'type': 'object', 'additionalProperties': types.STRING}
specs_answer = Schemas({'2.1': types.single('extra_specs', _answered)})
spec_answer = Schemas({'2.1': _answered})
# What was sent is sent back as it was: a number stays one, though it is kept as text.
create_specs_answer, update_spec_answer = create_specs, update_spec
