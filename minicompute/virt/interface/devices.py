"""Disks and network cards come and go."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.objects import VIF, BlockDevice, ImageMeta, Instance
from minicompute.virt.interface.moves import Stop, never
from minicompute.virt.request import Progress, no_progress


class DeviceVerbs:
    """Disks and network cards come and go.

    All are "make it so" for the domain as it is: one that does not run, or is not there, gets its devices from the
    record when it starts. `instance` is the record as it is before a detachment and before or after an attachment.
    """

    def volume_connector(self) -> dict[str, Any]:
        """What a volume service has to know of this host: 'host', 'ip', and the names by which it reaches storage
        ('initiator', ...)."""
        raise exception.NotImplementedHere('This host cannot attach volumes of a volume service.')

    def attach_volume(self, instance: Instance, device: BlockDevice, image: ImageMeta | None = None) -> None:
        """Make the volume's file if it has never been made (with the content of `image`), and give the domain its
        disk. Raises DiskFull, VolumeLost, DeviceNotAttached."""
        raise exception.NotImplementedHere('This host cannot attach volumes.')

    def make_volume(self, instance: Instance, device: BlockDevice, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        """Make the volume's file if it has never been made, for an `attach_volume` that is quick then. Raises DiskFull,
        VolumeLost, SnapshotNotFound, and ImageToolFailed once `stop()` says True."""
        raise exception.NotImplementedHere('This host cannot attach volumes.')

    def detach_volume(self, instance: Instance, device: BlockDevice) -> None:
        """Take the disk from the domain, and wait until the guest has let it go. No copy from it or to it goes on.
        Raises DeviceNotReleased."""
        raise exception.NotImplementedHere('This host cannot detach volumes.')

    def swap_volume(self, instance: Instance, device: BlockDevice, new: BlockDevice, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        """Copy the content of `device` to the volume of `new` while the guest writes, and let it go on with that one.
        Blocks until then, or until `stop()` says True: then the guest keeps `device`. Raises InstanceNotRunning,
        DeviceNotAttached."""
        raise exception.NotImplementedHere('This host cannot exchange volumes.')

    def end_swap(self, instance: Instance, device: BlockDevice, new: BlockDevice) -> bool:
        """Call off a `swap_volume` of the same two, also after the guest has switched itself off. -> whether it is too
        late for that: the server uses `new`, and only that has what the guest wrote since."""
        raise exception.NotImplementedHere('This host cannot exchange volumes.')

    def attach_interface(self, instance: Instance, vif: VIF) -> None:
        """Raises DeviceNotAttached."""
        raise exception.NotImplementedHere('This host cannot attach interfaces.')

    def detach_interface(self, instance: Instance, vif: VIF) -> None:
        """Raises DeviceNotReleased."""
        raise exception.NotImplementedHere('This host cannot detach interfaces.')
