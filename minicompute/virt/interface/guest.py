"""What is done to a domain where it stands: pause, suspend, rescue, passwords."""
from __future__ import annotations

from typing import TYPE_CHECKING

from minicompute import exception
from minicompute.virt.interface.moves import Stop, never

if TYPE_CHECKING:
    from minicompute.objects import Instance
    from minicompute.virt.request import Progress, SpawnRequest


class GuestVerbs:
    """What is done to a domain where it stands. What the domain has no state for raises InstanceNotRunning."""

    def pause(self, instance: Instance) -> None:
        """Stop its processors; its memory stays where it is. Raises DomainNotFound, InstanceNotRunning."""
        raise exception.NotImplementedHere('This host cannot pause servers.')

    def unpause(self, instance: Instance) -> None:
        """Raises DomainNotFound, InstanceNotRunning."""
        raise exception.NotImplementedHere('This host cannot pause servers.')

    def suspend(self, instance: Instance) -> None:
        """Save its memory to the disk and end it. Raises DomainNotFound, InstanceNotRunning."""
        raise exception.NotImplementedHere('This host cannot suspend servers.')

    def resume(self, instance: Instance) -> None:
        """Let it run on with the memory that was saved; where that is lost, it boots."""
        raise exception.NotImplementedHere('This host cannot suspend servers.')

    def prepare_rescue(self, request: SpawnRequest, progress: Progress) -> None:
        """Make what the server is rescued from, without touching the domain: a disk of `request.image`, and a config
        drive with `request.admin_password` if the server has one.

        Raises DiskFull, FlavorDiskTooSmall, ImageNotFound, ImageUnacceptable.
        """
        raise exception.NotImplementedHere('This host cannot rescue servers.')

    def rescue(self, instance: Instance, timeout: int, hurry: Stop = never) -> None:
        """Shut the guest down (cut it off after `timeout` seconds, or once `hurry()` says True) and start it from what
        was prepared, its own root disk beside it. When that fails the domain is its own again, and off."""
        raise exception.NotImplementedHere('This host cannot rescue servers.')

    def unrescue(self, instance: Instance) -> None:
        """Start it from its own disks again, and remove what `prepare_rescue` made."""
        raise exception.NotImplementedHere('This host cannot rescue servers.')

    def trigger_crash_dump(self, instance: Instance) -> None:
        """Give it a non-maskable interrupt. Raises DomainNotFound, InstanceNotRunning."""
        raise exception.NotImplementedHere('This host cannot trigger crash dumps.')

    def set_admin_password(self, instance: Instance, password: str) -> None:
        """Have the agent in the guest change the administrator's password.

        Raises InstanceAgentNotEnabled, InstancePasswordSetFailed; NotImplementedHere when the agent does not answer.
        """
        raise exception.NotImplementedHere('This host cannot set passwords.')
