"""A JSON schema as a tree of closures that answer yes or no.

It knows the keywords in `KEYWORDS`; a schema with any other is not built, which a test sees.  jsonschema
stays the judge: what this refuses it looks at again, and a test compares the two.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from minicompute.api.validation.formats import FORMATS, FormatError

Check = Callable[[Any], bool]

TYPES: dict[str, Check] = {
    'string': lambda value: type(value) is str,
    'integer': lambda value: type(value) is int,
    'number': lambda value: type(value) in (int, float),
    'boolean': lambda value: type(value) is bool,
    'object': lambda value: type(value) is dict,
    'array': lambda value: type(value) is list,
    'null': lambda value: value is None,
}
ANNOTATIONS = frozenset(('description', 'title', 'default', 'examples', '$schema', 'deprecated'))


def build(schema: dict[str, Any] | bool) -> Check:
    if isinstance(schema, bool):
        return lambda value: schema
    checks = [_type(schema['type'])] if 'type' in schema else []
    for group in (_any_value, _strings, _numbers, _arrays, _objects):
        checks += group(schema)
    unknown = schema.keys() - ANNOTATIONS - KEYWORDS
    if unknown:
        raise ValueError(f'schema keywords that fast.py does not know: {sorted(unknown)}')
    return _all(checks)


def _all(checks: list[Check]) -> Check:
    if not checks:
        return lambda value: True
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return lambda value: first(value) and second(value)

    def every(value: Any) -> bool:
        for check in checks:
            if not check(value):
                return False
        return True
    return every


def _type(names: str | list[str]) -> Check:
    if isinstance(names, str):
        return TYPES[names]
    options = [TYPES[name] for name in names]
    return lambda value: any(option(value) for option in options)


def _any_value(schema: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    if 'enum' in schema:
        allowed = [(type(option), option) for option in schema['enum']]
        checks.append(lambda value: (type(value), value) in allowed)
    if 'const' in schema:
        constant = schema['const']
        checks.append(lambda value: type(value) is type(constant) and value == constant)
    if 'anyOf' in schema:
        choices = [build(option) for option in schema['anyOf']]
        checks.append(lambda value: any(choice(value) for choice in choices))
    if 'oneOf' in schema:
        exclusive = [build(option) for option in schema['oneOf']]
        checks.append(lambda value: sum(choice(value) for choice in exclusive) == 1)
    if 'allOf' in schema:
        checks.append(_all([build(option) for option in schema['allOf']]))
    if 'not' in schema:
        refused = build(schema['not'])
        checks.append(lambda value: not refused(value))
    return checks


def _strings(schema: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    if 'minLength' in schema or 'maxLength' in schema:
        low, high = schema.get('minLength', 0), schema.get('maxLength', 1 << 62)
        checks.append(lambda value: type(value) is not str or low <= len(value) <= high)
    if 'pattern' in schema:
        search = re.compile(schema['pattern']).search
        checks.append(lambda value: type(value) is not str or search(value) is not None)
    if 'format' in schema:
        checks.append(_format(schema['format']))
    return checks


def _format(name: str) -> Check:
    function = FORMATS[name]

    def fits(value: Any) -> bool:
        try:
            function(value)
        except FormatError:
            return False
        return True
    return fits


def _numbers(schema: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    if 'minimum' in schema or 'maximum' in schema:
        low, high = schema.get('minimum', float('-inf')), schema.get('maximum', float('inf'))
        checks.append(lambda value: type(value) not in (int, float) or low <= value <= high)
    if 'exclusiveMinimum' in schema:
        floor = schema['exclusiveMinimum']
        checks.append(lambda value: type(value) not in (int, float) or value > floor)
    return checks


def _arrays(schema: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    if 'minItems' in schema or 'maxItems' in schema:
        low, high = schema.get('minItems', 0), schema.get('maxItems', 1 << 62)
        checks.append(lambda value: type(value) is not list or low <= len(value) <= high)
    if schema.get('uniqueItems'):
        checks.append(lambda value: type(value) is not list or _unique(value))
    if 'items' in schema:
        item_check = build(schema['items'])
        checks.append(lambda value: type(value) is not list or all(item_check(item) for item in value))
    return checks


def _unique(items: list[Any]) -> bool:
    """No for what only JSON can tell apart (1 and true) or cannot be hashed: then jsonschema decides."""
    try:
        return len(set(items)) == len(items)
    except TypeError:
        return False


def _objects(schema: dict[str, Any]) -> list[Check]:
    checks: list[Check] = []
    if 'minProperties' in schema or 'maxProperties' in schema:
        low, high = schema.get('minProperties', 0), schema.get('maxProperties', 1 << 62)
        checks.append(lambda value: type(value) is not dict or low <= len(value) <= high)
    if 'required' in schema:
        needed = frozenset(schema['required'])
        checks.append(lambda value: type(value) is not dict or needed <= value.keys())
    if 'properties' in schema or 'patternProperties' in schema or 'additionalProperties' in schema:
        checks.append(_members(schema))
    return checks


def _members(schema: dict[str, Any]) -> Check:
    named = {name: build(inner) for name, inner in schema.get('properties', {}).items()}
    patterns = [(re.compile(text).search, build(inner)) for text, inner in schema.get('patternProperties', {}).items()]
    other = build(schema.get('additionalProperties', True))

    def fit(value: Any) -> bool:
        if type(value) is not dict:
            return True
        for key, item in value.items():
            check = named.get(key)
            matching = [inner for search, inner in patterns if search(key)] if patterns else ()
            if check is None and not matching:
                check = other
            if check is not None and not check(item):
                return False
            if matching and not all(inner(item) for inner in matching):
                return False
        return True
    return fit


KEYWORDS = frozenset((
    'type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', 'not', 'minLength', 'maxLength', 'pattern', 'format',
    'minimum', 'maximum', 'exclusiveMinimum', 'minItems', 'maxItems', 'uniqueItems', 'items',
    'minProperties', 'maxProperties', 'required', 'properties', 'patternProperties', 'additionalProperties'))
