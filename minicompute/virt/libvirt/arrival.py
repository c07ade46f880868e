"""Disks that change their host, or their size: what goes, and what is done to it at the other end."""
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance
from minicompute.virt import images
from minicompute.virt.driver import SpawnRequest
from minicompute.virt.libvirt import disks
from minicompute.virt.libvirt.layout import Disk


@contextlib.contextmanager
def portable(files: dict[str, str], base: str | None, stop: Callable[[], bool]) -> Iterator[dict[str, str]]:
    """`files` as they can go to a host that has the base image `base` (the name of its file): an overlay on another
    one goes with all that it lies on."""
    whole = ''
    try:
        if 'disk' in files:
            lies_on = images.info(files['disk'], 'qcow2').backing_file
            if lies_on and os.path.basename(lies_on) != base:
                whole = files['disk'] + disks.WHOLE
                images.convert(files['disk'], 'qcow2', whole, 'qcow2', stop=stop)
                files = {**files, 'disk': whole}
        yield files
    finally:
        if whole:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(whole)


def fit(instance: Instance, plan: list[Disk]) -> None:
    """Make the files that are here what `plan` says: on the base image of this host, at least as large, and none
    missing that can be made. Raises Conflict when a root disk is not here."""
    for disk in plan:
        if disk.kind == 'volume':
            continue
        if not os.path.exists(disk.path):
            _make(instance, disk)
        elif disk.filesystem == 'swap':
            if os.path.getsize(disk.path) != disk.size:     # nothing in it is worth keeping while the guest is off
                images.make_swap(disk.path, disk.size)
        elif disk.kind in ('root', 'ephemeral'):
            _settle(disk)


def complete(instance: Instance, plan: list[Disk]) -> None:
    """Make what nothing is lost with of the files of `plan`, all of which should be here. Raises Conflict when
    another one is not."""
    for disk in plan:
        if disk.kind == 'volume' or os.path.exists(disk.path):
            continue
        if disk.kind not in ('swap', 'config'):
            raise exception.Conflict(f'The {disk.kind} disk {os.path.basename(disk.path)} of instance {instance.uuid} '
                                     f'is not where {CONF.host} sees its other disks.')
        disks.make_simple(SpawnRequest(instance=instance), disk)


def _make(instance: Instance, disk: Disk) -> None:
    if disk.kind == 'root':
        raise exception.Conflict(f'The root disk of instance {instance.uuid} is not on {CONF.host}.')
    disks.make_simple(SpawnRequest(instance=instance), disk)


def _settle(disk: Disk) -> None:
    if disk.format == 'qcow2':
        lies_on = images.info(disk.path, 'qcow2').backing_file
        here = os.path.join(CONF.instances_path, '_base', os.path.basename(lies_on or ''))
        if lies_on and lies_on != here and os.path.exists(here):
            images.rebase(disk.path, here, os.path.splitext(here)[1].lstrip('.'), content_is_same=True)
        elif lies_on and not os.path.exists(lies_on):
            raise exception.Conflict(f'The image below {os.path.basename(disk.path)} is not on {CONF.host}.')
    if disk.size and images.info(disk.path, disk.format).virtual_size < disk.size:
        images.resize(disk.path, disk.format, disk.size)
