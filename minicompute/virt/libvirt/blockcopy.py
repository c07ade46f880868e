"""A disk of a running guest moves to another file: copied while the guest writes, then the guest goes on there.

The copy is a job of QEMU's. It survives the daemon: whoever asks again finds it by the mirror in the domain's XML.
"""
from __future__ import annotations

import time
from collections.abc import Callable

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.libvirt import hotplug
from minicompute.virt.libvirt.config.base import Element
from minicompute.virt.libvirt.guest import Guest
from minicompute.virt.request import Progress, no_progress

LOG = logging.getLogger(__name__)

POLL = 0.5


def replace(guest: Guest, old: str, new: str, xml: str, prepare: Callable[[], object],
            progress: Progress = no_progress, stop: Stop = never) -> None:
    """From the file `old` to `new`, which is described by `xml`, and which `prepare` makes if nobody writes it yet.
    Blocks until the guest uses `new` alone, or `stop()` says True. Raises DeviceNotAttached."""
    disk = _disk(guest, new)
    if disk is not None:
        _drop_mirror(guest, disk)    # of a copy to somewhere else that was called off
        return
    disk = _disk(guest, old)
    if disk is None:
        raise exception.DeviceNotAttached(device=old.rpartition('/')[2], reason='the domain does not have it')
    target = _target(disk)
    try:
        if disk.find('mirror') is None:
            prepare()
            guest.copy_disk(target, xml)
        while (mirror := _mirror(guest, old)) is not None:
            if mirror.get('ready') == 'yes':
                guest.end_copy(target, pivot=True)
                break
            if stop():
                guest.end_copy(target, pivot=False)
                raise exception.DeviceNotAttached(device=target, reason='the copy was stopped')
            progress('swap', guest.copied(target))
            time.sleep(POLL)
    except libvirt.libvirtError as error:
        raise exception.DeviceNotAttached(device=target, reason=error.get_error_message()) from error
    if _disk(guest, new) is None:
        raise exception.DeviceNotAttached(device=target, reason='the copy has ended before its time')
    LOG.info('Disk %s of instance %s is now %s', target, guest.uuid, new)


def call_off(guest: Guest, old: str, new: str) -> bool:
    """End a copy that is under way. -> whether it is too late: the domain has `new` in the place of `old`. Of one that
    has been switched off its definition says it, which changes when the guest goes over."""
    if guest.running():
        disk = _disk(guest, old)
        if disk is not None:
            _drop_mirror(guest, disk)
    find = hotplug.disk_of(new)
    return find(guest.tree(inactive=not guest.running())) is not None


def end(guest: Guest, path: str) -> None:
    """No copy from the file `path` or to it goes on."""
    if not guest.running():
        return
    for disk in guest.tree().findall('devices/disk'):
        ends = [disk.find('source'), disk.find('mirror/source')]
        if path in [source.get('file') for source in ends if source is not None]:
            _drop_mirror(guest, disk)


def _disk(guest: Guest, path: str) -> Element | None:
    for disk in guest.tree().findall('devices/disk'):
        source = disk.find('source')
        if source is not None and source.get('file') == path:
            return disk
    return None


def _target(disk: Element) -> str:
    found = disk.find('target')
    return found.get('dev', '') if found is not None else ''


def _mirror(guest: Guest, path: str) -> Element | None:
    disk = _disk(guest, path)
    return disk.find('mirror') if disk is not None else None


def _drop_mirror(guest: Guest, disk: Element) -> None:
    if disk.find('mirror') is None:
        return
    try:
        guest.end_copy(_target(disk), pivot=False)
    except libvirt.libvirtError as error:
        LOG.debug('The copy of %s of %s: %s', _target(disk), guest.uuid, error.get_error_message())
