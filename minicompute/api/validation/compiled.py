"""One JSON schema, ready to check values.

Most values are right, so the right ones take a fast path: `fast.build` turns the schema into closures
that only say yes or no.  When they say no, jsonschema says what is wrong and words the fault; it has the
last word.
"""
from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from jsonschema import Draft4Validator, Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match

from minicompute import exception
from minicompute.api.validation import fast
from minicompute.api.validation.formats import CHECKER


# Draft 2020-12 takes 1.0 for an integer; a database column may not.
def _unique(_validator: Any, wanted: bool, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """jsonschema compares each with each where they cannot be sorted: minutes for one request."""
    if wanted and isinstance(value, list) and len({_text(item) for item in value}) < len(value):
        yield ValidationError(f'{value!r} has non-unique elements')


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


Validator = validators.extend(Draft202012Validator, {'uniqueItems': _unique},
                              type_checker=Draft4Validator.TYPE_CHECKER)
SECRETS = frozenset(('adminPass', 'admin_pass', 'password', 'user_data', 'contents', 'private_key'))
QUERY = 'query parameters'
SHOWN = 200     # characters of a wrong value that a fault repeats


class Compiled:
    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    @functools.cached_property
    def accepts(self) -> fast.Check:
        return fast.build(self.schema)

    @functools.cached_property
    def validator(self) -> Any:
        Validator.check_schema(self.schema)
        return Validator(self.schema, format_checker=CHECKER)

    def check(self, value: Any, kind: str = 'field/attribute') -> None:
        """Raises Invalid, naming the field."""
        if self.accepts(value):
            return
        error = _telling(self.validator.iter_errors(value))
        if error is not None:
            raise exception.Invalid(describe(error, kind))


def _telling(errors: Iterator[ValidationError]) -> ValidationError | None:
    """The first error, as Nova says it; of alternatives, why the one that the value comes nearest to refused it."""
    first = next(errors, None)
    error = best_match([first]) if first is not None else None
    while error is not None and error.context:
        telling = [one for one in error.context if one.validator not in ('type', 'const', 'enum', 'maxLength')]
        if not telling:
            break
        error = telling[0]
    return error


def describe(error: ValidationError, kind: str) -> str:
    """'Invalid input for field/attribute NAME. Value: X. why', or only why for the whole body."""
    message = _shorten(_readable(str(error.cause) if error.cause is not None else error.message))
    path = list(error.absolute_path)
    if kind == QUERY:
        path = path[:1]     # that a parameter has a list of values is not its sender's business
    if not path:
        return message
    field = field_name(path)
    if any(part in SECRETS for part in path):
        return f'Invalid input for {kind} {field}. {error.validator}: {_rule(error)}'
    return f'Invalid input for {kind} {field}. Value: {_shorten(str(error.instance))}. {message}'


def field_name(path: list[str | int]) -> str:
    """['server', 'networks', 0] -> 'networks[0]': the last name, with its indexes."""
    suffix = ''
    while len(path) > 1 and isinstance(path[-1], int):
        suffix = f'[{path.pop()}]{suffix}'
    return f'{path[-1]}{suffix}'[:SHOWN]


def _readable(message: str) -> str:
    """Without what `parameter_types.whole` puts around a pattern."""
    return message.replace('^(?:', '^').replace(r')$(?!\\n)', '$')


def _rule(error: ValidationError) -> str:
    return _shorten(str(error.validator_value))


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN * 4 else f'{text[:SHOWN]}... ({len(text)} characters)'


def prune(schema: Mapping[str, Any], value: Any) -> Any:
    """A copy of `value` without the keys that a closed object does not know: what /v2 does."""
    if isinstance(value, dict) and 'properties' in schema:
        known = schema['properties']
        if schema.get('additionalProperties') is not False or 'patternProperties' in schema:
            return {key: prune(known.get(key, {}), item) for key, item in value.items()}
        return {key: prune(known[key], item) for key, item in value.items() if key in known}
    if isinstance(value, list) and isinstance(schema.get('items'), dict):
        return [prune(schema['items'], item) for item in value]
    return value
