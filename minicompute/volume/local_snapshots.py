"""Snapshots of local volumes: rows in the database, qcow2 files beside those of the volumes.

    create: a row `creating` --a host copies what a server's volume holds--> `available`
            (of a volume that no server has: any host copies it, which the conductors see to, and the volume is
            `snapshotting` until then)
    a volume from it: a row that names it; the host that first uses the volume copies the snapshot
    delete: row `deleting` -> file removed -> row removed (`collect` goes on with what was broken off)
"""
from __future__ import annotations

import datetime
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import instances, volumes
from minicompute.db.api import volume_snapshots as db
from minicompute.objects import VolumeSnapshot, VolumeStatus
from minicompute.volume import files

LOG = logging.getLogger(__name__)

#: seconds between two looks for files of no snapshot, and of how many the records are asked at a time
LOOK, PART = 3600.0, 500


def _idle_for(path: str) -> float:
    """Seconds since somebody wrote there; a file that has just gone is as new as can be."""
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


class _Owned(Protocol):
    project_id: str


T = TypeVar('T', bound=_Owned)


def seen(context: RequestContext, found: dict[str, T]) -> dict[str, T]:
    """Those of the caller's project."""
    return {key: one for key, one in found.items() if context.is_admin or one.project_id == context.project_id}


class LocalSnapshots:
    #: when the directory is looked through next (monotonic)
    _look_at = 0.0

    def show_snapshots(self, context: RequestContext, ids: Iterable[str]) -> dict[str, VolumeSnapshot]:
        with session.read() as conn:
            return seen(context, db.get_many(conn, ids))

    def show_snapshot(self, context: RequestContext, snapshot_id: str) -> VolumeSnapshot:
        found = self.show_snapshots(context, [snapshot_id])
        if not found:
            raise exception.SnapshotNotFound(snapshot_id=snapshot_id)
        return next(iter(found.values()))

    def page_snapshots(self, context: RequestContext, *, all_projects: bool = False,
                       **page: Any) -> list[VolumeSnapshot]:
        """Newest first. `page`: name, volume_id, status, limit, marker."""
        project = None if all_projects and context.is_admin else context.project_id or ''
        with session.read() as conn:
            return db.page(conn, project, **page)

    def update_snapshot(self, context: RequestContext, snapshot_id: str, changes: dict[str, Any]) -> VolumeSnapshot:
        self.show_snapshot(context, snapshot_id)
        if changes and not session.write(db.update, snapshot_id, **changes):
            raise exception.SnapshotNotFound(snapshot_id=snapshot_id)
        return self.show_snapshot(context, snapshot_id)

    def delete_snapshot(self, context: RequestContext, snapshot_id: str) -> None:
        """A second delete changes nothing. Raises SnapshotNotFound, InvalidVolume while it is being made, and while
        a volume is to be made from it."""
        def write(conn: sa.Connection) -> None:
            found = seen(context, db.get_many(conn, [snapshot_id], lock=True)).get(snapshot_id)
            if found is None:
                raise exception.SnapshotNotFound(snapshot_id=snapshot_id)
            if found.status == VolumeStatus.CREATING:
                raise exception.InvalidVolume(reason=f'snapshot {snapshot_id} cannot be deleted while it is creating')
            if volume_id := db.needed(conn, snapshot_id):
                raise exception.InvalidVolume(reason=f'snapshot {snapshot_id} cannot be deleted before volume '
                                                     f'{volume_id}, which begins as its copy, was used')
            db.change_status(conn, [snapshot_id], found.status, VolumeStatus.DELETING)
        session.write(write)
        self._finish_snapshots([snapshot_id])

    # -- for servers ---------------------------------------------------------------

    def reserve_snapshots(self, conn: sa.Connection, many: Sequence[VolumeSnapshot]) -> None:
        """They count as volumes do, by themselves."""
        most = CONF.local_volumes.max_volumes
        for project_id, wanted in sorted(Counter(one.project_id for one in many).items()) if most >= 0 else ():
            instances.lock_project(conn, project_id)
            if db.count(conn, project_id) + wanted > most:
                raise exception.OverQuota(overs='snapshots')
        db.insert(conn, many)

    def snapshots_made(self, conn: sa.Connection, ids: Collection[str]) -> None:
        db.change_status(conn, ids, VolumeStatus.CREATING, VolumeStatus.AVAILABLE)
        found = db.get_many(conn, ids)
        for one in ids:
            if one not in found or found[one].status != VolumeStatus.AVAILABLE:
                raise exception.SnapshotNotFound(snapshot_id=one)

    def snapshots_failed(self, conn: sa.Connection, ids: Collection[str]) -> None:
        db.change_status(conn, ids, VolumeStatus.CREATING, VolumeStatus.ERROR)

    def reserve_copy(self, conn: sa.Connection, context: RequestContext, one: VolumeSnapshot) -> None:
        """The snapshot of a volume that no server has, and that none can have until it is made. Raises InvalidVolume,
        VolumeNotFound, OverQuota."""
        found = seen(context, volumes.get_many(conn, [one.volume_id], lock=True)).get(one.volume_id)
        if found is None:
            raise exception.VolumeNotFound(volume_id=one.volume_id)
        if found.shown_status != VolumeStatus.AVAILABLE:
            raise exception.InvalidVolume(
                reason=f"Volume {found.id} status must be available to be snapshotted, and is '{found.shown_status}'")
        one.host, one.size = '', found.size
        self.reserve_snapshots(conn, [one])
        volumes.update(conn, found.id, status=VolumeStatus.SNAPSHOTTING)

    def hold_snapshots(self, conn: sa.Connection, ids: Collection[str]) -> None:
        """None of them can be deleted until the transaction ends. Raises SnapshotNotFound, InvalidVolume."""
        found = db.get_many(conn, ids, lock=True)
        for one in sorted(ids):
            if one not in found:
                raise exception.SnapshotNotFound(snapshot_id=one)
            if found[one].status != VolumeStatus.AVAILABLE:
                raise exception.InvalidVolume(reason=f"snapshot '{one}' status must be 'available'. Currently in "
                                                     f"'{found[one].status}' status")

    def discard_snapshots(self, ids: Collection[str]) -> None:
        session.write(db.change_status, ids, VolumeStatus.CREATING, VolumeStatus.DELETING)
        with session.read() as conn:
            gone = [one.id for one in db.get_many(conn, ids).values() if one.status == VolumeStatus.DELETING]
        self._finish_snapshots(gone)

    def collect_snapshots(self) -> None:
        """Finish deletions that were broken off, and forget snapshots whose making was lost with its action."""
        # No copy may take longer than this.
        age = 2 * datetime.timedelta(seconds=CONF.conductor.image_deadline)
        with session.read() as conn:
            overdue = db.in_status(conn, VolumeStatus.CREATING, age)
        if overdue:
            self.discard_snapshots(overdue)
        with session.read() as conn:
            left = db.in_status(conn, VolumeStatus.DELETING)
        self._finish_snapshots(left)
        if self._look_at <= time.monotonic():
            self._look_at = time.monotonic() + LOOK
            self._remove_strays(2 * CONF.conductor.image_deadline)

    def _remove_strays(self, age: float) -> None:
        """Files of no snapshot, of which nobody has written for `age` seconds: a host that was silent when its copy was
        given up has made it all the same."""
        old = [one for one, path in files.snapshots() if _idle_for(path) > age]
        for start in range(0, len(old), PART):
            part = old[start:start + PART]
            with session.read() as conn:
                known = set(db.get_many(conn, part))
            for one in (one for one in part if one not in known):
                LOG.warning('The file of snapshot %s, which is not there, is removed', one)
                self._remove_file(one)

    def _remove_file(self, one: str) -> bool:
        try:
            files.remove_snapshot(one)
        except OSError as error:    # `collect` comes again
            LOG.error('The file of snapshot %s cannot be removed: %s', one, error.strerror)
            return False
        return True

    def _finish_snapshots(self, ids: Collection[str]) -> None:
        gone = [one for one in ids if self._remove_file(one)]
        if gone:
            session.write(db.forget, gone)
