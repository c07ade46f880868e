"""See `virt/interface/volume_files.py`. The size of a volume that has grown is a link beside the devices."""
from __future__ import annotations

import contextlib
import os

from minicompute.objects import BlockDevice, Instance
from minicompute.virt.fake.base import FakeBase
from minicompute.virt.interface.volume_files import VolumeFileVerbs


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

    def size_of(self, uuid: str, volume_id: str) -> int | None:
        """For tests: what the guest was told, in GiB; None: nothing yet."""
        try:
            return int(os.readlink(self._size(uuid, volume_id)))
        except FileNotFoundError:
            return None

    def _size(self, uuid: str, volume_id: str) -> str:
        return self._path(os.path.join('.devices', uuid, f'size.{volume_id}'))
