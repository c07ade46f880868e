"""JSON patch of an image, as much of it as Glance's media type has, and lists by index, as the SDK sends."""
from __future__ import annotations

from typing import Any

from minicompute import exception


def apply(view: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """-> a changed copy. Raises Invalid for a wrong operation, Conflict for one that does not apply."""
    made = {name: list(value) if isinstance(value, list) else value for name, value in view.items()}
    for operation in operations:
        _one(made, operation)
    return made


def _one(made: dict[str, Any], operation: dict[str, Any]) -> None:
    path, op = operation['path'], operation['op']
    if op != 'remove' and 'value' not in operation:
        raise exception.Invalid(f"Operation '{op}' of {path}: value is missing.")
    name, *rest = [part.replace('~1', '/').replace('~0', '~') for part in path[1:].split('/')]
    if rest:
        if len(rest) > 1 or not isinstance(made.get(name), list):
            raise exception.Invalid(f'path: {path[:200]} does not name an attribute of an image.')
        _in_list(made[name], operation, rest[0])
        return
    if op != 'add' and name not in made:
        raise exception.Conflict(f'path: the image has no attribute {path[1:201]!r}.')
    if op == 'remove':
        del made[name]
    elif op == 'test':
        _test(made[name], operation)
    else:
        made[name] = operation['value']


def _in_list(items: list[Any], operation: dict[str, Any], key: str) -> None:
    op = operation['op']
    number = int(key) if key.isascii() and key.isdecimal() and len(key) < 6 else -1
    index = len(items) if key == '-' else number
    if not 0 <= index <= len(items) - (op != 'add'):
        raise exception.Conflict(f'path: {operation["path"][:200]} is not in the list.')
    if op == 'add':
        items.insert(index, operation['value'])
    elif op == 'remove':
        del items[index]
    elif op == 'test':
        _test(items[index], operation)
    else:
        items[index] = operation['value']


def _test(found: Any, operation: dict[str, Any]) -> None:
    if found != operation['value']:
        raise exception.Conflict(f'path: {operation["path"][:200]} has another value than the test says.')
