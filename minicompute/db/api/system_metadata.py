"""What one action leaves at a server for a later one. Several may write it at a time, so each changes only its keys."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute.db.models import instances
from minicompute.db.session import utcnow


def merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def merge(conn: sa.Connection, uuid: str, changes: dict[str, Any]) -> None:
    """Set keys of a live server's system_metadata; None takes a key away. The row is held until the commit."""
    here = (instances.c.uuid == uuid, instances.c.deleted == 0)
    row = conn.execute(sa.select(instances.c.system_metadata).where(*here).with_for_update()).first()
    if row is None:
        return
    before = row.system_metadata or {}
    after = merged(before, changes)
    if after != before:
        conn.execute(instances.update().where(*here).values(system_metadata=after, updated_at=utcnow()))


def of(conn: sa.Connection, uuid: str) -> dict[str, Any]:
    """{} for a server that is not there."""
    row = conn.execute(sa.select(instances.c.system_metadata).where(
        instances.c.uuid == uuid, instances.c.deleted == 0)).first()
    return dict(row.system_metadata or {}) if row is not None else {}


def put_once(conn: sa.Connection, uuid: str, key: str, changes: dict[str, Any]) -> bool:
    """Set keys unless `key` is there. -> whether they were set, False also for a server that is not there"""
    here = (instances.c.uuid == uuid, instances.c.deleted == 0)
    row = conn.execute(sa.select(instances.c.system_metadata).where(*here).with_for_update()).first()
    if row is None or (row.system_metadata or {}).get(key):
        return False
    after = merged(row.system_metadata or {}, changes)
    conn.execute(instances.update().where(*here).values(system_metadata=after, updated_at=utcnow()))
    return True
