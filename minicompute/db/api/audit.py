"""What nobody needs any more although no flow said so: found by comparison, mended where it is safe."""
from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.models import allocations, instance_actions, instances, ports

#: younger rows may belong to a transaction that we do not see yet
AGE = datetime.timedelta(seconds=60)


def _orphans(conn: sa.Connection, table: sa.Table, ready: Any) -> list[str]:
    """Servers that `table` holds something for, though they are gone (or `ready` to be without) and idle."""
    query = sa.select(table.c.instance_uuid).distinct().select_from(
        table.outerjoin(instances, sa.and_(instances.c.uuid == table.c.instance_uuid, instances.c.deleted == 0))
        .outerjoin(instance_actions, instance_actions.c.busy == table.c.instance_uuid)).where(
        table.c.instance_uuid.is_not(None), table.c.created_at < session.now(conn) - AGE,
        instance_actions.c.id.is_(None), sa.or_(instances.c.id.is_(None), ready))
    return [row.instance_uuid for row in conn.execute(query)]


def orphan_claims(conn: sa.Connection) -> list[str]:
    """A scheduler that answered late claimed for a server that no longer wants a host."""
    return _orphans(conn, allocations, instances.c.host.is_(None))


def orphan_ports(conn: sa.Connection) -> list[str]:
    return _orphans(conn, ports, sa.false())
