"""Volumes that the kernel reaches: devices that os-brick makes (Fibre Channel, NVMe-oF, multipath, vendors' own).

os-brick is not among our requirements: a host needs it only for such volumes, and it brings a helper that runs as root.
"""
from __future__ import annotations

import contextlib
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


def connect(device: BlockDevice) -> None:
    """Raises InvalidVolume where this host has no os-brick, or its kernel lacks what the volume needs."""
    info = device.connection_info['connection']
    path = _ask(device, 'connect_volume', info)['path']
    link = link_of(str(device.instance_uuid), str(device.volume_id))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(path, link)


def disconnect(device: BlockDevice) -> None:
    """Nothing connected is fine."""
    link = link_of(str(device.instance_uuid), str(device.volume_id))
    if not os.path.islink(link):
        return
    _ask(device, 'disconnect_volume', device.connection_info['connection'], {'path': os.readlink(link)})
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)


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
