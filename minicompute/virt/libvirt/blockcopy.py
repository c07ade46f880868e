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
from minicompute.virt.libvirt.sources import Source
from minicompute.virt.request import Progress, no_progress

LOG = logging.getLogger(__name__)

POLL = 0.5


def replace(guest: Guest, old: str | Source, new: str | Source, xml: str, prepare: Callable[[], object],
            progress: Progress = no_progress, stop: Stop = never) -> None:
    """From the file `old` to `new`, which is described by `xml`, and which `prepare` makes if nobody writes it yet.
    Blocks until the guest uses `new` alone, or `stop()` says True. Raises DeviceNotAttached."""
    disk = _disk(guest, new)
    if disk is not None:
        _drop_mirror(guest, disk)    # of a copy to somewhere else that was called off
        return
    disk = _disk(guest, old)
    if disk is None:
        raise exception.DeviceNotAttached(device=name_of(old), reason='the domain does not have it')
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
    LOG.info('Disk %s of instance %s is now %s', target, guest.uuid, name_of(new))


def call_off(guest: Guest, old: str | Source, new: str | Source) -> bool:
    """End a copy that is under way. -> whether it is too late: the domain has `new` in the place of `old`. Of one that
    has been switched off its definition says it, which changes when the guest goes over."""
    if guest.running():
        disk = _disk(guest, old)
        if disk is not None:
            _drop_mirror(guest, disk)
    find = hotplug.disk_of(new)
    return find(guest.tree(inactive=not guest.running())) is not None


def end(guest: Guest, where: str | Source) -> None:
    """No copy from this file, or wherever the disk is, or to it goes on."""
    if not guest.running():
        return
    source = hotplug.source_of(where)
    for disk in guest.tree().findall('devices/disk'):
        mirror = disk.find('mirror')
        if source.is_in(disk) or mirror is not None and source.is_in(mirror):
            _drop_mirror(guest, disk)


def name_of(where: str | Source) -> str:
    return (where if isinstance(where, str) else where.place).rpartition('/')[2]


def _disk(guest: Guest, path: str | Source) -> Element | None:
    return hotplug.disk_of(path)(guest.tree())


def _target(disk: Element) -> str:
    found = disk.find('target')
    return found.get('dev', '') if found is not None else ''


def _mirror(guest: Guest, path: str | Source) -> Element | None:
    disk = _disk(guest, path)
    return disk.find('mirror') if disk is not None else None


def _drop_mirror(guest: Guest, disk: Element) -> None:
    if disk.find('mirror') is None:
        return
    try:
        guest.end_copy(_target(disk), pivot=False)
    except libvirt.libvirtError as error:
        LOG.debug('The copy of %s of %s: %s', _target(disk), guest.uuid, error.get_error_message())
