"""Disks and what they hang on."""
from __future__ import annotations

import dataclasses

from minicompute.virt.libvirt.config.base import Element, Part, element


@dataclasses.dataclass(slots=True)
class FileDisk:
    """`iotune` maps libvirt's names (total_bytes_sec, read_iops_sec, ...) to numbers."""

    path: str
    format: str
    target: str
    bus: str = 'virtio'
    device: str = 'disk'
    cache: str | None = None
    serial: str | None = None
    boot_order: int | None = None
    iotune: dict[str, int] = dataclasses.field(default_factory=dict)

    def xml(self) -> Element:
        read_only = self.device == 'cdrom'
        return element(
            'disk',
            # The format is always told: a guest that writes a qcow2 header onto its raw disk gains nothing.
            element('driver', name='qemu', type_=self.format, cache=self.cache,
                    discard=None if read_only else 'unmap'),
            element('source', file=self.path),
            element('target', dev=self.target, bus=self.bus),
            element('readonly') if read_only else None,
            element('serial', text=self.serial) if self.serial else None,
            element('boot', order=self.boot_order) if self.boot_order else None,
            self._iotune(),
            type_='file', device=self.device)

    def _iotune(self) -> Element | None:
        if not self.iotune:
            return None
        return element('iotune', *(element(name, text=value) for name, value in sorted(self.iotune.items())))


@dataclasses.dataclass(slots=True)
class SourceDisk:
    """A volume that is not a file of ours: `source` renders itself."""

    source: Part
    type: str
    format: str
    target: str
    bus: str = 'virtio'
    cache: str | None = None
    serial: str | None = None
    boot_order: int | None = None
    shared: bool = False
    read_only: bool = False

    def xml(self) -> Element:
        return element(
            'disk',
            element('driver', name='qemu', type_=self.format, cache=self.cache, discard='unmap',
                    io='native' if self.type in ('file', 'block') and self.cache in ('none', 'directsync') else None),
            self.source.xml(),
            element('target', dev=self.target, bus=self.bus),
            element('shareable') if self.shared else None,
            element('readonly') if self.read_only else None,
            element('serial', text=self.serial) if self.serial else None,
            element('boot', order=self.boot_order) if self.boot_order else None,
            type_=self.type, device='disk')


@dataclasses.dataclass(slots=True)
class Controller:
    type: str
    index: int | None = None
    model: str | None = None

    def xml(self) -> Element:
        return element('controller', type_=self.type, index=self.index, model=self.model)
