"""Volumes that the kernel reaches: devices that os-brick makes (Fibre Channel, NVMe-oF, multipath, vendors' own).

os-brick is not among our requirements: a host needs it only for such volumes, and it brings a helper that runs as root.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice

LOG = logging.getLogger(__name__)

INITIATOR = '/etc/iscsi/initiatorname.iscsi'


def connector() -> dict[str, Any]:
    """What a volume service has to know of this host. os-brick, where it is installed, finds out more."""
    found: dict[str, Any] = {'host': CONF.host, 'ip': CONF.my_block_storage_ip or CONF.my_ip, 'os_type': 'linux',
                             'platform': platform.machine(), 'multipath': CONF.libvirt.volume_use_multipath,
                             'do_local_attach': False, 'initiator': _initiator()}
    try:
        from os_brick.initiator import connector as brick
    except ImportError:
        return found
    try:
        told: dict[str, Any] = brick.get_connector_properties(
            'sudo', found['ip'], CONF.libvirt.volume_use_multipath, enforce_multipath=True, host=CONF.host)
    except Exception as error:
        LOG.warning('os-brick cannot say how this host reaches volumes: %s', error)
        return found
    return {**found, **told}


def _initiator() -> str | None:
    with contextlib.suppress(OSError), open(INITIATOR, encoding='utf-8') as file:
        for line in file:
            if line.startswith('InitiatorName='):
                return line.partition('=')[2].strip()
    return None


def link_of(instance_uuid: str, volume_id: str) -> str:
    """A name of ours for the device, which may have another one after each connection."""
    return os.path.join(CONF.instances_path, instance_uuid, f'volume-{volume_id}')


def _note_of(instance_uuid: str, volume_id: str) -> str:
    """Where this host notes what it connected: the record names the connection of the host where the server lives, and
    the directory of the server may be several hosts'."""
    return os.path.join(CONF.state_path, 'connections', CONF.host, f'{instance_uuid}.{volume_id}')


def connect(device: BlockDevice) -> None:
    """Raises InvalidVolume where this host has no os-brick, or its kernel lacks what the volume needs."""
    info = device.connection_info['connection']
    note = _note_of(str(device.instance_uuid), str(device.volume_id))
    known = os.path.exists(note)
    if not known:       # who dies here must be able to disconnect it
        _write(note, {'connection': info})
    try:
        path = _ask(device, 'connect_volume', info)['path']
    except exception.InvalidVolume:
        if not known:
            os.unlink(note)
        raise
    _write(note, {'connection': info, 'path': path})
    link = link_of(str(device.instance_uuid), str(device.volume_id))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(path, link)


def disconnect(device: BlockDevice) -> None:
    """What this host connected, whatever the record says now; nothing connected is fine. Raises InvalidVolume."""
    note, volume_id = _note_of(str(device.instance_uuid), str(device.volume_id)), str(device.volume_id)
    try:
        with open(note, encoding='utf-8') as file:
            said = json.load(file)
    except FileNotFoundError:
        return
    path = said.get('path')
    others = [name for name in os.listdir(os.path.dirname(note))
              if name.endswith(f'.{volume_id}') and name != os.path.basename(note)]
    if not others:      # else another server of this host has it as well, by the same device
        there = dataclasses.replace(device, connection_info={'connection': said['connection']})
        try:
            _ask(there, 'disconnect_volume', said['connection'], {'path': path} if path else None)
        except exception.InvalidVolume:
            if path:        # else it was perhaps never connected
                raise
    link = link_of(str(device.instance_uuid), volume_id)
    with contextlib.suppress(OSError):
        if os.readlink(link) == path:      # not that of another host
            os.unlink(link)
    os.unlink(note)


def _write(place: str, said: dict[str, Any]) -> None:
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    temp = f'{place}.new'
    with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='utf-8') as file:
        json.dump(said, file)
    os.replace(temp, place)


def _ask(device: BlockDevice, verb: str, *args: Any) -> Any:
    kind = str(device.connection_info['connection'].get('driver_volume_type'))
    try:
        from os_brick.initiator import connector as brick
    except ImportError:
        raise exception.InvalidVolume(
            reason=f'volume {device.volume_id} is reached by {kind}, for which this host needs os-brick') from None
    try:
        made = brick.InitiatorConnector.factory(
            kind, 'sudo', use_multipath=CONF.libvirt.volume_use_multipath, device_scan_attempts=5)
        return getattr(made, verb)(*args)
    except Exception as error:
        LOG.exception('os-brick: %s of volume %s', verb, device.volume_id)
        raise exception.InvalidVolume(
            reason=f'this host cannot reach volume {device.volume_id} by {kind}') from error
