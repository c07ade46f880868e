"""A document as a flat list of fields, to compare and to search.

    {'GET /flavors/{id}': Shape(query={'limit': 'string'}, request={}, codes={'200', '404'},
                                answer={'flavor': 'object, required', 'flavor.links[].href': 'string, required'})}
"""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from minicompute.api.openapi.parts import Json

#: how query parameters that are not named are met
OTHER = '(any other)'
#: nothing of ours is deeper
DEEPEST = 12
BOUNDS = (('minimum', '>= {}'), ('maximum', '<= {}'), ('exclusiveMinimum', '> {}'), ('minLength', 'at least {} long'),
          ('maxLength', 'at most {} long'), ('minItems', 'at least {}'), ('maxItems', 'at most {}'),
          ('minProperties', 'at least {} keys'), ('maxProperties', 'at most {} keys'), ('format', '{}'),
          ('pattern', '/{}/'))


@dataclasses.dataclass
class Shape:
    """Fields by their paths, each with what it may be in words."""

    query: dict[str, str]
    request: dict[str, str]
    answer: dict[str, str]
    codes: set[str]


def shapes(document: Json) -> dict[str, Shape]:
    """By operation; an action is an operation."""
    found = {}
    for path, methods in document['paths'].items():
        for method, operation in methods.items():
            if method == 'parameters':
                continue
            name = f'{method.upper()} {path}'
            if 'x-actions' not in operation:
                body = operation.get('requestBody', {}).get('content', {}).get('application/json', {}).get('schema')
                found[name] = _shape(document, operation, body)
            for action, described in operation.get('x-actions', {}).items():
                found[f'{name} {action}'] = _shape(document, described, described['body'])
    return found


def _shape(document: Json, operation: Json, body: Json | None) -> Shape:
    query = {one['name']: _required(words(one['schema']), one.get('required', False))
             for one in operation.get('parameters', ()) if one.get('in') == 'query'}
    if 'x-unknown-parameters' in operation:
        query[OTHER] = operation['x-unknown-parameters']
    answer: dict[str, str] = {}
    for code, response in operation['responses'].items():
        if code < '3' and 'content' in response:
            answer.update(flat(document, response['content']['application/json']['schema']))
    return Shape(query, flat(document, body) if body else {}, answer, set(operation['responses']))


def resolve(document: Json, schema: Json) -> Json:
    while '$ref' in schema:
        schema = document['components']['schemas'][schema['$ref'].rpartition('/')[2]]
    return schema


def flat(document: Json, schema: Json) -> dict[str, str]:
    """{'server.networks[].uuid': 'string, uuid'}; of alternatives all fields, and each thing that they may be."""
    found: dict[str, list[str]] = {}
    for path, text in _walk(document, schema, '', DEEPEST):
        texts = found.setdefault(path, [])
        if text not in texts:
            texts.append(text)
    return {path: ' | '.join(texts) for path, texts in found.items() if path}


def children(schema: Json) -> Iterator[tuple[str, Json, bool]]:
    """(name, schema, required) of what an object or a list holds: '[]' is an item, '*' any other key."""
    required = schema.get('required', ())
    for name, inner in schema.get('properties', {}).items():
        yield f'.{name}', inner, name in required
    for inner in schema.get('patternProperties', {}).values():
        yield '.*', inner, False
    if isinstance(schema.get('additionalProperties'), dict):
        yield '.*', schema['additionalProperties'], False
    if isinstance(schema.get('items'), dict):
        yield '[]', schema['items'], False


def _walk(document: Json, schema: Json, path: str, left: int, required: bool = False) -> Iterator[tuple[str, str]]:
    schema = resolve(document, schema)
    choices = [choice for key in ('oneOf', 'anyOf') for choice in schema.get(key, ())]
    if (not choices or 'type' in schema) and not path.endswith('[]'):     # the list has said what it holds
        yield path, _required(words(schema), required)
    if not left:
        return
    for choice in choices:
        if 'type' not in schema or 'properties' in resolve(document, choice):
            yield from _walk(document, choice, path, left - 1, required)
    for name, inner, needed in children(schema):
        yield from _walk(document, inner, f'{path}{name}'.lstrip('.'), left - 1, needed)


def _required(text: str, required: bool) -> str:
    return f'{text}, required' if required else text


def words(schema: Json) -> str:
    """{'type': 'string', 'maxLength': 255} -> 'string, at most 255 long'"""
    kind = schema.get('type')
    said = [kind if isinstance(kind, str) else ' or '.join(kind)] if kind else []
    if 'enum' in schema:
        said.append('one of ' + ' '.join(_value(value) for value in schema['enum']))
    if 'const' in schema:
        said.append(f'always {_value(schema["const"])}')
    if schema.get('items') and isinstance(schema['items'], dict) and 'properties' not in schema['items']:
        said.append(f'of {words(schema["items"])}')
    said += [text.format(schema[name]) for name, text in BOUNDS if name in schema]
    if schema.get('uniqueItems'):
        said.append('no two alike')
    said += [' or '.join(words(choice) for choice in schema[key]) for key in ('anyOf', 'oneOf')
             if key in schema and not any('$ref' in choice or 'properties' in choice for choice in schema[key])]
    if schema.get('type') == 'object' and schema.get('additionalProperties') is not False:
        said.append('any other keys')
    return ', '.join(part for part in said if part) or 'anything'


def _value(value: Any) -> str:
    return {True: 'true', False: 'false', None: 'null'}.get(value, str(value)) if isinstance(
        value, (bool, type(None))) else (str(value) or '""')
