"""A directory that libvirt may write into for another host."""
from __future__ import annotations

import dataclasses

from minicompute.virt.libvirt.config.base import Element, element


@dataclasses.dataclass(slots=True)
class DirectoryPool:
    name: str
    path: str

    def xml(self) -> Element:
        return element('pool', element('name', text=self.name), element('target', element('path', text=self.path)),
                       type_='dir')


@dataclasses.dataclass(slots=True)
class File:
    """Bytes as they are, whatever they mean: `size` of them, for the user and group that the daemon there runs as."""

    name: str
    size: int
    uid: int
    gid: int
    mode: int = 0o644

    def xml(self) -> Element:
        permissions = element(
            'permissions', element('mode', text=f'{self.mode:04o}'), element('owner', text=self.uid),
            element('group', text=self.gid))
        return element(
            'volume', element('name', text=self.name), element('capacity', text=self.size, unit='bytes'),
            element('allocation', text=0), element('target', element('format', type_='raw'), permissions))
