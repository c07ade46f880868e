"""Volumes that the kernel reaches: devices that os-brick makes (Fibre Channel, NVMe-oF, multipath, vendors' own).

os-brick is not among our requirements: a host needs it only for such volumes, and it brings a helper that runs as root.
"""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import threading
from collections.abc import Iterator
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice
from minicompute.virt.libvirt import disks
from minicompute.virt.libvirt.sources import NAMED, name_of

LOG = logging.getLogger(__name__)

INITIATOR = '/etc/iscsi/initiatorname.iscsi'
#: a note that is being written
_UNDONE = '.new'
#: {volume}
_locks: dict[str, threading.Lock] = {}


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


def link_of(instance_uuid: str, name: str) -> str:
    """A name of ours for the device, which may have another one after each connection."""
    return os.path.join(CONF.instances_path, instance_uuid, f'volume-{name}')


def _notes() -> str:
    """Where this host notes what it connected: the record names the connection of the host where the server lives, and
    the directory of the server may be several hosts'."""
    return os.path.join(CONF.state_path, 'connections', CONF.host)


def _note_of(instance_uuid: str, name: str) -> str:
    return os.path.join(_notes(), f'{instance_uuid}.{name}')


def connected() -> dict[str, list[BlockDevice]]:
    """{server: what this host has connected for it}, by its notes: also of servers that have no record any more."""
    found: dict[str, list[BlockDevice]] = {}
    for file in _names():
        uuid, _, name = file.partition('.')
        try:
            said = _read(os.path.join(_notes(), file))
        except (OSError, ValueError):
            said = {}       # `disconnect` says so
        found.setdefault(uuid, []).append(BlockDevice(
            source_type='volume', destination_type='volume', instance_uuid=uuid, volume_id=said.get('volume') or name,
            connection_info={NAMED: name, 'connection': said.get('connection')}))
    return found


@contextlib.contextmanager
def _alone(device: BlockDevice) -> Iterator[None]:
    """With the volume: whether another server of this host has it must stay as it was when we looked."""
    with _locks.setdefault(str(device.volume_id), threading.Lock()):
        yield


def connect(device: BlockDevice) -> None:
    """Raises InvalidVolume where this host has no os-brick, or its kernel lacks what the volume needs."""
    with _alone(device):
        _connect(device, device.connection_info['connection'])


def _connect(device: BlockDevice, info: dict[str, Any]) -> None:
    uuid, name = str(device.instance_uuid), name_of(device)
    note, said = _note_of(uuid, name), {'connection': info, 'volume': device.volume_id}
    known = os.path.exists(note)
    if not known:       # who dies here must be able to disconnect it
        _write(note, said)
    try:
        path = _ask(device, 'connect_volume', info)['path']
    except exception.InvalidVolume:
        if not known:
            os.unlink(note)
        raise
    _write(note, {**said, 'path': path, 'boot': _boot()})
    link = link_of(uuid, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(path, link)


def disconnect(device: BlockDevice) -> None:
    """What this host connected, whatever the record says now; nothing connected is fine. Raises InvalidVolume."""
    with _alone(device):
        said = _said(device)
        if said is not None:
            _disconnect(device, said)


def _disconnect(device: BlockDevice, said: dict[str, Any]) -> None:
    uuid, name = str(device.instance_uuid), name_of(device)
    info, path = said.get('connection'), said.get('path')
    if info and not _others(device, said):      # else another server of this host has it as well, by the same device
        there = dataclasses.replace(device, connection_info={'connection': info})
        try:
            _ask(there, 'disconnect_volume', info, {'path': path} if path else None)
        except exception.InvalidVolume:
            if path:        # else it was perhaps never connected
                raise
    link = link_of(uuid, name)
    with contextlib.suppress(OSError):
        # Not that of another host, which may call its device the same.
        if os.readlink(link) == path and disks.owner(uuid) in (None, CONF.host):
            os.unlink(link)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_note_of(uuid, name))


def _said(device: BlockDevice) -> dict[str, Any] | None:
    """{'connection', 'path', 'boot'} as far as they are known; None: this host did not connect it."""
    uuid, info = str(device.instance_uuid), device.connection_info.get('connection')
    note, path = _note_of(uuid, name_of(device)), None
    with contextlib.suppress(OSError):
        path = os.readlink(link_of(uuid, name_of(device)))
    try:
        return _read(note)
    except FileNotFoundError:
        # An earlier version noted nothing. In a directory that is ours the link, and the record, are of this host.
        return {'connection': info, 'path': path} if (
            info and path and disks.is_own(uuid)) else None
    except (OSError, ValueError) as error:
        LOG.error('%s cannot be read (%s): the record of volume %s says how it is connected', note, error,
                  device.volume_id)
        return {'connection': info, 'path': path}


def _others(device: BlockDevice, said: dict[str, Any]) -> bool:
    """Whether another server of this host has the volume, which may have another name there: it was moved by its
    service while one of them had it. A device's name is of no worth after the next start of the host."""
    own = f'{device.instance_uuid}.{name_of(device)}'
    for file in _names():
        if file == own:
            continue
        if file.endswith(f'.{name_of(device)}'):
            return True
        with contextlib.suppress(OSError, ValueError):
            other = _read(os.path.join(_notes(), file))
            if said.get('path') and said.get('boot') and (said['path'], said['boot']) == (
                    other.get('path'), other.get('boot')):
                return True
    return False


def _names() -> list[str]:
    try:
        return [name for name in sorted(os.listdir(_notes())) if not name.endswith(_UNDONE)]
    except FileNotFoundError:
        return []


def _boot() -> str:
    with open('/proc/sys/kernel/random/boot_id', encoding='ascii') as file:
        return file.read().strip()


def _read(note: str) -> dict[str, Any]:
    """Raises OSError, ValueError."""
    with open(note, encoding='utf-8') as file:
        said = json.load(file)
    if not isinstance(said, dict) or not isinstance(said.get('connection'), dict):
        raise ValueError('it says nothing of a connection')
    return said


def _write(place: str, said: dict[str, Any]) -> None:
    os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
    temp = f'{place}{_UNDONE}'
    with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='utf-8') as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
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
