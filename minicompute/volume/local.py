"""Volumes without Cinder: rows in the database, qcow2 files in `[local_volumes] path`.

    create: a row; no file     first use: the host makes the file, the report of it says `made`
    attach: a block device that refers to the volume, under the lock of its row; detach: that block device goes
    delete: row `deleting` -> file removed -> row removed (`collect` goes on with what was broken off)

So there is no half-made volume, and nothing that could say of a volume that it is in use when it is not.
"""
from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import block_devices, instances
from minicompute.db.api import volumes as db
from minicompute.objects import BlockDevice, Volume, VolumeStatus
from minicompute.volume import files, local_doubts
from minicompute.volume.base import Doubt, VolumeBackend
from minicompute.volume.local_snapshots import LocalSnapshots, seen

LOG = logging.getLogger(__name__)


class LocalVolumes(LocalSnapshots, VolumeBackend):

    def show_many(self, context: RequestContext, ids: Iterable[str]) -> dict[str, Volume]:
        with session.read() as conn:
            return seen(context, db.get_many(conn, ids))

    def page(self, context: RequestContext, *, all_projects: bool = False, **page: Any) -> list[Volume]:
        """Newest first. `page`: name, limit, marker, as `db.api.volumes.page` takes them."""
        project = None if all_projects and context.is_admin else context.project_id or ''
        with session.read() as conn:
            return db.page(conn, project, **page)

    # -- what users do -----------------------------------------------------------

    def create(self, context: RequestContext, volume: Volume) -> Volume:
        volume.id = str(uuid.uuid4())
        session.write(self.create_for_servers, [volume])
        return self.show(context, volume.id)

    def update(self, context: RequestContext, volume_id: str, changes: dict[str, Any]) -> Volume:
        self.show(context, volume_id)
        if changes and not session.write(db.update, volume_id, **changes):
            raise exception.VolumeNotFound(volume_id=volume_id)
        return self.show(context, volume_id)

    def extend(self, context: RequestContext, volume_id: str, size: int) -> Volume:
        """The file grows at its next use; who has it must be told, or has it larger after its next start. -> the volume
        as it is now. Raises InvalidVolume."""
        def write(conn: sa.Connection) -> None:
            volume = self._free(conn, context, volume_id, 'extended', VolumeStatus.IN_USE)
            if size <= volume.size:
                raise exception.InvalidVolume(reason=f'new_size: {size} GiB is not more than the {volume.size} GiB '
                                                     f'that volume {volume_id} has')
            _check_size(size)
            db.update(conn, volume_id, size=size)
            block_devices.set_size(conn, volume_id, size)
        session.write(write)
        return self.show(context, volume_id)

    def delete(self, context: RequestContext, volume_id: str) -> None:
        """Raises InvalidVolume while a server has it. A second delete changes nothing."""
        def write(conn: sa.Connection) -> None:
            self._free(conn, context, volume_id, 'deleted', VolumeStatus.DELETING, VolumeStatus.ERROR)
            db.mark_deleting(conn, [volume_id])
        session.write(write)
        self._finish([volume_id])

    def _free(self, conn: sa.Connection, context: RequestContext, volume_id: str, what: str,
              *more: str) -> Volume:
        found = seen(context, db.get_many(conn, [volume_id], lock=True))
        if volume_id not in found:
            raise exception.VolumeNotFound(volume_id=volume_id)
        volume = found[volume_id]
        if volume.shown_status not in (VolumeStatus.AVAILABLE, *more):
            raise exception.InvalidVolume(reason=f'volume {volume_id} cannot be {what} while it is '
                                                 f'{volume.shown_status}')
        return volume

    def doubts(self) -> Iterable[Doubt]:
        return local_doubts.look()

    def collect(self) -> list[str]:
        with session.read() as conn:
            left = db.deleting(conn)
        self.collect_snapshots()
        return self._finish(left)

    def _finish(self, ids: Sequence[str]) -> list[str]:
        gone = []
        for volume_id in ids:
            try:
                files.remove(volume_id)
                gone.append(volume_id)
            except OSError as error:    # the row says so still, and `collect` comes again
                LOG.error('The file of volume %s cannot be removed: %s', volume_id, error.strerror)
        if gone:
            session.write(db.forget, gone)
        return gone

    # -- for servers ---------------------------------------------------------------

    def reserve(self, conn: sa.Connection, context: RequestContext, volumes: Mapping[str, Volume]) -> dict[str, Volume]:
        found = seen(context, db.get_many(conn, volumes, lock=True))
        for volume_id in volumes:
            volume = found.get(volume_id)
            if volume is None:
                raise exception.VolumeNotFound(volume_id=volume_id)
            if volume.attachments:
                servers = ' '.join(one.instance_uuid for one in volume.attachments)
                raise exception.InvalidVolume(
                    reason=f'volume {volume_id} is already attached to instances: {servers}')
            if volume.status != VolumeStatus.AVAILABLE:
                raise exception.InvalidVolume(
                    reason=f"volume '{volume_id}' status must be 'available'. Currently in '{volume.status}' status")
        return found

    def create_for_servers(self, conn: sa.Connection, many: Sequence[Volume]) -> None:
        for volume in many:
            _check_size(volume.size)
        self.hold_snapshots(conn, {volume.snapshot_id for volume in many if volume.snapshot_id})
        most = CONF.local_volumes.max_volumes
        for project_id, wanted in sorted(Counter(volume.project_id for volume in many).items()) if most >= 0 else ():
            instances.lock_project(conn, project_id)
            if db.count(conn, project_id) + wanted > most:
                raise exception.OverQuota(overs='volumes')
        db.insert(conn, many)

    def attached(self, conn: sa.Connection, devices: Collection[BlockDevice], *, made: bool) -> None:
        for device in devices:
            device.connection_info = {**device.connection_info, 'made': made or device.connection_info.get('made')}
            block_devices.set_state(conn, device, block_devices.ATTACHED)
        if made:
            db.set_made(conn, {device.volume_id for device in devices})

    def reimaged(self, conn: sa.Connection, volume_id: str, properties: dict[str, Any]) -> None:
        db.update(conn, volume_id, image_metadata=properties, bootable=True)

    def release(self, conn: sa.Connection, ids: Collection[str]) -> None:
        db.mark_deleting(conn, ids)


def _check_size(size: int) -> None:
    if size > CONF.local_volumes.max_size_gb:
        raise exception.InvalidVolume(
            reason=f'size: {size} GiB is more than the {CONF.local_volumes.max_size_gb} GiB a volume may have here')
