"""Values as a person likes to read them, and as a program does (cliff's two views of one cell)."""

from __future__ import annotations

import os
import sys
from typing import Any

from cliff.columns import FormattableColumn

POWER_STATES = {0: 'NOSTATE', 1: 'Running', 3: 'Paused', 4: 'Shutdown', 6: 'Crashed', 7: 'Suspended'}

_STYLES = {
    'green': ('ACTIVE', 'UP', 'ENABLED', 'RUNNING', 'AVAILABLE', 'SUCCESS', 'DONE'),
    'red': ('ERROR', 'DOWN', 'CRASHED', 'KILLED', 'FAILED', 'STUCK'),
    'yellow': ('BUILD', 'REBUILD', 'REBOOT', 'HARD_REBOOT', 'RESIZE', 'VERIFY_RESIZE', 'REVERT_RESIZE',
               'MIGRATING',
               'PASSWORD', 'QUEUED', 'SAVING', 'DISABLED', 'RESCUE', 'UNKNOWN', 'UNWINDING'),
    'bright_black': ('SHUTOFF', 'SHUTDOWN', 'DELETED', 'SOFT_DELETED', 'SHELVED', 'SHELVED_OFFLOADED',
                     'SUSPENDED',
                     'PAUSED'),
}
_STYLE_OF = {word: style for style, words in _STYLES.items() for word in words}


def colours(stream: Any = None) -> bool:
    stream = stream or sys.stdout
    return bool(stream.isatty()) and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'


def style_of(status: str | None) -> str:
    return _STYLE_OF.get((status or '').upper(), '')


class Status(FormattableColumn):  # type: ignore[type-arg]
    """Coloured on a terminal."""

    def human_readable(self) -> str:
        text = '-' if self._value is None else str(self._value)
        name = style_of(text)
        if not name or not colours():
            return text
        from rich.color import ColorSystem
        from rich.style import Style
        return Style.parse(name).render(text, color_system=ColorSystem.STANDARD)


class Plain(FormattableColumn):  # type: ignore[type-arg]
    """`-` for a person where a program reads null."""

    def human_readable(self) -> str:
        return '-' if self._value is None else str(self._value)


class Pairs(FormattableColumn):  # type: ignore[type-arg]
    """A mapping: `key=value` a line."""

    def human_readable(self) -> str:
        return '\n'.join(f'{key}={value}' for key, value in sorted((self._value or {}).items())) or '-'


class Items(FormattableColumn):  # type: ignore[type-arg]
    """A list: an item a line."""

    def human_readable(self) -> str:
        return '\n'.join(', '.join(f'{k}={v}' for k, v in i.items()) if isinstance(i, dict) else str(i)
                         for i in self._value or ()) or '-'


class Addresses(FormattableColumn):  # type: ignore[type-arg]
    """A server's `addresses`: `net=ip, ip` a network."""

    def human_readable(self) -> str:
        return '; '.join(f'{net}=' + ', '.join(a['addr'] for a in ips)
                         for net, ips in sorted((self._value or {}).items()))


class Flavor(FormattableColumn):  # type: ignore[type-arg]
    """A flavor inside a server, by its name."""

    def human_readable(self) -> str:
        return str(self._value.get('original_name') or self._value.get('id'))


def cell(value: Any) -> Any:
    """The column type that fits a raw value."""
    if isinstance(value, dict):
        return Pairs(value)
    if isinstance(value, list):
        return Items(value)
    return Plain(value) if value is None else value


def table(records: list[dict[str, Any]], columns: list[tuple[str, str]]) -> tuple[list[str], list[list[Any]]]:
    """cliff's (names, rows) from records and (title, key) pairs; a Status, State column gets colour."""
    rows = [[_typed(title, record.get(key)) for title, key in columns] for record in records]
    return [title for title, _key in columns], rows


def _typed(title: str, value: Any) -> Any:
    return Status(value) if title in ('Status', 'State') else cell(value)


def show(record: dict[str, Any], drop: tuple[str, ...] = ('links',)) -> tuple[list[str], list[Any]]:
    """cliff's (names, values) from one record, sorted by name."""
    names = sorted(name for name in record if name not in drop)
    return names, [_typed({'status': 'Status', 'state': 'State'}.get(name, name), record[name])
                   for name in names]


def power_state(number: Any) -> str | None:
    return POWER_STATES.get(number, str(number)) if number is not None else None
