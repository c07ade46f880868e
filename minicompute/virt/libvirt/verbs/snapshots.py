"""See `virt/interface/snapshots.py`.

    <instances_path>/<uuid>/extract.<image id>     a snapshot until it is sent: a qcow2 without backing files
"""
from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Mapping
from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, ImageMeta, Instance
from minicompute.virt import growth, images
from minicompute.virt.driver import Progress, SpawnRequest, no_progress
from minicompute.virt.interface.snapshots import SnapshotVerbs, Stop, never
from minicompute.virt.libvirt import backup, guest, hotplug, layout, space, volumes
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.libvirt.base import stop as shut_down
from minicompute.virt.libvirt.config.base import Element, render
from minicompute.virt.libvirt.disks import EXTRACT, check_fit, check_image
from minicompute.virt.libvirt.layout import Disk
from minicompute.volume import files

FORMAT = 'qcow2'


class LibvirtSnapshots(LibvirtBase, SnapshotVerbs):
    # -- disks become images ---------------------------------------------------------

    def extract(self, instance: Instance, image_id: str, progress: Progress = no_progress,
                stop: Stop = never) -> None:
        domain = guest.find(self._host, instance.uuid)
        root = self._builder.disks(instance)[0]
        path = _extract(instance.uuid, image_id)
        backup.end_old(domain)
        _drop(instance.uuid)
        progress('extract', None)
        taken = _require_room(root)
        if domain.running() and backup.copy(domain, instance, {root.target: path}, progress, stop):
            return
        images.convert(root.path, root.format, path, FORMAT, stop=stop,
                       watch=lambda temp: growth.told(temp, taken, 'extract', progress))

    def send_image(self, instance: Instance, image_id: str, progress: Progress = no_progress,
                   stop: Stop = never) -> dict[str, Any]:
        def tell(percent: int) -> None:
            progress('upload', percent)
            time.sleep(0)       # under eventlet nothing else here lets the others go on
        try:
            facts = self._sink.send(image_id, _extract(instance.uuid, image_id), FORMAT, tell, stop)
        except FileNotFoundError:
            raise exception.NotFound(f'The copy of the disk of instance {instance.uuid} is not there any more.') \
                from None
        _drop(instance.uuid)
        return facts

    def drop_extract(self, instance: Instance, image_id: str) -> None:
        with contextlib.suppress(exception.DomainNotFound):
            backup.end_old(guest.find(self._host, instance.uuid))
        _drop(instance.uuid)
        self._sink.forget(image_id)

    # -- volumes become snapshots ------------------------------------------------------

    def copy_volumes(self, instance: Instance, copies: Mapping[str, str], progress: Progress = no_progress,
                     stop: Stop = never) -> None:
        domain = guest.find(self._host, instance.uuid)
        backup.end_old(domain)
        paths = {files.path_of(volume): files.snapshot_path(made) for volume, made in copies.items()}
        progress('extract', None)
        try:
            taken = sum(os.stat(path).st_blocks * 512 for path in paths)
        except FileNotFoundError as error:
            raise exception.VolumeLost(volume_id=os.path.basename(error.filename).partition('.')[0]) from None
        space.require(CONF.local_volumes.path, taken, 'the snapshots of the volumes')
        if domain.running():
            targets = {_target(domain.tree(), path): made for path, made in paths.items()}
            if backup.copy(domain, instance, targets, progress, stop):
                return
        for path, made in paths.items():
            images.convert(path, files.FORMAT, made, files.FORMAT, stop=stop)

    def drop_copies(self, instance: Instance, copies: Mapping[str, str]) -> None:
        with contextlib.suppress(exception.DomainNotFound):
            backup.end_old(guest.find(self._host, instance.uuid))
        for made in copies.values():
            files.remove_snapshot(made)

    # -- and a server gets new disks -------------------------------------------------

    def check_rebuild(self, instance: Instance) -> None:
        self._builder.check(instance)

    def fetch_image(self, instance: Instance, image: ImageMeta, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        self.check_rebuild(instance)
        check_image(SpawnRequest(instance, image=image))
        # The cache keeps what was asked for a while ago; a link that a kill leaves is swept like a half-fetched image.
        link = os.path.join(self._cache.directory, f'.{instance.uuid}.part')
        base = self._cache.disk(image, link, progress, stop)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        root = layout.root_device(instance)
        if root is not None and root.destination_type == 'volume':
            check_fit(base.virtual_size, (root.volume_size or 0) * space.GIB)
        elif instance.flavor is not None:
            check_fit(base.virtual_size, instance.flavor.root_gb * space.GIB)

    def free_root(self, instance: Instance, device: BlockDevice, timeout: int = 0, stop: Stop = never) -> None:
        with self._watch.quiet(instance.uuid):
            self._must_be_ours(instance.uuid)
            self.check_rebuild(instance)
            with contextlib.suppress(exception.DomainNotFound):
                shut_down(guest.find(self._host, instance.uuid), timeout, stop)
            if volumes.is_remote(device):
                self._let_go(device)

    def fill_volume(self, instance: Instance, device: BlockDevice, image: ImageMeta, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        if self._is_running(instance.uuid):     # somebody has started it from outside since it was shut down
            raise exception.Conflict('The guest uses its disk.')
        volumes.refill(device, image, self._cache, progress, stop)

    def rebuild(self, request: SpawnRequest, *, preserve_ephemeral: bool, start: bool, timeout: int = 0,
                progress: Progress = no_progress) -> None:
        instance = request.instance
        self._must_be_ours(instance.uuid)
        self.check_rebuild(instance)
        plan = self._builder.disks(instance)
        with self._watch.quiet(instance.uuid):
            with contextlib.suppress(exception.DomainNotFound):
                shut_down(guest.find(self._host, instance.uuid), timeout)
            guest.remove(self._host, instance.uuid)
            self._disks.remake(request, plan, preserve_ephemeral, progress)
            progress('domain', None)
            if start:
                self._define_and_start(instance)
            else:
                guest.define(self._host, instance.uuid, render(self._builder.domain(instance)))


def _target(tree: Element, path: str) -> str:
    """Raises DeviceNotAttached."""
    disk = hotplug.disk_of(path)(tree)
    target = disk.find('target') if disk is not None else None
    if target is None:
        raise exception.DeviceNotAttached(device=os.path.basename(path), reason='the domain does not have it')
    return target.get('dev', '')


def _extract(uuid: str, image_id: str) -> str:
    return os.path.join(layout.directory(uuid), f'{EXTRACT}{os.path.basename(image_id)}')


def _drop(uuid: str) -> None:
    """What is under way of extracts, and what is done."""
    directory = glob.escape(layout.directory(uuid))
    for path in glob.glob(f'{directory}/{EXTRACT}*') + glob.glob(f'{directory}/.{EXTRACT}*.part'):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _require_room(root: Disk) -> int:
    """For what the disk and its backing file take now. -> that, in bytes. Raises DiskFull."""
    directory = os.path.dirname(root.path)
    taken = 0
    for path in (root.path, os.path.join(directory, 'base')):
        with contextlib.suppress(FileNotFoundError):
            taken += os.stat(path).st_blocks * 512
    space.require(directory, min(taken, root.size or taken), 'the image of the server')
    return taken
