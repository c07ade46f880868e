"""What servers used over a time, from the records of those that are there and of those that are gone."""
from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.db.models import instances

_COLUMNS = [instances.c[name] for name in (
    'uuid', 'project_id', 'display_name', 'vm_state', 'launched_at', 'terminated_at', 'flavor')]


def active(conn: sa.Connection, begin: datetime.datetime, end: datetime.datetime, *, project_id: str | None = None,
           limit: int | None = None, marker: str | None = None) -> list[Any]:
    """Rows of the servers that ran at some time from `begin` to `end`, by project and uuid, in one query (two with
    a marker, which is the uuid of any server). Raises MarkerNotFound."""
    c = instances.c
    query = sa.select(*_COLUMNS).where(
        sa.or_(c.terminated_at.is_(None), c.terminated_at > begin), c.launched_at < end
    ).order_by(c.project_id, c.uuid).limit(limit)
    if project_id is not None:
        query = query.where(c.project_id == project_id)
    if marker is not None:
        last = conn.execute(sa.select(c.project_id, c.uuid).where(c.uuid == marker)).first()
        if last is None:
            raise exception.MarkerNotFound(marker=marker[:64])
        # The first bound is implied, but it is what an index can begin with.
        query = query.where(c.project_id >= last.project_id, sa.or_(
            c.project_id > last.project_id, c.uuid > last.uuid))
    return list(conn.execute(query))
