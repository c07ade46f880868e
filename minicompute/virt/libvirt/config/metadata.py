"""What a domain says of itself, so that its owner can be known without the database."""
from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

from minicompute.virt.libvirt.config.base import Element, element, parse

NAMESPACE = 'https://minicompute.dev/xmlns/libvirt/1'
ElementTree.register_namespace('mc', NAMESPACE)


@dataclasses.dataclass(slots=True)
class Metadata:
    """`host` is the daemon that made the domain; `digest` tells whether a domain is what is asked for."""

    host: str
    name: str = ''
    project: str = ''
    user: str = ''
    flavor: str = ''
    image: str = ''
    digest: str = ''

    def xml(self) -> Element:
        fields = [
            element(f'{{{NAMESPACE}}}{f.name}', text=getattr(self, f.name)) for f in dataclasses.fields(self)
        ]
        return element('metadata', element(f'{{{NAMESPACE}}}instance', *fields))


def read(text: str) -> Metadata | None:
    """From the XML of a domain; None when it is not one of ours."""
    found = parse(text).find(f'metadata/{{{NAMESPACE}}}instance')
    if found is None:
        return None
    known = {f.name for f in dataclasses.fields(Metadata)}
    values = {child.tag.removeprefix(f'{{{NAMESPACE}}}'): child.text or '' for child in found}
    return Metadata(**{'host': '', **{key: value for key, value in values.items() if key in known}})
