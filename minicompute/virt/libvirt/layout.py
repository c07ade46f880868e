"""Which disks a server has, and where: from the record alone, so that a power-on finds what a build made."""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from string import ascii_lowercase

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, Instance
from minicompute.virt.hardware import GuestHardware
from minicompute.virt.libvirt import sources
from minicompute.virt.libvirt.sources import Source
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
    serial: str | None = None
    #: of a volume: where it is
    source: Source | None = None


def directory(uuid: str) -> str:
    return os.path.join(CONF.instances_path, uuid)


def disks(instance: Instance, hardware: GuestHardware, machine: str) -> list[Disk]:
    """Its own: root, ephemeral, swap and config drive, in the order that the guest sees them. Raises InvalidBDM."""
    made: list[Disk] = []
    names: dict[str, Iterator[str]] = {}

    def add(kind: str, name: str, bus: str, **facts: object) -> None:
        if bus not in PREFIX:
            raise exception.InvalidBDM(reason=f'this host has no disks on the bus {bus}')
        prefix = PREFIX[bus]
        letters = names.setdefault(prefix, (prefix + letter for letter in ascii_lowercase))
        made.append(Disk(kind=kind, path=os.path.join(directory(instance.uuid), name), bus=bus,
                         target=next(letters), **facts))  # type: ignore[arg-type]

    _refuse_unknown(instance)
    bus = hardware.disk_bus or 'virtio'
    root = root_device(instance)
    if root is not None and root.destination_type == 'volume':
        prefix = PREFIX.get(root.disk_bus or bus, 'vd')    # the first name is the volume's
        names[prefix] = (prefix + letter for letter in ascii_lowercase[1:])
    else:
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


def volumes(instance: Instance, hardware: GuestHardware, own: Sequence[Disk]) -> list[Disk]:
    """Those of the record that have a volume, beside the server's `own`; what is booted from is the first.

    Each gets the name that the user was told, unless a disk of the server has it."""
    made: list[Disk] = []
    mapped = [device for device in instance.block_devices if _is_volume(device)]
    for device in sorted(mapped, key=lambda device: device.boot_index != 0):
        made.append(volume(device, hardware, [*own, *made]))
    return made


def volume(device: BlockDevice, hardware: GuestHardware, others: Sequence[Disk]) -> Disk:
    """The disk of one volume. Raises InvalidBDM when there is no name left."""
    bus = device.disk_bus or hardware.disk_bus or 'virtio'
    if bus not in PREFIX:
        raise exception.InvalidBDM(reason=f'this host has no disks on the bus {bus}')
    wanted = (device.device_name or '').removeprefix('/dev/')
    source = sources.of(device)
    return Disk(kind='volume', path=source.place, format=source.format, bus=bus, source=source,
                target=free_target(bus, {other.target for other in others}, wanted),
                size=(device.volume_size or 0) * GIB, serial=device.volume_id)


def free_target(bus: str, taken: set[str], wanted: str = '') -> str:
    names = [PREFIX[bus] + letter for letter in ascii_lowercase]
    free = [name for name in names if name not in taken]
    if not free:
        raise exception.InvalidBDM(reason=f'the bus {bus} has no room for another disk')
    return wanted if wanted in free else free[0]


def _is_volume(device: BlockDevice) -> bool:
    """What is to take the place of another comes when it does."""
    return bool(device.volume_id) and not device.no_device and device.connection_info.get('state') != 'swapping'


def _refuse_unknown(instance: Instance) -> None:
    for device in instance.block_devices:
        if device.no_device:
            continue
        if device.destination_type == 'volume':
            if not device.volume_id:
                raise exception.InvalidBDM(reason=f'{device.source_type} -> volume, and the volume is not known')
            continue
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
