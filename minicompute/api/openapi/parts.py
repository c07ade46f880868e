"""What the documents are put together of: schemas on a shelf, faults, headers, words."""
from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from minicompute.api.openstack import faults
from minicompute.api.openstack.api_version_request import APIVersionRequest
from minicompute.api.openstack.wsgi import NEW_HEADER, OLD_HEADER, Operation
from minicompute.api.validation import Schemas

Json = dict[str, Any]

SUMMARY = 'Compute API v2.1, as OpenStack Nova has it.'
DESCRIPTION = (
    'Made of the handlers themselves: each schema here is the one that requests and answers are checked with.\n\n'
    'Formats that OpenAPI does not know are ours: `name` and `name_with_spaces` (printable, not empty, without space '
    'around it or of more than space), `printable`, `text` (no NUL), `regex` (of Python), `base64`, `cidr`, '
    '`keypair_name`, `keypair_name_2_92`, `iso-8601` (without a zone it is UTC), and for numbers in strings '
    '`non_negative_int`, `positive_int`, `positive_number` and `limit_int` (from -1 on).')
#: what every answer of the router has, whatever was asked
ALWAYS = Operation.ALWAYS | {404, 406}

FAULT: Json = {
    'type': 'object', 'minProperties': 1, 'maxProperties': 1,
    'description': 'One key, the name of the fault (badRequest, itemNotFound, conflictingRequest, ...).',
    'additionalProperties': {
        'type': 'object', 'required': ['code', 'message'], 'additionalProperties': False,
        'properties': {'code': {'type': 'integer'}, 'message': {'type': 'string'},
                       'retryAfter': {'type': 'string', 'description': 'Seconds; of overLimit only.'}}}}
NO_ROUTE: Json = {
    'type': 'object', 'required': ['message', 'code', 'title'], 'additionalProperties': False,
    'description': 'No such path, or no such method of it: said before anything is looked at.',
    'properties': {name: {'type': 'string'} for name in ('message', 'code', 'title')}}
SCHEMAS = {'Fault': FAULT, 'NoRoute': NO_ROUTE}

VERSION_PARAMETER: Json = {'$ref': '#/components/parameters/microversion'}
HEADERS: Json = {NEW_HEADER: {'$ref': '#/components/headers/microversion'},
                 OLD_HEADER: {'$ref': '#/components/headers/old_microversion'},
                 'x-openstack-request-id': {'$ref': '#/components/headers/request_id'}}
# The faults of the whole stack, 401 and 413 for instance, come before a version is negotiated.
FAULT_HEADERS: Json = {'x-openstack-request-id': HEADERS['x-openstack-request-id']}


def ref(name: str) -> Json:
    return {'$ref': f'#/components/schemas/{name}'}


def phrase(code: int) -> str:
    return f'{HTTPStatus(code).phrase}.'


def fault_name(code: int) -> str:
    """Two codes share the name overLimit."""
    name = faults.NAMES.get(code, 'computeFault')
    return f'{name}{code}' if list(faults.NAMES.values()).count(name) != 1 else name


def faults_of(operation: Operation) -> set[int]:
    return set(operation.promise.errors | ALWAYS)


def components(version: APIVersionRequest) -> Json:
    """All but the schemas."""
    text = {'schema': {'type': 'string'}}
    return {
        'securitySchemes': {'token': {
            'type': 'apiKey', 'in': 'header', 'name': 'X-Auth-Token',
            'description': "Keystone's token; under noauth2 `user:project`."}},
        'parameters': {'microversion': {
            'name': NEW_HEADER, 'in': 'header', 'required': str(version) != '2.1',
            'description': 'Without it the microversion is 2.1.',
            'schema': {'type': 'string', 'enum': [f'compute {version}']}}},
        'headers': {
            'microversion': {'description': 'The microversion that answered.', **text},
            'old_microversion': {'description': 'The same, under the older name.', **text},
            'request_id': {'description': 'What the log calls this request.', **text}},
        'responses': {fault_name(code): _fault_response(code)
                      for code in sorted({*faults.NAMES, 406, 410, 422, 500} - {405})},
    }


def _fault_response(code: int) -> Json:
    schema = {'anyOf': [ref('Fault'), ref('NoRoute')]} if code == 404 else ref('Fault')
    return {'description': phrase(code), 'headers': FAULT_HEADERS, 'content': {'application/json': {'schema': schema}}}


class Shelf:
    """The schemas of one microversion by name; one that several operations share is there once."""

    def __init__(self, version: APIVersionRequest) -> None:
        self.version = version
        self.schemas: dict[str, Json] = {}
        self._names: dict[str, str] = {}

    def keep(self, name: str, schema: Json) -> Json:
        """-> a reference to it, by this name or by that of an equal one"""
        public = published(schema)
        text = json.dumps(public, sort_keys=True)
        if text not in self._names:
            self._names[text] = name
            self.schemas[name] = public
        return ref(self._names[text])

    def _raw(self, schemas: Schemas | None) -> Json | None:
        return schemas.at(self.version).schema if schemas is not None else None

    def body(self, operation: Operation) -> Json | None:
        schema = self._raw(operation.promise.body)
        return None if schema is None or _empty(schema) else self.keep(f'{operation.label}.body', schema)

    def may_be_empty(self, operation: Operation) -> bool:
        return 'null' in ((self._raw(operation.promise.body) or {}).get('type') or ())

    def answer(self, operation: Operation) -> Json | None:
        schema = self._raw(operation.promise.answer)
        return None if schema is None or _empty(schema) else self.keep(f'{operation.label}.answer', schema)

    def codes(self, operation: Operation) -> set[int]:
        """What it answers when all is well: nothing, where it was removed."""
        if 410 in operation.promise.errors:
            return set()
        return {operation.promise.code.at(self.version) or 200, *operation.promise.also}

    def query(self, operation: Operation) -> list[Json]:
        schema = self._raw(operation.promise.query)
        if schema is None:
            return []
        required = schema.get('required', ())
        return [{'name': name, 'in': 'query', 'required': name in required, 'schema': _parameter(values)}
                for name, values in schema.get('properties', {}).items()]

    def strict_query(self, operation: Operation) -> bool:
        return (self._raw(operation.promise.query) or {}).get('additionalProperties') is False


def _empty(schema: Json) -> bool:
    return schema.get('type') == 'null'


def _parameter(values: Json) -> Json:
    """Our schemas see the list of what a parameter was given."""
    values = published(values)
    return values.get('items', {}) if values.get('maxItems') == 1 else values


#: ours are more lenient than the names promise to others: Nova's times have no zone
FORMATS = {'date-time': 'iso-8601'}


def published(schema: Any) -> Any:
    """A copy for others: a pattern's `$` means the end for them already."""
    if isinstance(schema, dict):
        return {_without_guard(key): PUBLISHED.get(key, published)(value) for key, value in schema.items()}
    if isinstance(schema, (list, tuple)):
        return [published(item) for item in schema]
    return schema


def _without_guard(text: Any) -> Any:
    return text.replace(r'$(?!\n)', '$') if isinstance(text, str) else published(text)


def _format(name: Any) -> Any:
    return FORMATS.get(name, name) if isinstance(name, str) else published(name)


PUBLISHED = {'pattern': _without_guard, 'format': _format}
