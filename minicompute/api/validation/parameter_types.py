"""Building blocks of the schemas.

A pattern ends in `$(?!\\n)`: Python's `$` alone also stands before a last newline.
"""
from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def whole(pattern: str) -> str:
    """The pattern for a whole string, for Python's and for ECMA's regular expressions."""
    return rf'^(?:{pattern})$(?!\n)'


def closed(properties: Schema, required: list[str] | None = None, **more: Any) -> Schema:
    """An object that knows its keys."""
    found: Schema = {'type': 'object', 'properties': properties}
    if required:
        found['required'] = required    # what lacks is said before what is too much
    return {**found, 'additionalProperties': False, **more}


def single(name: str, schema: Schema) -> Schema:
    """{name: schema}, as most bodies are."""
    return closed({name: schema}, required=[name])


def extended(base: Schema, *path: str, required: list[str] | None = None, **properties: Schema | None) -> Schema:
    """A copy of `base` with more (or, by None, fewer) properties in the object at `path`."""
    copy = {**base, 'properties': dict(base['properties'])}
    if path:
        copy['properties'][path[0]] = extended(base['properties'][path[0]], *path[1:], required=required, **properties)
        return copy
    for name, schema in properties.items():
        if schema is None:
            copy['properties'].pop(name, None)
        else:
            copy['properties'][name] = schema
    if required is not None:
        copy['required'] = required
    return copy


NULL: Schema = {'type': 'null'}
ANY: Schema = {}
NOTHING = closed({})

BOOLEAN_TRUE = (True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', 'y', 't')
BOOLEAN_FALSE = (False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no', 'n', 'f')
#: in a body the words must be whole ones
BOOLEAN: Schema = {'type': ['boolean', 'string'], 'enum': [
    word for word in (*BOOLEAN_TRUE, *BOOLEAN_FALSE) if word not in ('y', 't', 'n', 'f')]}


def is_true(value: Any) -> bool:
    """A value that `BOOLEAN` has let in -> bool."""
    return value in BOOLEAN_TRUE


STRING: Schema = {'type': 'string'}
NULLABLE_STRING: Schema = {'type': ['string', 'null']}
INTEGER: Schema = {'type': 'integer'}
NUMBER: Schema = {'type': 'number'}
DATE_TIME: Schema = {'type': 'string', 'format': 'date-time'}
NULLABLE_DATE_TIME: Schema = {'type': ['string', 'null'], 'format': 'date-time'}

UUID: Schema = {'type': 'string', 'format': 'uuid'}
NULLABLE_UUID: Schema = {'type': ['string', 'null'], 'format': 'uuid'}
# An image by nothing: what a server booted from a volume has.
IMAGE_REF_OR_EMPTY: Schema = {'oneOf': [UUID, {'type': 'string', 'maxLength': 0}]}

NAME: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'name'}
NAME_WITH_SPACES: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'name_with_spaces'}
DESCRIPTION: Schema = {'type': ['string', 'null'], 'minLength': 0, 'maxLength': 255, 'format': 'text'}
HOSTNAME: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'pattern': whole(r'[a-zA-Z0-9._-]+')}
_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?'     # linear: no two ways to match one text
# RFC 1123: one label up to 2.93, from 2.94 a fully qualified name.
SERVER_HOSTNAME: Schema = {'type': 'string', 'minLength': 2, 'maxLength': 63,
                           'pattern': whole(r'[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]')}
FQDN: Schema = {'type': 'string', 'minLength': 2, 'maxLength': 255,
                'pattern': whole(rf'({_LABEL}\.)*{_LABEL}')}
PROJECT_ID: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'pattern': whole(r'[a-zA-Z0-9_-]+')}
USER_ID: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'name'}
PASSWORD: Schema = {'type': 'string', 'format': 'text'}
MAC: Schema = {'type': 'string', 'pattern': whole(r'([0-9a-fA-F]{2})(:[0-9a-fA-F]{2}){5}')}
IPV4: Schema = {'type': 'string', 'format': 'ipv4'}
IPV6: Schema = {'type': 'string', 'format': 'ipv6'}
IP: Schema = {'type': 'string', 'anyOf': [{'format': 'ipv4'}, {'format': 'ipv6'}]}
CIDR: Schema = {'type': 'string', 'format': 'cidr'}
AVAILABILITY_ZONE: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'name'}

METADATA_KEY = whole(r'[a-zA-Z0-9_:. -]{1,255}')
METADATA: Schema = {
    'type': 'object', 'additionalProperties': False,
    'patternProperties': {METADATA_KEY: {'type': 'string', 'maxLength': 255, 'format': 'text'}}}
METADATA_WITH_NULL: Schema = {
    'type': 'object', 'additionalProperties': False,
    'patternProperties': {METADATA_KEY: {'type': ['string', 'null'], 'maxLength': 255, 'format': 'text'}}}

MAX_INTEGER = 0x7FFFFFFF
INTEGER_TEXT = whole(r'[0-9]{1,18}')
# A string of digits is as good as a number, as in Nova; `int()` reads both.
NON_NEGATIVE: Schema = {'type': ['integer', 'string'], 'minimum': 0, 'maximum': MAX_INTEGER,
                        'format': 'non_negative_int'}
POSITIVE: Schema = {'type': ['integer', 'string'], 'minimum': 1, 'maximum': MAX_INTEGER, 'format': 'positive_int'}


# -- query strings -------------------------------------------------------------

def query(properties: Schema, strict: bool = False) -> Schema:
    """A query string: each value is the list of what the parameter was given. Up to 2.74 or 2.101 unknown
    parameters are ignored; `strict` refuses them."""
    return {'type': 'object', 'properties': properties, 'additionalProperties': not strict}


def many(schema: Schema) -> Schema:
    return {'type': 'array', 'items': schema}


def once(schema: Schema) -> Schema:
    return {'type': 'array', 'items': schema, 'maxItems': 1}


QUERY_NUMBER: Schema = {'type': 'string', 'pattern': INTEGER_TEXT}
QUERY_TEXT: Schema = {'type': 'string', 'format': 'text'}
PAGING: Schema = {'limit': many(QUERY_NUMBER), 'marker': many(QUERY_TEXT)}

# -- answers -------------------------------------------------------------------

LINK: Schema = {'type': 'object', 'required': ['href', 'rel'], 'additionalProperties': False,
                'properties': {'href': STRING, 'rel': STRING, 'type': STRING}}
LINKS: Schema = {'type': 'array', 'items': LINK}
