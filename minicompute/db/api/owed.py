"""Clean-up that a host owes: written when it was down, paid when it comes back."""
from __future__ import annotations

import sqlalchemy as sa

from minicompute.db.models import owed
from minicompute.db.session import utcnow


def add(conn: sa.Connection, host: str, instance_uuid: str, verb: str, reason: str) -> None:
    """Once for each (host, server, verb)."""
    same = (owed.c.host == host, owed.c.instance_uuid == instance_uuid, owed.c.verb == verb)
    if conn.execute(sa.select(owed.c.id).where(*same)).first() is None:
        conn.execute(owed.insert().values(host=host, instance_uuid=instance_uuid, verb=verb, reason=reason,
                                          created_at=utcnow()))


def of_host(conn: sa.Connection, host: str) -> list[str]:
    """uuids of the servers that `host` has to remove."""
    return [row.instance_uuid for row in conn.execute(sa.select(owed.c.instance_uuid).where(owed.c.host == host))]


def paid(conn: sa.Connection, host: str, uuids: list[str]) -> None:
    conn.execute(owed.delete().where(owed.c.host == host, owed.c.instance_uuid.in_(uuids)))
