"""The files of volumes that servers have: they grow."""
from __future__ import annotations

from minicompute import exception
from minicompute.objects import BlockDevice, Instance


class VolumeFileVerbs:
    """`device` is the record as it shall be."""

    def extend_volume(self, instance: Instance, device: BlockDevice) -> None:
        """The volume has `device.volume_size` GiB from now on, and the guest sees it if it runs. A volume that is as
        large already, or larger, stays as it is, and that of a suspended guest until it is resumed. Raises VolumeLost,
        DeviceNotAttached."""
        raise exception.NotImplementedHere('This host cannot extend volumes of its servers.')
