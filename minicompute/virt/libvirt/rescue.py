"""Which disks a server has while it is rescued, by its record alone: a start finds what the preparation made.

    rescue disk, own root disk, config drive        the usual form: the rescue disk takes the root disk's place
    all disks and volumes ..., rescue disk          when the rescue image says hw_rescue_device or hw_rescue_bus: all
                                                    of them keep their places, and the last one is booted from

What is made has `.rescue` at the end of its name, beside the server's own files, and is removed by the next start
that is no rescue. The record's vm_state says which of the two a start is.
"""
from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence

from minicompute import exception
from minicompute.objects import Instance, VMState
from minicompute.virt.libvirt import layout
from minicompute.virt.libvirt.layout import PREFIX, Disk

KIND = 'rescue'
SUFFIX = '.rescue'
#: all files that a rescue may have; `base` is the reference to the cached image
FILES = ('disk', 'base', 'disk.config', 'kernel', 'ramdisk')


def rescued(instance: Instance) -> Instance:
    """The record as it is during a rescue."""
    return dataclasses.replace(instance, vm_state=VMState.RESCUED)


def unrescued(instance: Instance) -> Instance:
    return dataclasses.replace(instance, vm_state=VMState.ACTIVE)


def is_rescued(instance: Instance) -> bool:
    return instance.vm_state == VMState.RESCUED


def suffix(instance: Instance) -> str:
    """What the names of the boot files end in."""
    return SUFFIX if is_rescued(instance) else ''


def path(uuid: str, name: str) -> str:
    return os.path.join(layout.directory(uuid), name + SUFFIX)


def plan(instance: Instance, own: Sequence[Disk], cdrom_bus: str) -> list[Disk]:
    """The disks of a rescued server, of those that it has otherwise, the one that it boots from first."""
    device = instance.system_metadata.get('rescue_device')
    bus = instance.system_metadata.get('rescue_bus')
    disk = Disk(kind=KIND, path=path(instance.uuid, 'disk'), format='qcow2', bus=own[0].bus, target='')
    if device or bus:
        bus = bus or (cdrom_bus if device == 'cdrom' else own[0].bus)
        if bus not in PREFIX:
            raise exception.UnsupportedRescueBus(bus=bus)
        disk = dataclasses.replace(disk, bus=bus, device=device or 'disk')
        return [*own, dataclasses.replace(disk, target=_free(disk, own))]
    made: list[Disk] = []
    for one in (disk, own[0], *(drive for drive in own if drive.kind == 'config')):
        if one.kind == 'config':
            one = dataclasses.replace(one, path=path(instance.uuid, 'disk.config'))
        made.append(dataclasses.replace(one, target=_free(one, made)))
    return made


def boots_from(disks: Sequence[Disk]) -> Disk:
    return next((disk for disk in disks if disk.kind == KIND), disks[0])


def _free(disk: Disk, others: Sequence[Disk]) -> str:
    taken = {other.target for other in others}
    prefix = PREFIX[disk.bus]
    return next(prefix + letter for letter in 'abcdefghijklmnopqrstuvwxyz' if prefix + letter not in taken)


def remove(uuid: str) -> None:
    """No file of a rescue is left."""
    for name in FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path(uuid, name))
