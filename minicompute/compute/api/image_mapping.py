"""The block_device_mapping of an image: what an image of a volume-backed server says of the server's disks.

Written by createImage, read by a create. Images are their owners' to change: what is read here is checked like a body.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from minicompute import exception
from minicompute.compute.api.block_devices import Entries, is_root
from minicompute.objects import BlockDevice, Volume, VolumeSnapshot

MAPPING, SECOND = 'block_device_mapping', 'bdm_v2'
#: what an image of a server may bring; an image from elsewhere could name others' images as well, which nobody checked
SOURCES = ('snapshot', 'blank', 'volume')
#: disks that one image may bring
MOST = 32
_TEXTS = ('source_type', 'destination_type', 'snapshot_id', 'volume_id', 'device_name', 'device_type', 'disk_bus',
          'guest_format', 'volume_type')
_NUMBERS = ('boot_index', 'volume_size')
_FLAGS = ('delete_on_termination', 'no_device')
LARGEST = 2 ** 31 - 1


# -- written -------------------------------------------------------------------

def write(devices: Sequence[BlockDevice], snapshots: Mapping[str, str], root_device_name: str | None) -> dict[str, Any]:
    """The properties of an image of a server with these disks; `snapshots`: {volume: the snapshot of it}."""
    mapping = [_entry(device, snapshots.get(str(device.volume_id))) for device in devices if not device.no_device]
    said: dict[str, Any] = {MAPPING: json.dumps(mapping), SECOND: 'True'}
    if root_device_name:
        said['root_device_name'] = root_device_name
    return said


def _entry(device: BlockDevice, snapshot_id: str | None) -> dict[str, Any]:
    return {'source_type': 'snapshot' if snapshot_id else device.source_type,
            'destination_type': device.destination_type, 'snapshot_id': snapshot_id, 'volume_id': None,
            'image_id': None, 'boot_index': device.boot_index, 'device_name': device.device_name,
            'device_type': device.device_type, 'disk_bus': device.disk_bus, 'guest_format': device.guest_format,
            'volume_size': device.volume_size, 'volume_type': device.volume_type, 'no_device': None, 'tag': None,
            'delete_on_termination': device.delete_on_termination}


def of_volume(snapshot_id: str, found: Volume, image_name: str) -> VolumeSnapshot:
    """The snapshot that an image of a server has of one of its volumes."""
    return VolumeSnapshot(
        id=snapshot_id, volume_id=found.id, project_id=found.project_id, user_id=found.user_id, size=found.size,
        name=f'snapshot for {image_name}'[:255], description=found.description, bootable=found.bootable,
        image_metadata=found.image_metadata)


# -- read ----------------------------------------------------------------------

def merged(entries: Entries, properties: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """-> (the entries of a request and those that its image brings, whether the image brings what is booted from).
    Of a name that both have the request's counts. Raises InvalidBDM."""
    brought = _read(properties)
    has_root = any(is_root(entry) for entry in brought)
    if has_root:    # clients name the image itself as what is booted from, beside imageRef
        entries = [entry for entry in entries if not (entry.get('source_type') == 'image' and is_root(entry))]
    taken = {_bare(entry.get('device_name')) for entry in entries} - {''}
    return [*entries, *(entry for entry in brought if _bare(entry.get('device_name')) not in taken)], has_root


def _bare(name: Any) -> str:
    return str(name or '').removeprefix('/dev/')


def _read(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    said = properties.get(MAPPING)
    if not said or str(properties.get(SECOND, '')).lower() != 'true':
        return []
    try:
        found = json.loads(said) if isinstance(said, str) else said
    except ValueError:
        raise _bad('it is no JSON') from None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise _bad('it is no list of objects')
    if len(found) > MOST:
        raise _bad(f'it has more than {MOST} entries')
    return [_clean(entry) for entry in found]


def _clean(entry: dict[str, Any]) -> dict[str, Any]:
    """What is known of it, of the right types."""
    made = {name: entry[name] for name in (*_TEXTS, *_NUMBERS, *_FLAGS) if entry.get(name) is not None}
    for name in _TEXTS:
        if name in made and (not isinstance(made[name], str) or len(made[name]) > 255 or not made[name].isprintable()):
            raise _bad(f'{name} is no text')
    for name in _NUMBERS:
        value = made.get(name, 0)
        least = -1 if name == 'boot_index' else 0
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
            raise _bad(f'{name} is no number')
    for name in _FLAGS:
        if not isinstance(made.get(name, False), bool):
            raise _bad(f'{name} is neither true nor false')
    if made.get('destination_type', 'local') not in ('local', 'volume'):
        raise _bad('destination_type is neither local nor volume')
    if made.get('source_type') not in SOURCES:
        raise _bad(f'source_type is none of {", ".join(SOURCES)}')
    return made


def _bad(reason: str) -> exception.InvalidBDM:
    return exception.InvalidBDM(reason=f'the {MAPPING} of the image cannot be used: {reason}')
