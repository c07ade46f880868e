"""See `virt/interface/volume_files.py`."""
from __future__ import annotations

import dataclasses
import os
from typing import Any

import libvirt

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, Instance
from minicompute.virt import images
from minicompute.virt.interface.snapshots import Stop, never
from minicompute.virt.interface.volume_files import VolumeFileVerbs
from minicompute.virt.libvirt import guest, hotplug, shares, sources, space, volumes
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.virt.libvirt.config.base import Element
from minicompute.volume import files


class LibvirtVolumeFiles(LibvirtBase, VolumeFileVerbs):

    def extend_volume(self, instance: Instance, device: BlockDevice) -> None:
        source, size = sources.of(device), (device.volume_size or 0) * space.GIB
        try:
            domain = guest.find(self._host, instance.uuid)
        except exception.DomainNotFound:
            domain = None
        if domain is not None and not domain.running() and domain.saved():
            return      # it wakes up with the disk that it knew: see `resume`
        disk = hotplug.disk_of(source)(domain.tree()) if domain is not None and domain.running() else None
        if domain is None or disk is None:
            if not source.remote:       # a volume service has grown it already
                volumes.make(device, None, self._cache)
            return
        target = disk.find('target')
        try:
            domain.grow_disk(target.get('dev', '') if source.remote and target is not None else source.place, size)
        except libvirt.libvirtError as error:
            raise exception.DeviceNotAttached(device=device.device_name, reason=error.get_error_message()) from error

    def copy_volume(self, device: BlockDevice, snapshot_id: str, stop: Stop = never) -> None:
        made = files.snapshot_path(snapshot_id)
        if os.path.exists(made):
            return
        path = volumes.make(device, None, self._cache, stop=stop)
        space.require(CONF.local_volumes.path, os.stat(path).st_blocks * 512, 'the snapshot of the volume')
        # When another host was asked as well, and was faster, the volume may be written to by now.
        images.convert(path, files.FORMAT, made, files.FORMAT, stop=stop, first=True)

    # -- chains --------------------------------------------------------------------

    def branch_volume(self, instance: Instance, device: BlockDevice, new_file: str) -> dict[str, Any]:
        source = _file(device)
        made, there = _over(device, new_file)
        shares.check_chain(there.place)
        domain = self._running(instance)
        if domain is None and self._sleeps(instance):
            raise exception.InstanceNotRunning(instance_id=instance.uuid)   # it would wake up with the file it knew
        tree = domain.tree() if domain is not None else None
        if domain is None or tree is None or hotplug.disk_of(there)(tree) is not None:
            return made
        disk = hotplug.disk_of(source)(tree)
        if disk is None:
            raise _not_there(device)
        if there.place != source.place:
            try:
                domain.branch(_target(disk), there.place)
            except libvirt.libvirtError as error:
                raise exception.DeviceNotAttached(device=device.device_name,
                                                  reason=error.get_error_message()) from error
        return made

    def volume_file(self, instance: Instance, device: BlockDevice, new_file: str) -> dict[str, Any]:
        made, there = _over(device, new_file)
        try:
            domain = guest.find(self._host, instance.uuid)
            has = hotplug.disk_of(there)(domain.tree(inactive=not domain.running())) is not None
        except exception.DomainNotFound:
            has = False
        return made if has else dict(device.connection_info['connection'])

    def merge_volume(self, instance: Instance, device: BlockDevice, top: str | None, base: str | None,
                     stop: Stop = never) -> dict[str, Any]:
        source, info = _file(device), device.connection_info['connection']
        export = str(info['export'])
        try:
            upper, lower = (shares.path_of(export, name) if name else None for name in (top, base))
        except ValueError as error:
            raise exception.InvalidVolume(reason=f'no such {error} in the share') from None
        domain = self._running(instance)
        disk = hotplug.disk_of(source)(domain.tree()) if domain is not None else None
        if domain is None:
            if lower is not None:
                raise exception.InstanceNotRunning(instance_id=instance.uuid)
            _pull(source.place, upper, stop)
        elif disk is None:      # what a guest has open is not to be written by others
            raise _not_there(device)
        elif lower is None or _in_chain(disk, str(upper)):      # else it was done, and nobody heard of it
            try:
                domain.merge(_target(disk), upper, lower, stop)
            except libvirt.libvirtError as error:
                raise exception.DeviceNotAttached(device=device.device_name,
                                                  reason=error.get_error_message()) from error
        return dict(info)

    def _running(self, instance: Instance) -> guest.Guest | None:
        try:
            domain = guest.find(self._host, instance.uuid)
        except exception.DomainNotFound:
            return None
        return domain if domain.running() else None

    def _sleeps(self, instance: Instance) -> bool:
        try:
            return guest.find(self._host, instance.uuid).saved()
        except exception.DomainNotFound:
            return False


def _not_there(device: BlockDevice) -> exception.DeviceNotAttached:
    return exception.DeviceNotAttached(device=device.device_name, reason='the guest does not use the file')


def _file(device: BlockDevice) -> sources.Source:
    """Raises InvalidVolume."""
    source = sources.of(device)
    if not source.remote or source.kind != 'file':
        raise exception.InvalidVolume(reason=f'volume {device.volume_id} is no file of a share')
    return source


def _over(device: BlockDevice, new_file: str) -> tuple[dict[str, Any], sources.Source]:
    """The connection to a file that lies over the volume's. Raises InvalidVolume."""
    made = {**device.connection_info['connection'], 'name': new_file, 'format': 'qcow2'}
    return made, sources.of(dataclasses.replace(
        device, connection_info={**device.connection_info, 'connection': made}))


def _target(disk: Element) -> str:
    found = disk.find('target')
    return found.get('dev', '') if found is not None else ''


def _in_chain(disk: Element, path: str) -> bool:
    return any(source.get('file') == path for source in disk.iter('source'))


def _pull(path: str, upper: str | None, stop: Stop) -> None:
    shares.check_chain(path)
    if upper is None:
        images.flatten(path, stop=stop)
    else:
        images.rebase(path, upper, shares.format_of(upper, path), stop=stop)
