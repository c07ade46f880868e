"""JSON from strangers: what no record can hold is refused before anything looks at it."""
from __future__ import annotations

import re
from typing import Any

import orjson

from minicompute import exception

#: nothing that a client means is deeper; what is written again as JSON, or walked, may not be
DEEPEST = 64
#: an escape that stands for NUL, which PostgreSQL has no text for; a backslash before it may itself be escaped
_NUL = re.compile(rb'(?<!\\)(?:\\\\)*\\u0000')


def loads(raw: bytes) -> Any:
    """Raises Invalid."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise exception.Invalid('Malformed request body: cannot understand JSON') from None
    if raw.count(b'[') + raw.count(b'{') > DEEPEST and _too_deep(value):
        raise exception.Invalid(f'Malformed request body: it is nested more than {DEEPEST} deep')
    if b'\\u0000' in raw and _NUL.search(raw):
        raise exception.Invalid(f'Invalid input for field/attribute {_with_nul(value)}. '
                                'It must not hold a NUL character.')
    return value


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for item in level if isinstance(item, (dict, list))
                 for inner in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


def _with_nul(value: Any, name: str = '') -> str | None:
    """The name of the field; the value is not deep."""
    if isinstance(value, str):
        return name if '\0' in value else None
    pairs = value.items() if isinstance(value, dict) else ((name, item) for item in value) if isinstance(
        value, list) else ()
    for key, item in pairs:
        if '\0' in key:
            return repr(key[:64])
        found = _with_nul(item, key)
        if found is not None:
            return found
    return None
