"""See `virt/interface/volume_files.py`. The size of a volume that has grown is a link beside the devices."""
from __future__ import annotations

import contextlib
import os
from typing import Any

from minicompute.conf import CONF
from minicompute.objects import BlockDevice, Instance
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.snapshots import Stop, never
from minicompute.virt.interface.volume_files import VolumeFileVerbs
from minicompute.volume import files


class FakeVolumeFiles(FakeBase, VolumeFileVerbs):

    def extend_volume(self, instance: Instance, device: BlockDevice) -> None:
        self._fault('extend_volume', instance.uuid)
        self._read(instance.uuid)
        place = self._size(instance.uuid, str(device.volume_id))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        os.symlink(str(device.volume_size), place)
        self._fault('extend_volume.after', instance.uuid)

    def copy_volume(self, device: BlockDevice, snapshot_id: str, stop: Stop = never) -> None:
        self._fault('copy_volume', snapshot_id)
        os.makedirs(CONF.local_volumes.path, exist_ok=True)
        stop()
        with open(files.snapshot_path(snapshot_id), 'w') as writer:
            writer.write(f'what volume {device.volume_id} holds\n')
        self._fault('copy_volume.after', snapshot_id)

    def branch_volume(self, instance: Instance, device: BlockDevice, new_file: str) -> dict[str, Any]:
        self._fault('branch_volume', instance.uuid)
        self._read(instance.uuid)
        self._fault('branch_volume.after', instance.uuid)
        return {**device.connection_info.get('connection', {}), 'name': new_file, 'format': 'qcow2'}

    def merge_volume(self, instance: Instance, device: BlockDevice, top: str | None, base: str | None,
                     stop: Stop = never) -> dict[str, Any]:
        self._fault('merge_volume', instance.uuid)
        self._read(instance.uuid)
        self._fault('merge_volume.after', instance.uuid)
        return dict(device.connection_info.get('connection', {}))

    def size_of(self, uuid: str, volume_id: str) -> int | None:
        """For tests: what the guest was told, in GiB; None: nothing yet."""
        try:
            return int(os.readlink(self._size(uuid, volume_id)))
        except FileNotFoundError:
            return None

    def _size(self, uuid: str, volume_id: str) -> str:
        return self._path(os.path.join('.devices', uuid, f'size.{volume_id}'))
