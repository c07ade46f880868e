"""Snapshots of local volumes. Functions take an open connection; nothing here looks at files."""
from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.api import newest
from minicompute.db.models import volume_snapshots as snapshots
from minicompute.db.models import volumes
from minicompute.objects import VolumeSnapshot, VolumeStatus

_PLAIN = ('volume_id', 'project_id', 'size', 'user_id', 'name', 'description', 'status', 'bootable', 'created_at',
          'updated_at', 'host')


def _from_row(row: Any) -> VolumeSnapshot:
    return VolumeSnapshot(id=row.uuid, image_metadata=row.image_metadata or {}, metadata=row.metadata or {},
                          **{name: getattr(row, name) for name in _PLAIN})


def insert(conn: sa.Connection, many: Sequence[VolumeSnapshot]) -> None:
    rows = []
    for one in many:
        one.created_at = one.updated_at = session.utcnow()
        rows.append({'uuid': one.id, 'image_metadata': one.image_metadata, 'metadata': one.metadata,
                     **{name: getattr(one, name) for name in _PLAIN}})
    if rows:
        conn.execute(snapshots.insert(), rows)


def get_many(conn: sa.Connection, ids: Iterable[str], *, lock: bool = False) -> dict[str, VolumeSnapshot]:
    """{id: snapshot} of those that are there; `lock` keeps others from deleting them."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    query = sa.select(snapshots).where(snapshots.c.uuid.in_(wanted)).order_by(snapshots.c.id)
    return {row.uuid: _from_row(row) for row in conn.execute(query.with_for_update() if lock else query)}


def page(conn: sa.Connection, project_id: str | None, *, name: str | None = None, volume_id: str | None = None,
         status: str | None = None, limit: int | None = None, marker: str | None = None,
         offset: int = 0) -> list[VolumeSnapshot]:
    """Newest first; of all projects when `project_id` is None. An `offset` needs a limit. Raises MarkerNotFound."""
    query = sa.select(snapshots)
    for column, value in ((snapshots.c.project_id, project_id), (snapshots.c.name, name),
                          (snapshots.c.volume_id, volume_id), (snapshots.c.status, status)):
        if value is not None:
            query = query.where(column == value)
    query = newest.after(conn, query, snapshots, marker, project_id)
    return [_from_row(row) for row in conn.execute(query if limit is None else query.limit(limit).offset(offset))]


def update(conn: sa.Connection, snapshot_id: str, **changes: Any) -> bool:
    """-> whether it is there"""
    return conn.execute(snapshots.update().where(snapshots.c.uuid == snapshot_id).values(
        updated_at=session.utcnow(), **changes)).rowcount == 1


def change_status(conn: sa.Connection, ids: Collection[str], was: str, status: str) -> int:
    """-> how many were in status `was`"""
    if not ids:
        return 0
    return conn.execute(snapshots.update().where(snapshots.c.uuid.in_(sorted(ids)), snapshots.c.status == was).values(
        status=status, updated_at=session.utcnow())).rowcount


def needed(conn: sa.Connection, snapshot_id: str) -> str | None:
    """A volume that is to be made from it at its first use, if there is one."""
    return conn.scalar(sa.select(volumes.c.uuid).where(
        volumes.c.snapshot_id == snapshot_id, volumes.c.made.is_(False),
        volumes.c.status != VolumeStatus.DELETING).limit(1))


def in_status(conn: sa.Connection, status: str, age: datetime.timedelta | None = None, limit: int = 100) -> list[str]:
    """With `age` only those of servers that nothing has changed for so long."""
    query = sa.select(snapshots.c.uuid).where(snapshots.c.status == status).limit(limit)
    if age is not None:
        query = query.where(snapshots.c.updated_at < session.utcnow() - age, snapshots.c.host.is_(None))
    return list(conn.scalars(query))


# -- of volumes that no server has ---------------------------------------------

def to_copy(conn: sa.Connection, unheard: float, limit: int = 100) -> list[VolumeSnapshot]:
    """Those that no host copies yet, or of which nothing was heard for so many seconds, the oldest first."""
    before = session.utcnow() - datetime.timedelta(seconds=unheard)
    query = sa.select(snapshots).where(
        snapshots.c.status == VolumeStatus.CREATING, snapshots.c.host.is_not(None),
        sa.or_(snapshots.c.host == '', snapshots.c.updated_at < before)).order_by(snapshots.c.id).limit(limit)
    return [_from_row(row) for row in conn.execute(query)]


def take(conn: sa.Connection, one: VolumeSnapshot, host: str) -> bool:
    """`host` is to copy it. -> False when another conductor was faster."""
    return conn.execute(snapshots.update().where(
        snapshots.c.uuid == one.id, snapshots.c.status == VolumeStatus.CREATING, snapshots.c.host == one.host,
        snapshots.c.updated_at == one.updated_at).values(host=host, updated_at=session.utcnow())).rowcount == 1


def heard(conn: sa.Connection, snapshot_id: str, host: str) -> None:
    conn.execute(snapshots.update().where(
        snapshots.c.uuid == snapshot_id, snapshots.c.status == VolumeStatus.CREATING,
        snapshots.c.host == host).values(updated_at=session.utcnow()))


def copied(conn: sa.Connection, snapshot_id: str, status: str, host: str | None = None) -> bool:
    """The end of it: `available` or `error`. Its volume is free again, and has a file now. -> whether it was awaited:
    that it cannot be made only the `host` that is to make it can say."""
    if status == VolumeStatus.ERROR and host is not None and conn.scalar(sa.select(snapshots.c.host).where(
            snapshots.c.uuid == snapshot_id).with_for_update()) != host:
        return False
    if not change_status(conn, [snapshot_id], VolumeStatus.CREATING, status):
        return False
    volume_id = conn.scalar(sa.select(snapshots.c.volume_id).where(snapshots.c.uuid == snapshot_id))
    free = volumes.update().where(volumes.c.uuid == volume_id, volumes.c.status == VolumeStatus.SNAPSHOTTING)
    facts: dict[str, Any] = {'made': True} if status == VolumeStatus.AVAILABLE else {}
    conn.execute(free.values(status=VolumeStatus.AVAILABLE, updated_at=session.utcnow(), **facts))
    return True


def forget(conn: sa.Connection, ids: Collection[str]) -> None:
    """The rows of snapshots whose files are gone."""
    if ids:
        conn.execute(snapshots.delete().where(snapshots.c.uuid.in_(sorted(ids)),
                                              snapshots.c.status == VolumeStatus.DELETING))


def count(conn: sa.Connection, project_id: str) -> int:
    return int(conn.scalar(sa.select(sa.func.count()).where(snapshots.c.project_id == project_id)) or 0)
