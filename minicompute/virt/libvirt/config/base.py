"""The ground of the builders."""
from __future__ import annotations

import re
from typing import Any, Protocol
from xml.etree import ElementTree

Element = ElementTree.Element

#: what XML 1.0 cannot carry even escaped; libvirt would refuse the whole document
_UNPRINTABLE = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


class Part(Protocol):
    """A record that renders itself."""

    def xml(self) -> Element: ...


def clean(value: Any) -> str:
    return _UNPRINTABLE.sub('', str(value))


def element(tag: str, *children: Element | None, text: Any = None, **attributes: Any) -> Element:
    """An element; attributes and children that are None are left out. `type_` stands for `type`."""
    made = Element(
        tag, {key.rstrip('_'): clean(value) for key, value in attributes.items() if value is not None}
    )
    if text is not None:
        made.text = clean(text)
    made.extend(child for child in children if child is not None)
    return made


def yes(value: bool) -> str:
    return 'yes' if value else 'no'


def on(value: bool) -> str:
    return 'on' if value else 'off'


def render(part: Part) -> str:
    tree = part.xml()
    ElementTree.indent(tree)
    return ElementTree.tostring(tree, encoding='unicode')


def parse(text: str) -> Element:
    """Of libvirt's own answers only."""
    return ElementTree.fromstring(text)
