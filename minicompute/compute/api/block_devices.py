"""The disks of a new server: block_device_mapping_v2, the image and the flavor made into one list of records.

The root disk is always the first of it.  What needs a volume is refused here until there is a volume backend.
"""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.objects import BlockDevice, Flavor

MOST_LOCAL = 3      # disks besides swap, as Nova's max_local_block_devices
SWAP = 'swap'
BUSES = ('virtio', 'scsi', 'sata', 'usb', 'ide', 'fdc')
_ORDER = 'Boot sequence for the instance and image/block device mapping combination is not valid.'


def plan(entries: list[dict[str, Any]], image_id: str | None, flavor: Flavor) -> list[BlockDevice]:
    """Root, ephemerals, swap, in this order. Raises InvalidBDM and Invalid."""
    asked = [_device(entry, place) for place, entry in enumerate(entries) if not _is_removed(entry)]
    roots = [device for device in asked if device.boot_index == 0]
    _check_boot_order(asked)
    if not roots:
        if not image_id:
            raise _bad(_ORDER)
        roots = [BlockDevice(source_type='image', destination_type='local', image_id=image_id, boot_index=0)]
    root = roots[0]
    if root.source_type != 'image' or (image_id and root.image_id != image_id):
        raise _bad('the device with boot_index 0 must be the image of imageRef')
    if not image_id:
        raise _bad('Mapping image to local is not supported.')
    root.delete_on_termination = True
    others = [device for device in asked if device.boot_index != 0]
    ephemerals = [device for device in others if device.guest_format != SWAP]
    swaps = [device for device in others if device.guest_format == SWAP]
    devices = [root, *_ephemerals(ephemerals, flavor), *_swap(swaps, flavor)]
    if sum(device.guest_format != SWAP for device in devices) > MOST_LOCAL:
        raise _bad(f'You specified more local devices than the limit of {MOST_LOCAL} allows')
    return devices


def _bad(reason: str) -> exception.InvalidBDM:
    return exception.InvalidBDM(reason=reason)


def _is_removed(entry: dict[str, Any]) -> bool:
    return entry.get('no_device') not in (None, False, '', 'False', 'false')


def _device(entry: dict[str, Any], place: int) -> BlockDevice:
    where = f'block_device_mapping_v2[{place}]'
    source = entry.get('source_type') or _implied_source(entry, where)
    uuid = entry.get('uuid') or entry.get(f'{source}_id')
    if source != 'blank' and not uuid:
        raise _bad(f'{where}: a device of source_type {source} needs a uuid')
    destination = entry.get('destination_type') or ('local' if source in ('image', 'blank') else 'volume')
    boot_index = _boot_index(entry)
    if source in ('volume', 'snapshot') or destination == 'volume':
        raise exception.Invalid(f'{where}: this cloud has no volume service: source_type {source} with '
                                f'destination_type {destination} cannot be used.')
    if entry.get('disk_bus') not in (None, *BUSES):
        raise _bad(f'{where}: disk_bus must be one of {", ".join(BUSES)}')
    if source == 'image' and boot_index != 0:
        raise _bad('Mapping image to local is not supported.')
    if source == 'blank' and boot_index is not None and boot_index >= 0:
        raise _bad(f'{where}: a blank device cannot be booted from')
    return BlockDevice(
        source_type=source, destination_type='local', image_id=uuid if source == 'image' else None,
        boot_index=boot_index, device_name=entry.get('device_name'), device_type=entry.get('device_type'),
        disk_bus=entry.get('disk_bus'), guest_format=entry.get('guest_format'), volume_size=_size(entry),
        volume_type=entry.get('volume_type'), tag=entry.get('tag'), delete_on_termination=True)


def _implied_source(entry: dict[str, Any], where: str) -> str:
    for source in ('volume', 'snapshot', 'image'):
        if entry.get(f'{source}_id'):
            return source
    raise _bad(f'{where}: source_type is missing')


def _boot_index(entry: dict[str, Any]) -> int | None:
    index = entry.get('boot_index')
    if index is None or index == '':
        return None
    number = int(index)
    return None if number < 0 else number


def _size(entry: dict[str, Any]) -> int | None:
    size = entry.get('volume_size')
    return int(size) if size not in (None, '') else None


def _check_boot_order(devices: list[BlockDevice]) -> None:
    order = sorted(device.boot_index for device in devices if device.boot_index is not None)
    if order != list(range(len(order))):
        raise _bad(_ORDER)


def _ephemerals(asked: list[BlockDevice], flavor: Flavor) -> list[BlockDevice]:
    if not asked:
        if not flavor.ephemeral_gb:
            return []
        return [BlockDevice(source_type='blank', destination_type='local', volume_size=flavor.ephemeral_gb,
                            delete_on_termination=True)]
    for device in asked:
        device.volume_size = device.volume_size or flavor.ephemeral_gb
    if not flavor.ephemeral_gb or sum(device.volume_size or 0 for device in asked) > flavor.ephemeral_gb:
        raise exception.Invalid(
            'Ephemeral disks requested are larger than the instance type allows. If no size is given in one '
            'block device mapping, flavor ephemeral size will be used.')
    return asked


def _swap(asked: list[BlockDevice], flavor: Flavor) -> list[BlockDevice]:
    if len(asked) > 1:
        raise _bad('More than one swap drive requested.')
    if not asked:
        if not flavor.swap:
            return []
        asked = [BlockDevice(source_type='blank', destination_type='local', guest_format=SWAP,
                             delete_on_termination=True)]
    device = asked[0]
    device.volume_size = device.volume_size or flavor.swap
    if not flavor.swap or device.volume_size > flavor.swap:
        raise exception.Invalid('Swap drive requested is larger than instance type allows.')
    return asked
