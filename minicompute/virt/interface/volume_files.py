"""The files of volumes: they grow, and are copied."""
from __future__ import annotations

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
