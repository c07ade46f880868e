"""What a hypervisor driver does for the compute daemon.

Every verb means "make it so": spawning what runs succeeds, destroying nothing succeeds, and a verb may
be asked again after the daemon died in the middle of it.  Verbs block; the manager runs them in threads
of its pool, one at a time a server.  A driver never sees the database or RPC.
"""
from __future__ import annotations

import abc
from collections.abc import Container
from typing import Any

from stevedore import driver as stevedore_driver

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import ComputeNode, Instance
from minicompute.virt.interface.admin import AdminVerbs
from minicompute.virt.interface.consoles import ConsoleVerbs
from minicompute.virt.interface.devices import DeviceVerbs
from minicompute.virt.interface.guest import GuestVerbs
from minicompute.virt.interface.live import LiveVerbs
from minicompute.virt.interface.metadata import MetadataVerbs
from minicompute.virt.interface.moves import MoveVerbs, Stop, never
from minicompute.virt.interface.snapshots import SnapshotVerbs
from minicompute.virt.interface.volume_files import VolumeFileVerbs
from minicompute.virt.request import DomainInfo, Holdings, PowerListener, Progress, SpawnRequest, no_progress

NAMESPACE = 'minicompute.compute.drivers'

__all__ = ['ComputeDriver', 'DomainInfo', 'Holdings', 'PowerListener', 'Progress', 'SpawnRequest', 'load',
           'no_progress']


class ComputeDriver(VolumeFileVerbs, AdminVerbs, GuestVerbs, SnapshotVerbs, MoveVerbs, LiveVerbs, DeviceVerbs,
                    ConsoleVerbs, MetadataVerbs, abc.ABC):
    """One hypervisor on this host. What not every hypervisor can do is in `virt/interface`."""

    @abc.abstractmethod
    def start(self, listener: PowerListener) -> None:
        """Connect, once, at the start of the daemon; then tell `listener` of changes of power states.

        Raises ConfigurationError with one line that says what to do when the hypervisor cannot be used
        at all; waits and reconnects when it goes away later.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Let go of the hypervisor; the guests run on."""

    @abc.abstractmethod
    def inventory(self) -> ComputeNode:
        """What this host has: totals, capabilities, traits, and its steady `uuid`."""

    @abc.abstractmethod
    def domains(self) -> list[DomainInfo]:
        """All domains of the hypervisor."""

    @abc.abstractmethod
    def power_state(self, uuid: str) -> int:
        """Raises DomainNotFound."""

    @abc.abstractmethod
    def spawn(self, request: SpawnRequest, progress: Progress = no_progress) -> None:
        """Make disks and domain, and start it. Raises whatever stops it, with a message for the user."""

    @abc.abstractmethod
    def destroy(self, instance: Instance, *, destroy_disks: bool = True) -> None:
        """Remove the domain, its network cards and, unless told otherwise, its disks."""

    @abc.abstractmethod
    def power_on(self, instance: Instance) -> None:
        """Start the domain, made anew from what is on the disk and in `instance`."""

    @abc.abstractmethod
    def power_off(self, instance: Instance, timeout: int = 0, hurry: Stop = never) -> None:
        """Ask the guest to shut down for `timeout` seconds, or until `hurry()` says True, then cut it off."""

    @abc.abstractmethod
    def reboot(self, instance: Instance, *, hard: bool, hurry: Stop = never) -> None:
        """A soft reboot that the guest does not do in time, or until `hurry()` says True, becomes a hard one."""

    @abc.abstractmethod
    def console_output(self, instance: Instance, length: int | None) -> str:
        """The last `length` lines of the serial console (None: all that is kept)."""

    @abc.abstractmethod
    def uptime(self) -> str:
        """The host's, as uptime(1) writes it."""

    def disk_usage(self) -> dict[str, int]:
        """{'total_gb', 'free_gb'} of where the instances lie."""
        return {}

    def adopt_foreign(self, instance: Instance) -> bool:
        """A domain of this server is there that another control plane made, and its record is here now.
        -> whether it is ours from now on; the log says why not."""
        return False

    def holdings(self) -> Holdings:
        """What this host has of servers."""
        return Holdings({domain.uuid for domain in self.domains() if domain.ours})

    def abandoned(self) -> set[str]:
        """Servers of which something lies here that no host has its name on, and nobody touched for long. It is
        removed only if somebody knows that they were deleted."""
        return set()

    def connected(self) -> set[str]:
        """The servers for which this host has connected volumes of a volume service, whatever became of them."""
        return set()

    def disconnect(self, uuid: str) -> None:
        """Nothing is connected for this server any more, which has neither domain nor disks here."""

    def sweep(self, known: Container[str], minimum_age: int, gone: Container[str] = ()) -> list[str]:
        """Remove what is left of servers that are not in `known` (uuids) and of unused images older than
        `minimum_age` seconds, and of what was `abandoned` that of servers in `gone`; -> one line for each thing
        removed."""
        return []


def load(name: str | None = None) -> ComputeDriver:
    """The driver that `compute_driver` names. Raises ConfigurationError."""
    wanted = name or CONF.compute_driver
    try:
        manager: Any = stevedore_driver.DriverManager(NAMESPACE, wanted, invoke_on_load=True)
    except (ImportError, RuntimeError) as error:
        raise exception.ConfigurationError(
            reason=f'compute_driver: {wanted!r} cannot be loaded: {error}') from error
    driver: ComputeDriver = manager.driver
    return driver
