"""boot's disks: options to block_device_mapping_v2."""

from __future__ import annotations

import argparse
from typing import Any

from minicompute.cli import errors

# option key -> API key
KEYS = {
    'id': 'uuid', 'source': 'source_type', 'dest': 'destination_type', 'bus': 'disk_bus',
    'type': 'device_type',
    'device': 'device_name', 'size': 'volume_size', 'format': 'guest_format', 'bootindex': 'boot_index',
    'shutdown': 'delete_on_termination', 'tag': 'tag', 'volume_type': 'volume_type',
}


def build(client: Any, args: argparse.Namespace, image: str | None) -> list[dict[str, Any]]:
    """The mapping, or an empty list if the image is all there is."""
    devices: list[dict[str, Any]] = []
    if args.boot_volume:
        devices.append(_root('volume', args.boot_volume))
    if args.snapshot:
        devices.append(_root('snapshot', args.snapshot))
    devices += [_new_style(client, text) for text in args.block_device]
    devices += [_old_style(text) for text in args.block_device_mapping]
    devices += [_ephemeral(text) for text in args.ephemeral]
    if args.swap is not None:
        devices.append({**_blank(args.swap), 'guest_format': 'swap'})
    if devices and image and not any(d.get('boot_index') == 0 for d in devices):
        devices.insert(0, {'uuid': image, 'source_type': 'image', 'destination_type': 'local',
                           'boot_index': 0,
                           'delete_on_termination': True})
    return devices


def _root(source: str, uuid: str) -> dict[str, Any]:
    return {'uuid': uuid, 'source_type': source, 'destination_type': 'volume', 'boot_index': 0,
            'delete_on_termination': False}


def _blank(size: int) -> dict[str, Any]:
    return {'source_type': 'blank', 'destination_type': 'local', 'boot_index': -1,
            'delete_on_termination': True,
            'volume_size': size}


def _number(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise errors.UsageError(f"{what} is a whole number, not '{text}'") from None


def split(text: str, option: str, known: Any) -> dict[str, str]:
    """`key=value,key=value` with known keys, each once."""
    result: dict[str, str] = {}
    for word in text.split(','):
        key, equals, value = word.partition('=')
        if not equals or key not in known or key in result:
            keys = ', '.join(f'{k}=...' for k in known)
            raise errors.UsageError(f"{option} takes {keys}, each once, not '{word}'")
        result[key] = value
    return result


def _new_style(client: Any, text: str) -> dict[str, Any]:
    given = split(text, '--block-device', KEYS)
    device: dict[str, Any] = {KEYS[key]: value for key, value in given.items()}
    if 'tag' in device:
        client.require(42, '--block-device tag=')
    if 'volume_type' in device:
        client.require(67, '--block-device volume_type=')
    source = device.setdefault('source_type', 'blank')
    if source not in ('image', 'snapshot', 'volume', 'blank'):
        raise errors.UsageError(f"--block-device source= is image, snapshot, volume or blank, not '{source}'")
    if (source == 'blank') == ('uuid' in device):
        raise errors.UsageError(f'--block-device source={source} ' + (
            'takes no id=' if source == 'blank' else 'needs id='))
    local = source == 'blank' or (source == 'image' and 'volume_size' not in device)
    destination = device.setdefault('destination_type', 'local' if local else 'volume')
    for key in ('volume_size', 'boot_index'):
        if key in device:
            device[key] = _number(device[key], f'--block-device {key}')
    shutdown = device.pop('delete_on_termination', 'remove' if destination == 'local' else 'preserve')
    if shutdown not in ('remove', 'preserve'):
        raise errors.UsageError(f"--block-device shutdown= is remove or preserve, not '{shutdown}'")
    device['delete_on_termination'] = shutdown == 'remove'
    return device


def _old_style(text: str) -> dict[str, Any]:
    """`vda=id:type:size:delete-on-terminate`; type is snap, or empty for a volume."""
    name, equals, rest = text.partition('=')
    parts = (rest.split(':') + [''] * 4)[:4]
    if not equals or not parts[0]:
        raise errors.UsageError(f"--block-device-mapping takes dev=id:type:size:delete, not '{text}'")
    device: dict[str, Any] = {
        'uuid': parts[0], 'device_name': name, 'destination_type': 'volume',
        'source_type': 'snapshot' if parts[1].startswith('snap') else 'volume',
        'delete_on_termination': parts[3].lower() in ('1', 'true', 'yes')}
    if name in ('vda', '/dev/vda', 'sda', '/dev/sda'):
        device['boot_index'] = 0
    if parts[2]:
        device['volume_size'] = _number(parts[2], '--block-device-mapping size')
    return device


def _ephemeral(text: str) -> dict[str, Any]:
    given = split(text, '--ephemeral', ('size', 'format'))
    if 'size' not in given:
        raise errors.UsageError('--ephemeral needs size=')
    device = _blank(_number(given['size'], '--ephemeral size'))
    if 'format' in given:
        device['guest_format'] = given['format']
    return device
