"""Which disks a server has, and where: from the record alone, so that a power-on finds what a build made."""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, Instance
from minicompute.virt.hardware import GuestHardware
from minicompute.virt.libvirt.space import GIB, MIB

#: how disks are named on each bus
PREFIX = {'virtio': 'vd', 'scsi': 'sd', 'sata': 'sd', 'usb': 'sd', 'ide': 'hd', 'fdc': 'fd'}


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """`size` in bytes; 0 for a root disk means the size of its image. `target` is vda, sdb, ..."""

    kind: str
    path: str
    format: str
    bus: str
    target: str
    size: int = 0
    device: str = 'disk'
    filesystem: str | None = None
    from_image: bool = False


def directory(uuid: str) -> str:
    return os.path.join(CONF.instances_path, uuid)


def disks(instance: Instance, hardware: GuestHardware, machine: str) -> list[Disk]:
    """Root, ephemeral, swap and config drive, in the order that the guest sees them.

    Raises NotImplementedHere for volumes, InvalidBDM for what cannot be.
    """
    made: list[Disk] = []
    names: dict[str, Iterator[str]] = {}

    def add(kind: str, name: str, bus: str, **facts: object) -> None:
        if bus not in PREFIX:
            raise exception.InvalidBDM(reason=f'this host has no disks on the bus {bus}')
        prefix = PREFIX[bus]
        letters = names.setdefault(prefix, (prefix + letter for letter in 'abcdefghijklmnopqrstuvwxyz'))
        made.append(Disk(kind=kind, path=os.path.join(directory(instance.uuid), name), bus=bus,
                         target=next(letters), **facts))  # type: ignore[arg-type]

    _refuse_unknown(instance)
    bus = hardware.disk_bus or 'virtio'
    _add_root(add, instance, bus)
    for number, device in enumerate(ephemerals(instance)):
        add(
            'ephemeral',
            f'disk.eph{number}',
            device.disk_bus or bus,
            format='raw',
            size=(device.volume_size or 0) * GIB,
            filesystem=device.guest_format or CONF.default_ephemeral_format,
        )
    if size := swap_mb(instance):
        add('swap', 'disk.swap', bus, format='raw', size=size * MIB, filesystem='swap')
    if instance.config_drive or CONF.force_config_drive:
        iso = CONF.config_drive_format == 'iso9660'
        add('config', 'disk.config', (hardware.cdrom_bus or cdrom_bus(machine)) if iso else bus, format='raw',
            device='cdrom' if iso else 'disk')
    return made


def _refuse_unknown(instance: Instance) -> None:
    for device in instance.block_devices:
        if device.no_device:
            continue
        if 'volume' in (device.destination_type, device.source_type):
            raise exception.NotImplementedHere('This host cannot attach volumes.')
        if not _is_blank(device) and device.boot_index != 0:
            raise exception.InvalidBDM(
                reason=f'{device.source_type} -> {device.destination_type} can only be the root disk'
            )


def _add_root(add, instance: Instance, bus: str) -> None:
    root = root_device(instance)
    path = directory(instance.uuid)
    # The format goes by the name of the file, never by its content, which is the guest's.
    raw = os.path.exists(os.path.join(path, 'disk.raw')) or (
        CONF.libvirt.images_type == 'raw' and not os.path.exists(os.path.join(path, 'disk')))
    size = instance.flavor.root_gb if instance.flavor else 0
    from_image = root.source_type == 'image' if root else bool(instance.image_ref)
    if not from_image:
        size = (root.volume_size if root else None) or size
        if not size:
            raise exception.InvalidBDM(reason='a blank root disk needs a size')
    add('root', 'disk.raw' if raw else 'disk', (root.disk_bus if root else None) or bus,
        format='raw' if raw else 'qcow2', size=size * GIB,
        from_image=from_image)


def root_device(instance: Instance) -> BlockDevice | None:
    return next((device for device in instance.block_devices if device.boot_index == 0), None)


def _is_blank(device: BlockDevice) -> bool:
    return (device.source_type == 'blank' and device.destination_type == 'local' and device.boot_index != 0
            and not device.no_device)


def ephemerals(instance: Instance) -> list[BlockDevice]:
    """Those that the request named, else the flavor's one."""
    named = [d for d in instance.block_devices if _is_blank(d) and d.guest_format != 'swap']
    if named or not instance.flavor or not instance.flavor.ephemeral_gb:
        return named
    return [
        BlockDevice(source_type='blank', destination_type='local', volume_size=instance.flavor.ephemeral_gb)
    ]


def swap_mb(instance: Instance) -> int:
    named = [d for d in instance.block_devices if _is_blank(d) and d.guest_format == 'swap']
    if named:
        return named[0].volume_size or 0
    return instance.flavor.swap if instance.flavor else 0


def cdrom_bus(machine: str) -> str:
    """What the machine type has by itself: q35 has no IDE, pc no SATA."""
    if 'q35' in machine:
        return 'sata'
    return 'scsi' if machine.startswith(('virt', 's390', 'pseries')) else 'ide'
