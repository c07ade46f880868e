"""HTML by function calls: whatever is not `Markup` is escaped, so nothing from elsewhere can be anything but text."""
from __future__ import annotations

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | None | Iterable['Child']
VOID = frozenset(('meta', 'input', 'br', 'link'))


def escaped(child: Child) -> str:
    if child is None:
        return ''
    if isinstance(child, Markup):
        return child
    return html.escape(child) if isinstance(child, str) else ''.join(escaped(one) for one in child)


def tag(kind: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """tag('a', 'servers', href='#x', class_='path') -> <a href="#x" class="path">servers</a>"""
    said = [kind]
    for key, value in attributes.items():
        word = key.rstrip('_').replace('_', '-')
        if value is True:
            said.append(word)
        elif value not in (None, False):
            said.append(f'{word}="{html.escape(str(value))}"')
    inner = escaped(children)
    return Markup(f'<{" ".join(said)}>' if kind in VOID else f'<{" ".join(said)}>{inner}</{kind}>')


def raw(text: str) -> Markup:
    """For our own style sheet and script, which are no text of anybody's."""
    return Markup(text)
