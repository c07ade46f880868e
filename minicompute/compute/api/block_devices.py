"""The disks of a new server: block_device_mapping_v2, the image and the flavor made into one list of records.

The root disk is always the first of it, the volumes are the last. A volume that is to be made has no `volume_id` yet.
"""
from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from minicompute import exception
from minicompute.compute.api import device_names, fitting
from minicompute.conf import CONF
from minicompute.db.api.block_devices import ATTACHING, begins
from minicompute.objects import BlockDevice, Flavor, ImageMeta, Volume, VolumeSnapshot, VolumeStatus, to_primitive
from minicompute.objects.block_device import IMAGE
from minicompute.volume import base as volume

MOST_LOCAL = 3      # disks besides swap, as Nova's max_local_block_devices
SWAP = 'swap'
BUSES = ('virtio', 'scsi', 'sata', 'usb', 'ide', 'fdc')
_ORDER = 'Boot sequence for the instance and image/block device mapping combination is not valid.'


Entries = Sequence[dict[str, Any]]
#: what clients send for the type that there is
TYPES = (None, '', '__DEFAULT__')


def boot_image(entries: Entries, image_id: str | None) -> str | None:
    """The image that the root disk begins with, whether it is a volume or not."""
    asked = (entry for entry in entries if entry.get('source_type') == 'image' and _boot_index(entry) == 0)
    return image_id or next((str(entry['uuid']) for entry in asked if entry.get('uuid')), None)


def is_root(entry: dict[str, Any]) -> bool:
    return _boot_index(entry) == 0


def volume_ids(entries: Entries) -> list[str]:
    """The volumes that a request names."""
    return _all_named(entries, 'volume')


def snapshot_ids(entries: Entries) -> list[str]:
    """The snapshots of volumes that a request names."""
    return _all_named(entries, 'snapshot')


def image_ids(entries: Entries) -> list[str]:
    """The images that a request names for volumes which it does not boot from."""
    return _all_named([entry for entry in entries if not is_root(entry)], 'image')


def _all_named(entries: Entries, wanted: str) -> list[str]:
    found = []
    for entry in entries:
        source = entry.get('source_type') or (wanted if entry.get(f'{wanted}_id') else None)
        named = _named(entry, wanted) if source == wanted and not _is_removed(entry) else None
        if named:
            found.append(named)
    return found


def plan(entries: Entries, image_id: str | None, flavor: Flavor, volumes: Mapping[str, Volume] | None = None, *,
         root_device_name: str | None = None,
         snapshots: Mapping[str, VolumeSnapshot] | None = None,
         images: Mapping[str, ImageMeta] | None = None) -> list[BlockDevice]:
    """Root, ephemerals, swap, volumes, in this order; `volumes`, `snapshots` and `images` are those of `volume_ids`,
    `snapshot_ids` and `image_ids` that the caller sees. Raises InvalidBDM and Invalid."""
    there = _There(volumes or {}, snapshots or {}, images or {})
    asked = [_device(entry, place, there) for place, entry in enumerate(entries) if not _is_removed(entry)]
    roots = [device for device in asked if device.boot_index == 0]
    _check_boot_order(asked)
    if not roots:
        if not image_id:
            raise _bad(_ORDER)
        roots = [BlockDevice(source_type='image', destination_type='local', image_id=image_id, boot_index=0)]
    root = roots[0]
    _check_root(root, image_id, there)
    others = [device for device in asked if device.boot_index != 0]
    attached = [device for device in others if device.destination_type == 'volume']
    ephemerals = [device for device in others if device.destination_type != 'volume' and device.guest_format != SWAP]
    swaps = [device for device in others if device.guest_format == SWAP and device.destination_type != 'volume']
    local = [*_ephemerals(ephemerals, flavor), *_swap(swaps, flavor)]
    if sum(device.guest_format != SWAP for device in (root, *local) if device.destination_type == 'local') > MOST_LOCAL:
        raise _bad(f'You specified more local devices than the limit of {MOST_LOCAL} allows')
    _check_once(attached + [root])
    return _with_names([root, *local, *attached], root_device_name)


@dataclasses.dataclass(slots=True, frozen=True)
class _There:
    """What the caller sees of what the entries name."""

    volumes: Mapping[str, Volume]
    snapshots: Mapping[str, VolumeSnapshot]
    images: Mapping[str, ImageMeta]


def _check_root(root: BlockDevice, image_id: str | None, there: _There) -> None:
    if root.source_type in ('volume', 'snapshot'):
        if image_id:
            raise _bad(_ORDER)
        found = (there.volumes[str(root.volume_id)] if root.source_type == 'volume'
                 else there.snapshots[str(root.snapshot_id)])
        if not found.bootable:
            raise _bad(f'Block Device {found.id} is not bootable.')
        return
    if root.source_type != 'image' or (image_id and root.image_id != image_id):
        raise _bad('the device with boot_index 0 must be the image of imageRef')
    if root.destination_type == 'local':
        if not image_id:
            raise _bad('Mapping image to local is not supported.')
        root.delete_on_termination = True


def _check_once(devices: list[BlockDevice]) -> None:
    named = [device.volume_id for device in devices if device.volume_id]
    for one in named:
        if named.count(one) > 1:
            raise _bad(f'volume {one} is named twice')


def _with_names(devices: list[BlockDevice], root_device_name: str | None) -> list[BlockDevice]:
    """Volumes get the names that users are told; local disks take the first letters by their order."""
    plain = [device for device in devices if device.destination_type != 'volume']
    for device in devices:
        if device.destination_type != 'volume':
            continue
        wanted, device.device_name = device.device_name, None
        if device.boot_index == 0:
            device.device_name = root_device_name or '/dev/vda'
        else:
            device.device_name = _pick(root_device_name, plain, wanted)
        plain.append(device)
    return devices


def _pick(root_device_name: str | None, devices: list[BlockDevice], wanted: str | None) -> str:
    """The name that the request says is a wish: no server is refused for it."""
    try:
        wish = f'/dev/{wanted.removeprefix("/dev/")}' if wanted else None
        return device_names.pick(root_device_name, devices, wish)
    except (exception.Invalid, exception.DevicePathInUse):
        return device_names.pick(root_device_name, devices)


def zone_with(zone: str | None, volumes: Sequence[Volume]) -> str | None:
    """The zone of a new server that has these volumes, where zones may not be crossed: theirs, if it names none. Raises
    Invalid."""
    theirs = sorted({one.availability_zone for one in volumes if one.availability_zone})
    if CONF.cinder.cross_az_attach or not theirs:
        return zone
    if len(theirs) > 1:
        raise exception.Invalid(f'Volumes are in different availability zones: {", ".join(theirs)}')
    if zone is None:
        return theirs[0] if theirs[0] != CONF.default_availability_zone else None
    if zone != theirs[0]:
        raise exception.Invalid('Server and volumes are not in the same availability zone. Server is in: '
                                f'{zone}. Volumes are in: {theirs[0]}')
    return zone


def new_volume(device: BlockDevice, project_id: str, user_id: str, image_metadata: dict[str, Any],
               snapshots: Mapping[str, VolumeSnapshot] | None = None,
               images: Mapping[str, ImageMeta] | None = None) -> Volume:
    """The volume that this device of a new server is to be; the device refers to it from here on. `image_metadata` is
    that of the image which the server boots from."""
    bootable, own = device.source_type == 'image', None
    if bootable and device.boot_index != 0:
        own = (images or {})[str(device.image_id)]
        image_metadata = fitting.properties(own)
    if device.snapshot_id:
        begins = (snapshots or {})[device.snapshot_id]
        bootable, image_metadata = begins.bootable, begins.image_metadata
    made = Volume(id=str(uuid.uuid4()), project_id=project_id, user_id=user_id, name='', size=device.volume_size or 0,
                  bootable=bootable, image_metadata=image_metadata if bootable else {}, snapshot_id=device.snapshot_id)
    device.volume_id, device.attachment_id = made.id, str(uuid.uuid4())
    device.connection_info = {'state': ATTACHING, 'made': False, **({IMAGE: to_primitive(own)} if own else {})}
    return made


def _bad(reason: str) -> exception.InvalidBDM:
    return exception.InvalidBDM(reason=reason)


def _is_removed(entry: dict[str, Any]) -> bool:
    return entry.get('no_device') not in (None, False, '', 'False', 'false')


def _is_true(value: Any) -> bool:
    """The schema has let in booleans and their usual words."""
    return value is True or str(value).lower() in ('true', '1', 'on', 'yes', 'y', 't')


def _named(entry: dict[str, Any], source: str) -> str | None:
    found = entry.get('uuid') or entry.get(f'{source}_id')
    return str(found) if found else None


def _device(entry: dict[str, Any], place: int, there: _There) -> BlockDevice:
    where = f'block_device_mapping_v2[{place}]'
    source = entry.get('source_type') or _implied_source(entry, where)
    named = _named(entry, source)
    if source != 'blank' and not named:
        raise _bad(f'{where}: a device of source_type {source} needs a uuid')
    destination = entry.get('destination_type') or ('local' if source in ('image', 'blank') else 'volume')
    boot_index = _boot_index(entry)
    if entry.get('disk_bus') not in (None, *BUSES):
        raise _bad(f'{where}: disk_bus must be one of {", ".join(BUSES)}')
    made = BlockDevice(
        source_type=source, destination_type=destination, image_id=named if source == 'image' else None,
        boot_index=boot_index, device_name=entry.get('device_name'), device_type=entry.get('device_type'),
        disk_bus=entry.get('disk_bus'), guest_format=entry.get('guest_format'), volume_size=_size(entry),
        volume_type=entry.get('volume_type'), tag=entry.get('tag'), delete_on_termination=True)
    if destination == 'volume' or source in ('volume', 'snapshot'):
        return _volume_device(made, entry, where, named, there)
    if source == 'image' and boot_index != 0:       # a volume of it has gone another way
        raise _bad('Mapping image to local is not supported.')
    if source == 'blank' and boot_index is not None and boot_index >= 0:
        raise _bad(f'{where}: a blank device cannot be booted from')
    return made


def _volume_device(made: BlockDevice, entry: dict[str, Any], where: str, named: str | None,
                   there: _There) -> BlockDevice:
    source = made.source_type
    made.delete_on_termination = _is_true(entry.get('delete_on_termination'))
    if made.destination_type != 'volume':
        raise _bad(f'Mapping {source} to {made.destination_type} is not supported.')
    if made.volume_type not in TYPES and not volume.load().remote:
        raise exception.Invalid(f'Volume type {str(made.volume_type)[:64]} could not be found.')
    if source == 'volume':
        found = there.volumes.get(str(named))
        if found is None:
            raise _bad(f'failed to get volume {named}.')
        made.volume_id, made.volume_size, made.snapshot_id = found.id, found.size, found.snapshot_id
        made.attachment_id = None if volume.load().remote else str(uuid.uuid4())
        made.connection_info = begins(found, ATTACHING)
        return made
    if source == 'snapshot':
        return _of_snapshot(made, there.snapshots.get(str(named)), where, named)
    if not made.volume_size:
        kind = "Blank volumes (source: 'blank', dest: 'volume')" if source == 'blank' else (
            "Images with destination_type 'volume'")
        raise _bad(f'{kind} need to have a non-zero size specified')
    if source == 'image' and made.boot_index != 0:
        _check_image(made, there.images.get(str(named)), named)
    if source == 'blank' and made.boot_index == 0:
        raise _bad(f'{where}: a blank device cannot be booted from')
    return made


def _check_image(made: BlockDevice, found: ImageMeta | None, named: str | None) -> None:
    """Of a volume that the server has beside the one that it boots from."""
    if found is None:
        raise _bad(f'failed to get image {named}.')
    fitting.check_content(found, made.volume_size or 0)


def _of_snapshot(made: BlockDevice, found: VolumeSnapshot | None, where: str, named: str | None) -> BlockDevice:
    if found is None:
        raise _bad(f'failed to get snapshot {named}.')
    if found.status != VolumeStatus.AVAILABLE:
        raise _bad(f'{where}: snapshot {named} is {found.status}')
    if made.volume_size and made.volume_size < found.size:
        raise _bad(f'{where}: volume_size is {made.volume_size}, and snapshot {named} has {found.size} GiB')
    made.snapshot_id, made.volume_size = found.id, made.volume_size or found.size
    return made


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
