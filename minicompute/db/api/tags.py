"""Tags of servers. Functions take an open connection."""
from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from minicompute import exception
from minicompute.db.models import tags


def of(conn: sa.Connection, uuid: str) -> list[str]:
    return list(conn.scalars(sa.select(tags.c.tag).where(tags.c.resource_id == uuid).order_by(tags.c.tag)))


def add(conn: sa.Connection, uuid: str, wanted: Iterable[str]) -> None:
    """The caller knows that they are not there; it holds the server's row."""
    rows = [{'resource_id': uuid, 'tag': tag} for tag in dict.fromkeys(wanted)]
    if rows:
        conn.execute(tags.insert(), rows)


def remove_all(conn: sa.Connection, uuid: str) -> None:
    conn.execute(tags.delete().where(tags.c.resource_id == uuid))


def remove(conn: sa.Connection, uuid: str, tag: str) -> None:
    """Raises TagNotFound."""
    if not conn.execute(tags.delete().where(tags.c.resource_id == uuid, tags.c.tag == tag)).rowcount:
        raise exception.TagNotFound(server_id=uuid, tag=tag)
