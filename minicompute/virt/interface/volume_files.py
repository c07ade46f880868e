"""The files of volumes: they grow, are copied, and lie in chains where they have snapshots."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.objects import BlockDevice, Instance
from minicompute.virt.interface.snapshots import Stop, never


class VolumeFileVerbs:
    """`device` is the record as it shall be."""

    def extend_volume(self, instance: Instance, device: BlockDevice) -> None:
        """The volume has `device.volume_size` GiB from now on, and the guest sees it if it runs. A volume that is as
        large already, or larger, stays as it is, and that of a suspended guest until it is resumed. Raises VolumeLost,
        DeviceNotAttached."""
        raise exception.NotImplementedHere('This host cannot extend volumes of its servers.')

    def copy_volume(self, device: BlockDevice, snapshot_id: str, stop: Stop = never) -> None:
        """Copy a volume that no server has into the file of its snapshot; one that was never used is made first. A
        copy that is there is good. `stop()` is asked now and then. Raises VolumeLost, DiskFull, ImageToolFailed."""
        raise exception.NotImplementedHere('This host cannot make snapshots of volumes.')

    def branch_volume(self, instance: Instance, device: BlockDevice, new_file: str) -> dict[str, Any]:
        """The volume is a file of a share, and the service that keeps it has laid an empty one over it: the guest goes
        on in `new_file`. -> the connection as it is then. Raises InvalidVolume, DeviceNotAttached."""
        raise exception.NotImplementedHere('This host cannot help with snapshots of volumes.')

    def volume_file(self, instance: Instance, device: BlockDevice, new_file: str) -> dict[str, Any]:
        """-> the connection of the file that the guest has, `new_file` or what `device` says, after a `branch_volume`
        that nobody heard the end of. Raises InvalidVolume."""
        raise exception.NotImplementedHere('This host cannot help with snapshots of volumes.')

    def merge_volume(self, instance: Instance, device: BlockDevice, top: str | None, base: str | None,
                     stop: Stop = never) -> dict[str, Any]:
        """Files of such a chain become one: `top` goes into `base` below it, or without `base` all between `top` and
        the guest's own file go into the latter. -> the connection as it is then. Raises as `branch_volume` does."""
        raise exception.NotImplementedHere('This host cannot help with snapshots of volumes.')
