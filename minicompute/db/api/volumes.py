"""Volumes of the local backend. Functions take an open connection; nothing here looks at files.

Whether a volume is free is never kept: it is free when no block device refers to it.  Whoever takes one locks its row
first, so that two requests cannot both find it free.
"""
from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.api import block_devices, newest
from minicompute.db.models import block_device_mappings as bdms
from minicompute.db.models import instances, volumes
from minicompute.objects import Volume, VolumeAttachment, VolumeStatus

_PLAIN = ('project_id', 'size', 'user_id', 'name', 'description', 'status', 'bootable', 'made', 'volume_type',
          'created_at', 'updated_at', 'snapshot_id')


def _from_row(row: Any) -> Volume:
    return Volume(id=row.uuid, image_metadata=row.image_metadata or {}, metadata=row.metadata or {},
                  **{name: getattr(row, name) for name in _PLAIN})


def insert(conn: sa.Connection, many: Sequence[Volume]) -> None:
    rows = []
    for volume in many:
        volume.created_at = volume.updated_at = session.utcnow()
        rows.append({'uuid': volume.id, 'image_metadata': volume.image_metadata, 'metadata': volume.metadata,
                     **{name: getattr(volume, name) for name in _PLAIN}})
    if rows:
        conn.execute(volumes.insert(), rows)


def get_many(conn: sa.Connection, ids: Iterable[str], *, lock: bool = False) -> dict[str, Volume]:
    """{id: volume with its attachments} of those that are there; `lock` keeps others from taking them."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    query = sa.select(volumes).where(volumes.c.uuid.in_(wanted)).order_by(volumes.c.id)
    return _attached(conn, conn.execute(query.with_for_update() if lock else query))


def page(conn: sa.Connection, project_id: str | None, *, name: str | None = None, limit: int | None = None,
         marker: str | None = None, offset: int = 0) -> list[Volume]:
    """Newest first; of all projects when `project_id` is None. An `offset` needs a limit. Raises MarkerNotFound."""
    query = sa.select(volumes)
    if project_id is not None:
        query = query.where(volumes.c.project_id == project_id)
    if name is not None:
        query = query.where(volumes.c.name == name)
    query = newest.after(conn, query, volumes, marker, project_id)
    return list(_attached(conn, conn.execute(query if limit is None else query.limit(limit).offset(offset))).values())


def _attached(conn: sa.Connection, rows: Iterable[Any]) -> dict[str, Volume]:
    found = {row.uuid: _from_row(row) for row in rows}
    query = sa.select(bdms, instances.c.host).join(instances, instances.c.uuid == bdms.c.instance_uuid).where(
        bdms.c.volume_id.in_(list(found)), instances.c.deleted == 0).order_by(bdms.c.id)
    for row in conn.execute(query) if found else ():
        state = (row.connection_info or {}).get('state', block_devices.ATTACHED)
        found[row.volume_id].attachments.append(VolumeAttachment(
            id=row.attachment_id or row.uuid, instance_uuid=row.instance_uuid, device_name=row.device_name,
            state=state, created_at=row.created_at, host=row.host))
    return found


def update(conn: sa.Connection, volume_id: str, **changes: Any) -> bool:
    """-> whether it is there"""
    return conn.execute(volumes.update().where(volumes.c.uuid == volume_id).values(
        updated_at=session.utcnow(), **changes)).rowcount == 1


def set_made(conn: sa.Connection, ids: Collection[str | None]) -> None:
    """A host has made their files."""
    wanted = sorted(one for one in set(ids) if one)
    if wanted:
        conn.execute(volumes.update().where(volumes.c.uuid.in_(wanted), volumes.c.made.is_(False)).values(made=True))


def with_files(conn: sa.Connection, ids: Collection[str] | None = None) -> set[str]:
    """Those, or those of `ids`, that have had files and are to keep them."""
    query = sa.select(volumes.c.uuid).where(volumes.c.made.is_(True), volumes.c.status != VolumeStatus.DELETING)
    return set(conn.scalars(query if ids is None else query.where(volumes.c.uuid.in_(sorted(ids)))))


def mark_deleting(conn: sa.Connection, ids: Collection[str]) -> None:
    """Those of them that no server has. Their files go next, then their rows (`forget`)."""
    if ids:
        has = sa.select(bdms.c.id).where(bdms.c.volume_id == volumes.c.uuid)
        conn.execute(volumes.update().where(volumes.c.uuid.in_(sorted(ids)), ~has.exists()).values(
            status=VolumeStatus.DELETING, updated_at=session.utcnow()))


def deleting(conn: sa.Connection, limit: int = 100) -> list[str]:
    return list(conn.scalars(sa.select(volumes.c.uuid).where(volumes.c.status == VolumeStatus.DELETING).limit(limit)))


def forget(conn: sa.Connection, ids: Collection[str]) -> None:
    """The rows of volumes whose files are gone."""
    if ids:
        conn.execute(volumes.delete().where(volumes.c.uuid.in_(sorted(ids)),
                                            volumes.c.status == VolumeStatus.DELETING))


def count(conn: sa.Connection, project_id: str) -> int:
    return int(conn.scalar(sa.select(sa.func.count()).where(volumes.c.project_id == project_id)) or 0)
