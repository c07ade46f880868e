"""What flows ask of a volume service that is a neighbour, beside what `base.py` says.

    reserve --> connect (a host's facts in, what the host needs out) --> complete --> give_back

A server's hold on a volume is an attachment there. All of these may be called twice: an attachment is found by the
server and the volume that it is of, and what is gone already is given back. They act as the service user.
"""
from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.objects import BlockDevice, Volume, VolumeSnapshot, VolumeStatus
from minicompute.volume import base


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """`connected`: a host has been named for it."""

    id: str
    volume_id: str
    instance_uuid: str
    connected: bool = False


class RemoteVolumes(base.VolumeBackend):
    """Its records are elsewhere: nothing of it happens in a transaction of ours."""

    remote = True

    # -- for the api, with the user's token

    @abc.abstractmethod
    def order(self, context: RequestContext, device: BlockDevice, zone: str | None) -> str:
        """Begin to make the volume that `device` of a new server is to be. -> its id.
        Raises OverQuota, InvalidVolume, Forbidden."""

    @abc.abstractmethod
    def order_snapshot(self, context: RequestContext, volume_id: str, name: str, order: str) -> VolumeSnapshot:
        """Begin a snapshot of a volume, whoever uses it. It says that it is part of `order`, by which it is found when
        nobody hears the answer. Raises OverQuota, VolumeNotFound, InvalidVolume."""

    # -- for flows

    @abc.abstractmethod
    def find_ordered(self, device: BlockDevice, project_id: str) -> Volume | None:
        """What `order` made for this device, when nobody heard its answer."""

    @abc.abstractmethod
    def snapshots_ordered(self, order: str, project_id: str) -> list[str]:
        """-> ids of what `order_snapshot` made as parts of `order`."""

    @abc.abstractmethod
    def attachments(self, instance_uuid: str) -> list[Attachment]:
        """All that a server has, the oldest first."""

    @abc.abstractmethod
    def reserve_one(self, volume_id: str, instance_uuid: str,
                    connector: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """A new attachment, which keeps other servers away, connected at once if a host is named: a volume that one
        host of the server uses gets a second one in no other way. -> (its id, as `connect` answers).
        Raises VolumeNotFound, InvalidVolume."""

    @abc.abstractmethod
    def connect(self, attachment_id: str, connector: Mapping[str, Any]) -> dict[str, Any]:
        """A host is to use it. -> what the host needs for that, as Cinder says it (`driver_volume_type`, ...).
        Raises AttachmentNotFound, InvalidVolume."""

    @abc.abstractmethod
    def complete(self, attachment_id: str) -> None:
        """The host uses it. Raises AttachmentNotFound."""

    @abc.abstractmethod
    def give_back(self, attachment_id: str) -> None:
        """It is no more; no such attachment is fine."""

    @abc.abstractmethod
    def remove(self, volume_id: str) -> None:
        """Delete a volume that was to go with its server; none is fine. Raises InvalidVolume while it is in use, and
        when something else needs it."""

    @abc.abstractmethod
    def reimage(self, volume_id: str, image_id: str) -> None:
        """Begin to write an image over a volume that is reserved for a server, and that no host uses. Raises
        VolumeNotFound, InvalidVolume, Forbidden."""

    @abc.abstractmethod
    def end_migration(self, volume_id: str, new_volume_id: str, *, error: bool) -> str:
        """A volume that the service itself moves to another of its places: its content is in the new one now.
        -> the id that the volume has from now on"""

    @abc.abstractmethod
    def snapshot_status(self, snapshot_id: str, status: str) -> None:
        """A host has done its part of a snapshot that the service asked help for, or could not: `creating`, `deleting`,
        `error`, `error_deleting`. Raises SnapshotNotFound, InvalidVolume."""

    # -- what the base asks of a backend whose records are ours

    def reserve(self, conn: Any, context: RequestContext, volumes: Mapping[str, Volume]) -> dict[str, Volume]:
        """As they were when we looked. The service says the last word, when a flow takes them."""
        for one in volumes.values():
            _check_free(one)
        return dict(volumes)

    def create_for_servers(self, conn: Any, many: Sequence[Volume]) -> None:
        """They are ordered once the servers are in the records."""

    def attached(self, conn: Any, devices: Any, *, made: bool) -> None:
        pass

    def release(self, conn: Any, ids: Any) -> None:
        pass

    def reimaged(self, conn: Any, volume_id: str, properties: dict[str, Any]) -> None:
        pass

    def reserve_snapshots(self, conn: Any, many: Sequence[VolumeSnapshot]) -> None:
        pass

    def snapshots_made(self, conn: Any, ids: Any) -> None:
        pass

    def snapshots_failed(self, conn: Any, ids: Any) -> None:
        pass


def _check_free(one: Volume) -> None:
    if one.encrypted:
        raise exception.InvalidVolume(reason=f'volume {one.id} is encrypted, and no host here can decrypt it')
    if one.multiattach and one.status == VolumeStatus.IN_USE:
        return
    if one.attachments:
        servers = ' '.join(sorted({found.instance_uuid for found in one.attachments}))
        raise exception.InvalidVolume(reason=f'volume {one.id} is already attached to instances: {servers}')
    if one.status != VolumeStatus.AVAILABLE:
        wanted = "'available' or 'in-use'" if one.multiattach else "'available'"
        raise exception.InvalidVolume(
            reason=f"volume '{one.id}' status must be {wanted}. Currently in '{one.status}' status")


def load() -> RemoteVolumes | None:
    """The backend, if its volumes are a neighbour's."""
    found = base.load()
    return found if isinstance(found, RemoteVolumes) else None
