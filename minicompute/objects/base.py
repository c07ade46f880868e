"""Typed records, and how they cross the wire.

A record is a plain dataclass registered with `@record`.  On the wire it is a dict with its class
name under `~`; keys that a reader does not know are ignored and new fields have defaults, so N and
N+1 daemons understand each other.  Anything else is a new RPC major version.
"""
from __future__ import annotations

import dataclasses
import datetime
import typing
from typing import Any, TypeVar

T = TypeVar('T', bound=type)

TYPE_KEY = '~'
_records: dict[str, type] = {}
_fields: dict[type, tuple[str, ...]] = {}


@typing.dataclass_transform()
def record(cls: T) -> T:
    """Class decorator: make `cls` a keyword dataclass that the wire knows."""
    made: Any = dataclasses.dataclass(slots=True)(cls)
    _records[made.__name__] = made
    _fields[made] = tuple(f.name for f in dataclasses.fields(made))
    return typing.cast(T, made)


def to_primitive(value: Any) -> Any:
    """-> the same in dicts, lists, strings, numbers, booleans and None."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    names = _fields.get(type(value))
    if names is not None:
        out = {name: to_primitive(getattr(value, name)) for name in names}
        out[TYPE_KEY] = type(value).__name__
        return out
    if isinstance(value, dict):
        if TYPE_KEY in value:   # a user's own key: it must not pose as ours
            return {TYPE_KEY: 'dict', 'items': [[key, to_primitive(item)] for key, item in value.items()]}
        return {key: to_primitive(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_primitive(item) for item in value]
    if isinstance(value, datetime.datetime):
        return {TYPE_KEY: 'datetime', 'at': value.isoformat()}
    raise TypeError(f'{type(value).__name__} cannot be sent')


def from_primitive(value: Any) -> Any:
    """The inverse of `to_primitive`. Raises KeyError for a record that nobody registered."""
    if isinstance(value, dict):
        name = value.get(TYPE_KEY)
        if name is None:
            return {key: from_primitive(item) for key, item in value.items()}
        if name == 'datetime':
            return datetime.datetime.fromisoformat(value['at'])
        if name == 'dict':
            return {key: from_primitive(item) for key, item in value['items']}
        cls = _records[name]
        known = _fields[cls]
        return cls(**{key: from_primitive(item) for key, item in value.items() if key in known})
    if isinstance(value, list):
        return [from_primitive(item) for item in value]
    return value
