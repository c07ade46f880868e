"""hypothesis strategies for our JSON schemas: for the keywords that `fast.KEYWORDS` names, and our own formats."""
from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

from tests.functional.contract.values import STRATEGIES

Schema = dict[str, Any]
Values = st.SearchStrategy[Any]

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5))
ALL_TYPES = ('null', 'boolean', 'integer', 'string', 'array', 'object')
#: what is longer than this beyond the least tells nothing more
MORE = 4


def values(schema: Schema | bool) -> Values:
    """Values that the schema allows, but for what `not` and `uniqueItems` forbid by chance."""
    if isinstance(schema, bool) or not schema:
        return SCALARS
    for key in ('anyOf', 'oneOf'):
        if key in schema:
            rest = {name: value for name, value in schema.items() if name != key}
            return st.one_of([values(merged(rest, choice)) for choice in schema[key]])
    if 'const' in schema:
        return st.just(schema['const'])
    if 'enum' in schema:
        return st.sampled_from(schema['enum'])
    kinds = schema.get('type') or _kinds(schema)
    return st.one_of([OF_TYPE[kind](schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def merged(first: Schema, second: Schema) -> Schema:
    both = {**first, **second}
    if 'required' in first and 'required' in second:
        both['required'] = [*first['required'], *second['required']]
    return both


def _kinds(schema: Schema) -> tuple[str, ...]:
    if schema.keys() & {'properties', 'required', 'additionalProperties'}:
        return ('object',)
    return ('string',) if schema.keys() & {'format', 'pattern', 'maxLength', 'minLength'} else ALL_TYPES


def strings(schema: Schema) -> Values:
    least, most = schema.get('minLength', 0), schema.get('maxLength', 1 << 30)
    pattern = schema.get('pattern')
    if 'format' in schema:
        found = STRATEGIES[schema['format']]
    elif pattern:
        found = st.from_regex(pattern, fullmatch=True)
    else:
        found = st.text(st.characters(codec='utf-8'), min_size=least, max_size=min(most, least + MORE))
    if pattern and 'format' in schema:
        found = found.filter(lambda text: re.search(pattern, text) is not None)
    return found.filter(lambda text: least <= len(text) <= most)


def integers(schema: Schema) -> Values:
    least = max(schema.get('minimum', -9), schema.get('exclusiveMinimum', -10) + 1)
    return st.integers(least, schema.get('maximum', 1 << 40))


def numbers(schema: Schema) -> Values:
    least = max(schema.get('minimum', -9), schema.get('exclusiveMinimum', -10) + 1)
    return st.one_of(integers(schema), st.floats(least, min(schema.get('maximum', 1e6), 1e6)))


def lists(schema: Schema) -> Values:
    least = schema.get('minItems', 0)
    unique = (lambda item: json.dumps(item, sort_keys=True)) if schema.get('uniqueItems') else None
    return st.lists(values(schema.get('items', {})), min_size=least, unique_by=unique,
                    max_size=min(schema.get('maxItems', least + MORE), least + MORE))


def objects(schema: Schema) -> Values:
    named = schema.get('properties', {})
    required = {name: values(named.get(name, {})) for name in schema.get('required', ())}
    optional = {name: values(inner) for name, inner in named.items() if name not in required}
    found = st.fixed_dictionaries(required, optional=optional)
    least, most = schema.get('minProperties', 0), schema.get('maxProperties', 1 << 30)
    for pattern, inner in schema.get('patternProperties', {}).items():
        extra = st.dictionaries(st.from_regex(pattern, fullmatch=True), values(inner), min_size=least,
                                max_size=min(most, least + MORE))
        found = st.tuples(found, extra).map(lambda pair: {**pair[1], **pair[0]})
    if schema.get('additionalProperties', True) is not False:
        extra = st.dictionaries(st.text(max_size=5), values(schema.get('additionalProperties', True)), max_size=2)
        found = st.tuples(found, extra).map(lambda pair: {**pair[1], **pair[0]})
    return found.filter(lambda value: least <= len(value) <= most)


OF_TYPE = {'null': lambda schema: st.none(), 'boolean': lambda schema: st.booleans(), 'integer': integers,
           'number': numbers, 'string': strings, 'array': lists, 'object': objects}
