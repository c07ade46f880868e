"""Disks become images, and domains get new disks."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicompute import exception
from minicompute.objects import BlockDevice, ImageMeta, Instance
from minicompute.virt.request import Progress, SpawnRequest, Stop, never, no_progress

__all__ = ['SnapshotVerbs', 'Stop', 'never']


class SnapshotVerbs:
    """Disks become images, and domains get new disks.

    A snapshot is made in two steps: `extract` writes the root disk, as it is at one moment, into one file beside the
    disks; `send_image` gives that file to the image service. `stop()` is asked now and then while they go on.
    """

    def extract(self, instance: Instance, image_id: str, progress: Progress = no_progress, stop: Stop = never) -> None:
        """Copy the root disk of the server, running or not, into a file of its own, without backing files. What
        earlier attempts left goes first.

        Raises DomainNotFound, DiskFull, ImageToolFailed; SnapshotFailed when the guest could not be frozen that must.
        """
        raise exception.NotImplementedHere('This host cannot make images of servers.')

    def send_image(self, instance: Instance, image_id: str, progress: Progress = no_progress,
                   stop: Stop = never) -> dict[str, Any]:
        """Give the file that `extract` made to the image service, and remove it. -> what `ImageSink.send` says.

        Raises ImageUnacceptable, StoreFull, SendStopped, NotFound when there is no such file and no such image.
        """
        raise exception.NotImplementedHere('This host cannot make images of servers.')

    def drop_extract(self, instance: Instance, image_id: str) -> None:
        """Nothing is left here of a snapshot, however far it came."""
        raise exception.NotImplementedHere('This host cannot make images of servers.')

    def copy_volumes(self, instance: Instance, copies: Mapping[str, str], progress: Progress = no_progress,
                     stop: Stop = never) -> None:
        """`copies`: {volume: the snapshot of it}. Copy these volumes of the server, running or not, all as they are at
        one moment, each into the file of its snapshot. What earlier attempts left goes first.

        Raises DomainNotFound, DeviceNotAttached, DiskFull, ImageToolFailed, InstanceQuiesceFailed.
        """
        raise exception.NotImplementedHere('This host cannot make snapshots of volumes.')

    def drop_copies(self, instance: Instance, copies: Mapping[str, str]) -> None:
        """Nothing is left of what `copy_volumes` made, and nothing of it goes on."""
        raise exception.NotImplementedHere('This host cannot make snapshots of volumes.')

    def check_rebuild(self, instance: Instance) -> None:
        """Whether this host can give the guest what its flavor and its new image ask for, as `rebuild` will: looked at
        before anything is done to it. Raises InvalidInput, NotImplementedHere."""

    def fetch_image(self, instance: Instance, image: ImageMeta, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        """Have the image at hand for `rebuild`, inspected and fit for the server and this host: what is wrong with it
        must show before its disks go. Raises ImageNotFound, ImageUnacceptable, FlavorDiskTooSmall, DiskFull, Conflict
        once `stop()` says True, and what `check_rebuild` raises."""
        raise exception.NotImplementedHere('This host cannot rebuild servers.')

    def free_root(self, instance: Instance, device: BlockDevice, timeout: int = 0, stop: Stop = never) -> None:
        """Shut the guest down (within `timeout` seconds, else, or once `stop()` says True, it is cut off) and let its
        root volume go, so that a service may write over it. No domain is fine. What `check_rebuild` refuses is left
        alone."""
        raise exception.NotImplementedHere('This host cannot rebuild servers that boot from volumes.')

    def fill_volume(self, instance: Instance, device: BlockDevice, image: ImageMeta, progress: Progress = no_progress,
                    stop: Stop = never) -> None:
        """Give the file of a local volume, which nobody uses, the content of the image; until that is whole it has
        what it had. Raises InvalidBDM when it does not fit, ImageNotFound, ImageUnacceptable, DiskFull, and
        ImageToolFailed once `stop()` says True."""
        raise exception.NotImplementedHere('This host cannot rebuild servers that boot from volumes.')

    def rebuild(self, request: SpawnRequest, *, preserve_ephemeral: bool, start: bool, timeout: int = 0,
                progress: Progress = no_progress) -> None:
        """Shut the guest down (within `timeout` seconds, else it is cut off), give it new disks, and run it if `start`
        says so. Ephemeral disks stay if they are to be preserved. May be asked again half way."""
        raise exception.NotImplementedHere('This host cannot rebuild servers.')
