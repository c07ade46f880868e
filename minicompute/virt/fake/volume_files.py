"""See `virt/interface/volume_files.py`. The size of a volume that has grown,
and the file that it goes on in, are links beside the devices."""
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
        self._link('size', instance.uuid, device, str(device.volume_size))
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
        self._link('file', instance.uuid, device, new_file)
        self._fault('branch_volume.after', instance.uuid)
        return self.volume_file(instance, device, new_file)

    def volume_file(self, instance: Instance, device: BlockDevice, new_file: str) -> dict[str, Any]:
        self._fault('volume_file', instance.uuid)
        has = self._linked('file', instance.uuid, str(device.volume_id)) == new_file
        self._fault('volume_file.after', instance.uuid)
        made = {'name': new_file, 'format': 'qcow2'} if has else {}
        return {**device.connection_info.get('connection', {}), **made}

    def merge_volume(self, instance: Instance, device: BlockDevice, top: str | None, base: str | None,
                     stop: Stop = never) -> dict[str, Any]:
        self._fault('merge_volume', instance.uuid)
        self._read(instance.uuid)
        self._fault('merge_volume.after', instance.uuid)
        return dict(device.connection_info.get('connection', {}))

    def size_of(self, uuid: str, volume_id: str) -> int | None:
        """For tests: what the guest was told, in GiB; None: nothing yet."""
        said = self._linked('size', uuid, volume_id)
        return int(said) if said is not None else None

    def _link(self, what: str, uuid: str, device: BlockDevice, said: str) -> None:
        place = self._place(what, uuid, str(device.volume_id))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        os.symlink(said, place)

    def _linked(self, what: str, uuid: str, volume_id: str) -> str | None:
        try:
            return os.readlink(self._place(what, uuid, volume_id))
        except FileNotFoundError:
            return None

    def _place(self, what: str, uuid: str, volume_id: str) -> str:
        return self._path(os.path.join('.devices', uuid, f'{what}.{volume_id}'))
