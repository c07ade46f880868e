"""Disks of a guest that runs, copied as they are at one moment, while the guest goes on: libvirt's backup job.

The job lives in QEMU. It outlives our daemon, so whoever begins one ends first what an earlier one left; the chain of
the guest's own disk is never touched, so that nothing has to be put back, whatever dies.
"""
from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.objects import Instance
from minicompute.virt.driver import Progress
from minicompute.virt.interface.snapshots import Stop
from minicompute.virt.libvirt.config.base import element
from minicompute.virt.libvirt.guest import Guest

LOG = logging.getLogger(__name__)

POLL = 0.3
#: seconds within which a job that was told to end has ended
PATIENCE = 60.0


def description(paths: Mapping[str, str], others: list[str]) -> str:
    """The XML of a job that copies the disks of these targets (vda, ...), each to a new qcow2 at its path."""
    made = element('domainbackup', element(
        'disks',
        *(element('disk', element('target', file=path), element('driver', type_='qcow2'), name=target, backup='yes',
                  type_='file') for target, path in paths.items()),
        *(element('disk', name=other, backup='no') for other in others)), mode='push')
    return ElementTree.tostring(made, encoding='unicode')


def copy(domain: Guest, instance: Instance, paths: Mapping[str, str], progress: Progress, stop: Stop) -> bool:
    """`paths`: {target: the file that its disk is copied to}. -> False when the guest ended meanwhile: what its disks
    hold now may be copied at leisure.

    Raises ImageToolFailed, InstanceQuiesceFailed.
    """
    end_old(domain)
    path = next(iter(paths.values()))
    others = [disk.get('dev', '') for disk in domain.tree().findall('devices/disk/target')]
    for old in paths.values():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old)
    try:
        with frozen(domain, instance):
            domain.begin_backup(description(paths, [name for name in others if name not in paths]))
    except libvirt.libvirtError as error:
        if not domain.running():
            return False
        raise _failed(path, error.get_error_message()) from error
    while (job := domain.job()) is not None:
        total, done = job.get('disk_total', 0), job.get('disk_processed', 0)
        progress('extract', 100 * done // total if total else None)
        if stop():
            end_old(domain)
            raise _failed(path, 'it was stopped')
        time.sleep(POLL)
    said = domain.ended_job()
    if said.get('type') == libvirt.VIR_DOMAIN_JOB_COMPLETED and said.get('success', True):
        return True
    if not domain.running():
        return False
    raise _failed(path, str(said.get('errmsg') or 'the copy of the running disk did not complete'))


def end_old(domain: Guest) -> None:
    """No job of ours is left. Raises ImageToolFailed when it does not end."""
    deadline = time.monotonic() + PATIENCE
    while domain.job() is not None:
        domain.abort_job()
        if time.monotonic() > deadline:
            raise _failed('disk', 'an earlier copy of it does not end')
        time.sleep(POLL)


@contextlib.contextmanager
def frozen(domain: Guest, instance: Instance) -> Iterator[None]:
    """The file systems of a guest that has an agent stand still, so that they are whole in the copy. One that must be
    frozen (os_require_quiesce) and cannot: InstanceQuiesceFailed."""
    says = instance.image_properties
    wanted, must = _true(says.get('hw_qemu_guest_agent')), _true(says.get('os_require_quiesce'))
    held = False
    if wanted or must:
        try:
            domain.freeze()
            held = True
        except libvirt.libvirtError as error:
            if must:
                raise exception.InstanceQuiesceFailed(reason=error.get_error_message()) from error
            LOG.info('Instance %s is copied without being frozen: %s', instance.uuid, error.get_error_message())
    try:
        yield
    finally:
        if held:
            _thaw(domain, instance)


def _thaw(domain: Guest, instance: Instance) -> None:
    try:
        domain.thaw()
    except libvirt.libvirtError as error:
        LOG.error('Instance %s could not be thawed: %s', instance.uuid, error.get_error_message())


def _true(value: object) -> bool:
    return str(value or '').lower() in ('true', 'yes', '1')


def _failed(path: str, reason: str) -> exception.ImageToolFailed:
    return exception.ImageToolFailed(what=os.path.basename(path), reason=reason)
