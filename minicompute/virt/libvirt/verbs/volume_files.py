"""See `virt/interface/volume_files.py`."""
from __future__ import annotations

import os

import libvirt

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, Instance
from minicompute.virt import images
from minicompute.virt.interface.snapshots import Stop, never
from minicompute.virt.interface.volume_files import VolumeFileVerbs
from minicompute.virt.libvirt import guest, hotplug, space, volumes
from minicompute.virt.libvirt.base import LibvirtBase
from minicompute.volume import files


class LibvirtVolumeFiles(LibvirtBase, VolumeFileVerbs):

    def extend_volume(self, instance: Instance, device: BlockDevice) -> None:
        path, size = files.path_of(str(device.volume_id)), (device.volume_size or 0) * space.GIB
        try:
            domain = guest.find(self._host, instance.uuid)
        except exception.DomainNotFound:
            domain = None
        if domain is not None and not domain.running() and domain.saved():
            return      # it wakes up with the disk that it knew: see `resume`
        if domain is None or not domain.running() or hotplug.disk_of(path)(domain.tree()) is None:
            volumes.make(device, None, self._cache)
            return
        try:
            domain.grow_disk(path, size)
        except libvirt.libvirtError as error:
            raise exception.DeviceNotAttached(device=device.device_name, reason=error.get_error_message()) from error

    def copy_volume(self, device: BlockDevice, snapshot_id: str, stop: Stop = never) -> None:
        made = files.snapshot_path(snapshot_id)
        if os.path.exists(made):
            return
        path = volumes.make(device, None, self._cache)
        space.require(CONF.local_volumes.path, os.stat(path).st_blocks * 512, 'the snapshot of the volume')
        images.convert(path, files.FORMAT, made, files.FORMAT, stop=stop)
