"""What we ask of a volume service, Cinder or the local volumes."""
from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from stevedore import driver as stevedore_driver

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import BlockDevice, Volume, VolumeSnapshot

NAMESPACE = 'minicompute.volume.backends'


@dataclasses.dataclass(slots=True, frozen=True)
class Doubt:
    """`kind` of what is wrong with a volume, and what to do about it."""

    kind: str
    volume_id: str
    reason: str


class VolumeBackend(abc.ABC):
    """A caller sees the volumes of its project, an administrator all; VolumeNotFound is raised for the rest.

    `conn` is the caller's transaction. A backend whose records lie elsewhere does nothing in it that leaves the
    process: its part are the steps of flows (remote.py, conductor/flows/connections.py).
    """

    #: whether the records are a neighbour's
    remote: ClassVar[bool] = False

    def check(self) -> None:
        """At the start of a daemon, without asking anybody. Raises ConfigurationError for a configuration with which
        it can never be used."""
        return

    def greet(self) -> None:
        """Ask the service whether it is what we need. Raises ComputeException, which says what is wrong and what to do
        about it; it may be another answer a minute later."""
        return

    @abc.abstractmethod
    def show_many(self, context: RequestContext, ids: Iterable[str]) -> dict[str, Volume]:
        """Those of them that the caller sees."""

    def show(self, context: RequestContext, volume_id: str) -> Volume:
        found = self.show_many(context, [volume_id])
        if not found:
            raise exception.VolumeNotFound(volume_id=volume_id)
        return next(iter(found.values()))

    # -- what users do with volumes through this API's older versions

    @abc.abstractmethod
    def page(self, context: RequestContext, *, limit: int | None = None, offset: int = 0) -> list[Volume]:
        """The caller's project's, newest first. An `offset` comes with a limit."""

    @abc.abstractmethod
    def create(self, context: RequestContext, volume: Volume) -> Volume:
        """A new one like `volume`, which names no id. Raises InvalidVolume, OverQuota."""

    @abc.abstractmethod
    def delete(self, context: RequestContext, volume_id: str) -> None:
        """Raises VolumeNotFound, InvalidVolume for one that a server has."""

    # -- what servers need

    @abc.abstractmethod
    def reserve(self, conn: Any, context: RequestContext, volumes: Mapping[str, Volume]) -> dict[str, Volume]:
        """Hold these volumes ({id: as it was when the caller looked}), which no server may have, until the transaction
        ends, in which they get their block devices. -> as they are. Raises VolumeNotFound, InvalidVolume."""

    @abc.abstractmethod
    def create_for_servers(self, conn: Any, many: Sequence[Volume]) -> None:
        """Volumes that come into being with the servers that have them. Raises InvalidVolume, OverQuota,
        SnapshotNotFound."""

    @abc.abstractmethod
    def attached(self, conn: Any, devices: Collection[BlockDevice], *, made: bool) -> None:
        """These block devices of volumes are what their servers have. `made`: a host has them, and so the volumes have
        their files; a server without a host has them by record alone."""

    @abc.abstractmethod
    def release(self, conn: Any, ids: Collection[str]) -> None:
        """These volumes were to go with their servers, which have just lost their block devices: delete those that
        nobody else has."""

    @abc.abstractmethod
    def reimaged(self, conn: Any, volume_id: str, properties: dict[str, Any]) -> None:
        """The volume has the content of another image now, of these properties, as a server keeps them. A service that
        has filled it itself knows."""

    # -- snapshots of volumes

    @abc.abstractmethod
    def page_snapshots(self, context: RequestContext, *, limit: int | None = None,
                       offset: int = 0) -> list[VolumeSnapshot]:
        """The caller's project's, newest first."""

    @abc.abstractmethod
    def show_snapshot(self, context: RequestContext, snapshot_id: str) -> VolumeSnapshot:
        """Raises SnapshotNotFound."""

    @abc.abstractmethod
    def delete_snapshot(self, context: RequestContext, snapshot_id: str) -> None:
        """Raises SnapshotNotFound, InvalidVolume for one that is needed."""

    @abc.abstractmethod
    def show_snapshots(self, context: RequestContext, ids: Iterable[str]) -> dict[str, VolumeSnapshot]:
        """Those of them that the caller sees."""

    @abc.abstractmethod
    def reserve_snapshots(self, conn: Any, many: Sequence[VolumeSnapshot]) -> None:
        """Snapshots that a host is about to make. Raises OverQuota."""

    @abc.abstractmethod
    def snapshots_made(self, conn: Any, ids: Collection[str]) -> None:
        """A host has made them. Raises SnapshotNotFound when one of them is not there any more."""

    def create_snapshot(self, context: RequestContext, volume_id: str, *, name: str | None, description: str | None,
                        metadata: dict[str, str], force: bool) -> VolumeSnapshot:
        """By a volume service that makes it itself: one of the local volumes begins in `compute.api`."""
        raise exception.NotImplementedHere('Ask the volume service for a snapshot.')

    @abc.abstractmethod
    def snapshots_failed(self, conn: Any, ids: Collection[str]) -> None:
        """A host could not make them; their owner sees that, and deletes them."""

    @abc.abstractmethod
    def discard_snapshots(self, ids: Collection[str]) -> None:
        """Nothing is left of snapshots that were reserved and never made. Twice is once."""

    def doubts(self) -> Iterable[Doubt]:
        """What does not fit together of volumes, and only people can mend."""
        return ()

    def collect(self) -> list[str]:
        """Finish deletions that were broken off. -> ids of volumes that are gone now"""
        return []


def load() -> VolumeBackend:
    """The backend that [DEFAULT] volume_backend names, one a process."""
    return _load(CONF.volume_backend)


@functools.cache
def _load(name: str) -> VolumeBackend:
    manager: Any = stevedore_driver.DriverManager(NAMESPACE, name, invoke_on_load=True)
    backend: VolumeBackend = manager.driver
    return backend
