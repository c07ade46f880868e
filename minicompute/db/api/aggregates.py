"""Aggregates of hosts, and the zones that some of them make."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_utils import uuidutils

from minicompute import exception
from minicompute.db import session, watch
from minicompute.db.models import aggregate_hosts, aggregates, compute_nodes, instances
from minicompute.db.session import utcnow
from minicompute.objects import Aggregate

ZONE = 'availability_zone'


class AggregateNameExists(exception.Conflict):
    msg_fmt = 'Aggregate %(name)s already exists.'


class AggregateHostExists(exception.Conflict):
    msg_fmt = 'Aggregate %(aggregate_id)s already has host %(host)s.'


class AggregateHostNotFound(exception.NotFound):
    msg_fmt = 'Aggregate %(aggregate_id)s has no host %(host)s.'


def every(conn: sa.Connection, ids: Iterable[int] | None = None) -> list[Aggregate]:
    """All (or these), with their hosts, in two queries."""
    columns = aggregates.c
    query = sa.select(columns.id, columns.uuid, columns.name, columns['metadata'], columns.created_at,
                      columns.updated_at).order_by(columns.id)
    members = sa.select(aggregate_hosts.c.aggregate_id, aggregate_hosts.c.host).order_by(aggregate_hosts.c.host)
    if ids is not None:
        wanted = list(ids)
        query = query.where(columns.id.in_(wanted))
        members = members.where(aggregate_hosts.c.aggregate_id.in_(wanted))
    found = {row.id: _from_row(row) for row in conn.execute(query)}
    for row in conn.execute(members):
        if row.aggregate_id in found:
            found[row.aggregate_id].hosts.append(row.host)
    return list(found.values())


def _from_row(row: Any) -> Aggregate:
    values = dict(row._mapping)
    values['metadata'] = values['metadata'] or {}
    return Aggregate(**values)


def get(conn: sa.Connection, aggregate_id: int, *, lock: bool = False) -> Aggregate:
    """`lock` holds its row. Raises AggregateNotFound."""
    if lock:
        conn.execute(sa.select(aggregates.c.id).where(aggregates.c.id == aggregate_id).with_for_update())
    found = every(conn, [aggregate_id])
    if not found:
        raise exception.AggregateNotFound(aggregate_id=aggregate_id)
    return found[0]


def zones(conn: sa.Connection) -> dict[str, str]:
    """{host: zone} of the hosts that an aggregate puts into a zone, in one query."""
    query = sa.select(aggregate_hosts.c.host, aggregates.c['metadata']).join(
        aggregates, aggregates.c.id == aggregate_hosts.c.aggregate_id).order_by(aggregates.c.id)
    return {host: metadata[ZONE] for host, metadata in conn.execute(query) if metadata and metadata.get(ZONE)}


def zones_beside(conn: sa.Connection, hosts: Iterable[str], but: int) -> set[str]:
    """The zones that aggregates other than `but` put these hosts into."""
    query = sa.select(aggregates.c['metadata']).join(
        aggregate_hosts, aggregate_hosts.c.aggregate_id == aggregates.c.id).where(
        aggregate_hosts.c.host.in_(list(hosts)), aggregates.c.id != but).distinct()
    return {metadata[ZONE] for metadata in conn.scalars(query) if metadata and metadata.get(ZONE)}


def servers_on(conn: sa.Connection, hosts: Iterable[str]) -> int:
    """How many servers live on these hosts."""
    return int(conn.execute(sa.select(sa.func.count()).select_from(instances).where(
        instances.c.host.in_(list(hosts)), instances.c.deleted == 0)).scalar_one())


def hold_hosts(conn: sa.Connection, hosts: Iterable[str]) -> None:
    """What these hosts belong to is about to change: nobody else changes it until the transaction ends, and the
    schedulers read it anew after that."""
    names = sorted(set(hosts))
    if names:
        conn.execute(compute_nodes.update().where(compute_nodes.c.host.in_(names)).values(
            changed_at=session.now(conn)))


def create(conn: sa.Connection, name: str, zone: str | None = None) -> Aggregate:
    """Raises AggregateNameExists."""
    values = {'name': name, 'uuid': uuidutils.generate_uuid(), 'created_at': utcnow(),
              'metadata': {ZONE: zone} if zone else {}}
    try:
        done = conn.execute(aggregates.insert().values(values))
    except db_exc.DBDuplicateEntry:
        raise AggregateNameExists(name=name) from None
    assert done.inserted_primary_key is not None
    made = get(conn, int(done.inserted_primary_key[0]))
    watch.changed(conn, 'aggregate', 'create', made.id)
    return made


def rename(conn: sa.Connection, aggregate_id: int, name: str) -> None:
    """Raises AggregateNameExists."""
    try:
        conn.execute(aggregates.update().where(aggregates.c.id == aggregate_id).values(
            name=name, updated_at=utcnow()))
    except db_exc.DBDuplicateEntry:
        raise AggregateNameExists(name=name) from None
    watch.changed(conn, 'aggregate', 'update_prop', aggregate_id)


def set_metadata(conn: sa.Connection, aggregate_id: int, changes: Mapping[str, str | None]) -> None:
    """None removes a key."""
    row = conn.execute(sa.select(aggregates.c['metadata']).where(
        aggregates.c.id == aggregate_id).with_for_update()).first()
    if row is None:
        raise exception.AggregateNotFound(aggregate_id=aggregate_id)
    merged = {key: value for key, value in {**(row[0] or {}), **changes}.items() if value is not None}
    conn.execute(aggregates.update().where(aggregates.c.id == aggregate_id).values(
        {'metadata': merged, 'updated_at': utcnow()}))
    watch.changed(conn, 'aggregate', 'update_metadata', aggregate_id)


def destroy(conn: sa.Connection, aggregate_id: int) -> None:
    if watch.on():
        watch.changed(conn, 'aggregate', 'delete', get(conn, aggregate_id))
    conn.execute(aggregate_hosts.delete().where(aggregate_hosts.c.aggregate_id == aggregate_id))
    conn.execute(aggregates.delete().where(aggregates.c.id == aggregate_id))


def add_host(conn: sa.Connection, aggregate_id: int, host: str) -> None:
    """Raises AggregateHostExists."""
    try:
        conn.execute(aggregate_hosts.insert().values(aggregate_id=aggregate_id, host=host))
    except db_exc.DBDuplicateEntry:
        raise AggregateHostExists(aggregate_id=aggregate_id, host=host) from None
    _touch(conn, aggregate_id)
    watch.changed(conn, 'aggregate', 'add_host', aggregate_id)


def remove_host(conn: sa.Connection, aggregate_id: int, host: str) -> None:
    """Raises AggregateHostNotFound."""
    done = conn.execute(aggregate_hosts.delete().where(
        aggregate_hosts.c.aggregate_id == aggregate_id, aggregate_hosts.c.host == host))
    if not done.rowcount:
        raise AggregateHostNotFound(aggregate_id=aggregate_id, host=host)
    _touch(conn, aggregate_id)
    watch.changed(conn, 'aggregate', 'remove_host', aggregate_id)


def _touch(conn: sa.Connection, aggregate_id: int) -> None:
    """By this the schedulers see that members were exchanged, though there are as many as before."""
    conn.execute(aggregates.update().where(aggregates.c.id == aggregate_id).values(updated_at=utcnow()))


def forget_host(conn: sa.Connection, host: str) -> None:
    """The host's compute service is deleted."""
    conn.execute(aggregate_hosts.delete().where(aggregate_hosts.c.host == host))
