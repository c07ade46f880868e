"""Hypervisors: their inventories as computes report them, and what the scheduler reads of them."""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.db import session
from minicompute.db.models import aggregate_hosts, aggregates, compute_nodes, services
from minicompute.objects import ComputeNode

#: the name that clients of Nova know the daemon by
COMPUTE = 'nova-compute'

_FIELDS = tuple(c.name for c in compute_nodes.c if c.name in {f.name for f in dataclasses.fields(ComputeNode)})
#: what only the database decides: a report never writes it
_KEPT = ('id', 'failed_builds', 'created_at', 'updated_at')


def from_row(row: Any) -> ComputeNode:
    values = row._mapping
    node = ComputeNode(**{name: values[name] for name in _FIELDS})
    node.cpu_info, node.capabilities = node.cpu_info or {}, node.capabilities or {}
    node.supported_instances, node.traits = node.supported_instances or [], node.traits or []
    return node


# -- reports of computes -------------------------------------------------------

def upsert(conn: sa.Connection, node: ComputeNode) -> int:
    """Write a report; the node is known by its uuid. -> its id.

    Raises Conflict when the uuid belongs to a node of another host: a renamed compute would count its
    servers twice, so somebody must decide first.
    """
    found = conn.execute(sa.select(compute_nodes.c.id, compute_nodes.c.host).where(
        compute_nodes.c.uuid == node.uuid).with_for_update()).one_or_none()
    if found is not None and found.host != node.host:
        raise exception.Conflict(
            f'Compute node {node.uuid} belongs to host {found.host}, and host {node.host} reports it. Give '
            f'the compute its old name again, or remove the service of {found.host} first.')
    now = session.now(conn)
    values = {name: getattr(node, name) for name in _FIELDS if name not in _KEPT}
    values.update(updated_at=now, changed_at=now)
    if found is not None:
        conn.execute(compute_nodes.update().where(compute_nodes.c.id == found.id).values(values))
        return int(found.id)
    done = conn.execute(compute_nodes.insert().values(**values, failed_builds=0, created_at=now))
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def bump_failed_builds(conn: sa.Connection, host: str) -> None:
    """A build failed on `host`: the BuildFailureWeigher takes it less gladly from now on."""
    _set_failed_builds(conn, host, compute_nodes.c.failed_builds + 1)


def reset_failed_builds(conn: sa.Connection, host: str) -> None:
    """A build succeeded on `host`. Writes nothing when there is nothing to forget."""
    _set_failed_builds(conn, host, 0, compute_nodes.c.failed_builds != 0)


def _set_failed_builds(conn: sa.Connection, host: str, value: Any, *where: Any) -> None:
    conn.execute(compute_nodes.update().where(compute_nodes.c.host == host, *where).values(
        failed_builds=value, changed_at=session.now(conn)))


def get(conn: sa.Connection, key: int | str) -> ComputeNode:
    """By id (int) or uuid (str). Raises ComputeHostNotFound."""
    column = compute_nodes.c.id if isinstance(key, int) else compute_nodes.c.uuid
    row = conn.execute(sa.select(compute_nodes).where(column == key)).one_or_none()
    if row is None:
        raise exception.ComputeHostNotFound(host=key)
    return from_row(row)


# -- what the scheduler reads --------------------------------------------------

@dataclasses.dataclass(slots=True)
class ServiceState:
    """A compute service that is new to the asker, or that may not be given servers."""

    id: int
    host: str
    disabled: bool
    down: bool


def changed_since(conn: sa.Connection, since: datetime.datetime) -> list[tuple[int, datetime.datetime]]:
    """(id, changed_at) of the nodes that changed at or after `since` (the database's clock)."""
    rows = conn.execute(sa.select(compute_nodes.c.id, compute_nodes.c.changed_at).where(
        compute_nodes.c.changed_at >= since))
    return [(row[0], row[1]) for row in rows]


def ids(conn: sa.Connection) -> set[int]:
    return set(conn.execute(sa.select(compute_nodes.c.id)).scalars())


def load(conn: sa.Connection,
         node_ids: Sequence[int] | None = None) -> list[tuple[ComputeNode, datetime.datetime]]:
    """Nodes (all, or those named) with their changed_at."""
    query = sa.select(compute_nodes)
    if node_ids is not None:
        query = query.where(compute_nodes.c.id.in_(node_ids))
    return [(from_row(row), row.changed_at) for row in conn.execute(query)]


def services_to_know(conn: sa.Connection, after_id: int, horizon: datetime.datetime) -> list[ServiceState]:
    """Compute services with an id above `after_id`, and all that are disabled or down (forced, or last
    seen before `horizon`): of ten thousand healthy services none crosses the wire."""
    table = services.c
    seen = sa.func.coalesce(table.last_seen_up, table.created_at)
    down = sa.or_(table.forced_down, seen.is_(None), seen < horizon)
    rows = conn.execute(sa.select(table.id, table.host, table.disabled, sa.case((down, 1), else_=0)).where(
        table.binary == COMPUTE, sa.or_(table.id > after_id, table.disabled, down)))
    return [ServiceState(row[0], row[1], bool(row[2]), bool(row[3])) for row in rows]


def aggregate_metadata(conn: sa.Connection) -> dict[int, dict[str, str]]:
    rows = conn.execute(sa.select(aggregates.c.id, aggregates.c.metadata))
    return {row[0]: row[1] or {} for row in rows}


def aggregate_sizes(conn: sa.Connection) -> dict[int, int]:
    """How many hosts each aggregate has: a cheap sign that the members moved."""
    rows = conn.execute(sa.select(aggregate_hosts.c.aggregate_id, sa.func.count()).group_by(
        aggregate_hosts.c.aggregate_id))
    return {row[0]: row[1] for row in rows}


def aggregate_members(conn: sa.Connection) -> Iterable[tuple[int, str]]:
    rows = conn.execute(sa.select(aggregate_hosts.c.aggregate_id, aggregate_hosts.c.host))
    return [(row[0], row[1]) for row in rows]
