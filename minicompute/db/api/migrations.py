"""Moves of servers: their rows, and the exchange of the two claims that a move holds."""
from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.db import session
from minicompute.db.api import allocations as claims
from minicompute.db.models import allocations, migrations
from minicompute.objects import (
    Instance,
    Migration,
    MigrationStatus,
    MigrationType,
    PowerState,
    VMState,
    to_primitive,
)

#: those that wait for a confirmation, or a revert
COLD = (MigrationType.MIGRATION, MigrationType.RESIZE)
_FIELDS = tuple(c.name for c in migrations.c if c.name in Migration.__dataclass_fields__)


def from_row(row: Any) -> Migration:
    values = row._mapping
    made = Migration(**{name: values[name] for name in _FIELDS})
    made.data = made.data or {}
    return made


def create(conn: sa.Connection, migration: Migration) -> None:
    """In the transaction that begins its action. Sets `id` and the times."""
    migration.created_at = migration.updated_at = session.now(conn)
    values = {name: getattr(migration, name) for name in _FIELDS if name != 'id'}
    made: Any = conn.execute(migrations.insert().values(**values)).inserted_primary_key
    migration.id = int(made[0])


def update(conn: sa.Connection, uuid: str, **changes: Any) -> bool:
    """-> whether it is there"""
    changes['updated_at'] = session.now(conn)
    return conn.execute(migrations.update().where(migrations.c.uuid == uuid).values(**changes)).rowcount == 1


def get(conn: sa.Connection, uuid: str) -> Migration:
    """Raises MigrationNotFound."""
    row = conn.execute(sa.select(migrations).where(migrations.c.uuid == uuid)).first()
    if row is None:
        raise exception.MigrationNotFound(migration_id=uuid)
    return from_row(row)


def of_instance(conn: sa.Connection, instance_uuid: str, statuses: Collection[str] | None = None,
                kinds: Collection[str] | None = None) -> list[Migration]:
    """The newest first; only those in `statuses` and of the types `kinds`, if given."""
    query = sa.select(migrations).where(migrations.c.instance_uuid == instance_uuid)
    if statuses is not None:
        query = query.where(migrations.c.status.in_(list(statuses)))
    if kinds is not None:
        query = query.where(migrations.c.migration_type.in_(list(kinds)))
    return [from_row(row) for row in conn.execute(query.order_by(migrations.c.id.desc()))]


def one_of(conn: sa.Connection, instance_uuid: str, number: str) -> Migration | None:
    """By the id that the API shows."""
    if not number.isascii() or not number.isdecimal() or len(number) > 18:
        return None
    row = conn.execute(sa.select(migrations).where(
        migrations.c.id == int(number), migrations.c.instance_uuid == instance_uuid)).first()
    return from_row(row) if row is not None else None


def page(conn: sa.Connection, filters: Mapping[str, str], *, limit: int | None = None, marker: str | None = None,
         since: datetime.datetime | None = None, before: datetime.datetime | None = None) -> list[Migration]:
    """Those that have these values; `host` and `node` match either end. With a limit the newest first, else the
    oldest. The marker is a uuid. Raises MarkerNotFound."""
    c = migrations.c
    query = sa.select(migrations)
    for name, value in filters.items():
        if name == 'host':
            query = query.where(sa.or_(c.source_compute == value, c.dest_compute == value))
        elif name == 'node':
            query = query.where(sa.or_(c.source_node == value, c.dest_node == value))
        elif name != 'source_compute' or 'host' not in filters:
            query = query.where(c[name] == value)
    if since is not None:
        query = query.where(c.updated_at >= since)
    if before is not None:
        query = query.where(c.updated_at <= before)
    if marker is not None:
        found = conn.execute(sa.select(c.created_at, c.id).where(c.uuid == marker)).first()
        if found is None:
            raise exception.MarkerNotFound(marker=marker)
        query = query.where(sa.or_(c.created_at < found.created_at,
                                   sa.and_(c.created_at == found.created_at, c.id < found.id)))
    if limit is None:
        query = query.order_by(c.id)
    else:
        query = query.order_by(c.created_at.desc(), c.id.desc()).limit(limit)
    return [from_row(row) for row in conn.execute(query)]


def under_way(conn: sa.Connection, hosts: Sequence[str]) -> list[tuple[str, str]]:
    """(host, server) for each server that comes to or goes from one of `hosts`, or may go back to it: its domain
    and disks there are nobody's leftovers. Two index ranges, whatever the number of migrations that have ended."""
    found: list[tuple[str, str]] = []
    for end in (migrations.c.source_compute, migrations.c.dest_compute):
        rows = conn.execute(sa.select(end, migrations.c.instance_uuid).where(
            end.in_(list(hosts)), migrations.c.status.in_(MigrationStatus.LIVE)))
        found += [(row[0], row[1]) for row in rows]
    return found


def evacuated_from(conn: sa.Connection, host: str) -> bool:
    """Whether servers were evacuated from `host` of which it does not know yet."""
    return conn.execute(sa.select(migrations.c.id).where(
        migrations.c.source_compute == host, migrations.c.status == MigrationStatus.DONE,
        migrations.c.migration_type == MigrationType.EVACUATION).limit(1)).first() is not None


def end_with_server(conn: sa.Connection, instance_uuid: str) -> None:
    """The server is deleted: with a resize that waited for its confirmation as if that had come."""
    now = session.now(conn)
    mine = migrations.c.instance_uuid == instance_uuid
    waiting = (MigrationStatus.FINISHED, MigrationStatus.CONFIRMING)
    conn.execute(migrations.update().where(mine, migrations.c.status.in_(waiting)).values(
        status=MigrationStatus.CONFIRMED, updated_at=now))
    conn.execute(migrations.update().where(mine, migrations.c.status.in_(MigrationStatus.LIVE)).values(
        status=MigrationStatus.ERROR, updated_at=now))


def ending(migration: Migration, instance: Instance) -> dict[str, Any]:
    """The facts with which a resize that waits for it is confirmed or reverted."""
    return {'migration': migration.uuid, 'shared': bool(migration.data.get('shared')),
            'source': {'host': migration.source_compute, 'node': migration.source_node,
                       'availability_zone': migration.data.get('zone')},
            'dest': {'host': instance.host, 'node': instance.node}, 'old_flavor': to_primitive(instance.old_flavor),
            'old_vm_state': instance.system_metadata.get('old_vm_state', VMState.ACTIVE),
            'ran': instance.power_state != PowerState.SHUTDOWN}


def older_than(conn: sa.Connection, status: str, age: datetime.timedelta) -> list[Migration]:
    """Those that have been in `status` for at least `age`."""
    rows = conn.execute(sa.select(migrations).where(
        migrations.c.status == status, migrations.c.updated_at <= session.now(conn) - age))
    return [from_row(row) for row in rows]


# -- claims --------------------------------------------------------------------

_SIZES = ('node_id', 'vcpus', 'memory_mb', 'disk_gb')


def exchange_claims(conn: sa.Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """(server, migration): each gets what the other held. Before the switch the migration holds the destination,
    after it the source. Raises Conflict when one of the two claims is not there."""
    c = allocations.c
    for instance_uuid, migration_uuid in sorted(set(pairs)):
        rows = {row.consumer_uuid: row for row in conn.execute(sa.select(allocations).where(
            c.consumer_uuid.in_([instance_uuid, migration_uuid])).order_by(c.consumer_uuid).with_for_update())}
        if len(rows) != 2:
            raise exception.Conflict(f'The move of instance {instance_uuid} has lost one of its two claims.')
        for mine, theirs in ((instance_uuid, migration_uuid), (migration_uuid, instance_uuid)):
            values = {name: getattr(rows[theirs], name) for name in _SIZES}
            conn.execute(allocations.update().where(c.consumer_uuid == mine).values(**values))
        claims.touch(conn, {row.node_id for row in rows.values()})
