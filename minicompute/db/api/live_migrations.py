"""What only live migrations have: their turn at the source, and orders while they run."""
from __future__ import annotations

import sqlalchemy as sa

from minicompute.db.api import migrations as moves
from minicompute.db.models import compute_nodes, migrations
from minicompute.objects import Migration, MigrationStatus, MigrationType

#: a copy is being made ready, or made
COPYING = (MigrationStatus.PREPARING, MigrationStatus.RUNNING, MigrationStatus.POST_MIGRATING)


def take_turn(conn: sa.Connection, uuid: str, source: str, most: int) -> bool:
    """-> whether this one may begin: no more than `most` (0: any number) at a time leave one host. Two that ask at
    once wait for each other at the host's row."""
    if most:
        conn.execute(sa.select(compute_nodes.c.id).where(compute_nodes.c.host == source).order_by(
            compute_nodes.c.id).with_for_update()).all()
        others = conn.execute(sa.select(sa.func.count()).select_from(migrations).where(
            migrations.c.source_compute == source, migrations.c.status.in_(COPYING), migrations.c.uuid != uuid,
            migrations.c.migration_type == MigrationType.LIVE)).scalar_one()
        if others >= most:
            return False
    moves.update(conn, uuid, status=MigrationStatus.PREPARING)
    return True


def order(conn: sa.Connection, uuid: str, what: str) -> None:
    """Leave word for the copy; the newest counts. Kept in the row, so that no message needs to arrive."""
    row = conn.execute(sa.select(migrations.c.data).where(migrations.c.uuid == uuid).with_for_update()).first()
    if row is not None:
        moves.update(conn, uuid, data={**(row.data or {}), 'order': what})


def ordered(conn: sa.Connection, uuid: str) -> str | None:
    """The order that somebody left, if any."""
    row = conn.execute(sa.select(migrations.c.data).where(migrations.c.uuid == uuid)).first()
    return (row.data or {}).get('order') if row is not None else None


def lock(conn: sa.Connection, uuid: str) -> Migration | None:
    """It keeps its status until the transaction ends."""
    row = conn.execute(sa.select(migrations).where(migrations.c.uuid == uuid).with_for_update()).first()
    return moves.from_row(row) if row is not None else None
