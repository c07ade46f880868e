"""Hypervisors: their inventories as computes report them, and what the scheduler reads of them."""
from __future__ import annotations

import dataclasses
import datetime
import math
from collections import Counter, defaultdict
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
_REPORTED = tuple(compute_nodes.c[name] for name in _FIELDS if name not in _KEPT)
#: what a report says for the API alone: no scheduler need read the node again for it
_ASIDE = {'uptime', 'free_disk_least_gb', 'host_ip'}
#: nodes that one statement reads or writes
CHUNK = 500


def from_row(row: Any) -> ComputeNode:
    values = row._mapping
    node = ComputeNode(**{name: values[name] for name in _FIELDS})
    node.cpu_info, node.capabilities = node.cpu_info or {}, node.capabilities or {}
    node.supported_instances, node.traits = node.supported_instances or [], node.traits or []
    return node


# -- reports of computes -------------------------------------------------------

def upsert(conn: sa.Connection, node: ComputeNode) -> int:
    """Write a report. -> the node's id. Raises Conflict as `upsert_many` returns it."""
    for refusal in upsert_many(conn, [node]):
        raise refusal
    return int(conn.execute(sa.select(compute_nodes.c.id).where(compute_nodes.c.uuid == node.uuid)).scalar_one())


def upsert_many(conn: sa.Connection, nodes: Sequence[ComputeNode]) -> list[exception.Conflict]:
    """Write reports; a node is known by its uuid. What a report says already stands there is not written, and
    `changed_at` moves only with what schedulers read.

    -> a Conflict for each whose uuid belongs to a node of another host, which is left as it is: a renamed compute
    would count its servers twice, so somebody must decide first.
    """
    refusals: list[exception.Conflict] = []
    reports = {node.uuid: node for node in nodes}
    ordered = sorted(reports)
    for start in range(0, len(ordered), CHUNK):
        uuids = ordered[start:start + CHUNK]
        rows = {row.uuid: row for row in conn.execute(
            sa.select(*_REPORTED, compute_nodes.c.id).where(compute_nodes.c.uuid.in_(uuids)))}
        strangers = [uuid for uuid, row in rows.items() if row.host != reports[uuid].host]
        refusals += [exception.Conflict(
            f'Compute node {uuid} belongs to host {rows[uuid].host}, and host {reports[uuid].host} reports it. Give '
            f'the compute its old name again, or remove the service of {rows[uuid].host} first.')
            for uuid in strangers]
        _write_reports(conn, [(rows.get(uuid), reports[uuid]) for uuid in uuids if uuid not in strangers])
    return refusals


def _write_reports(conn: sa.Connection, pairs: Iterable[tuple[Any, ComputeNode]]) -> None:
    """(the row as it is or None, the report)"""
    now = session.now(conn)
    fresh: list[dict[str, Any]] = []
    changed: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for row, node in pairs:
        values = {column.name: getattr(node, column.name) for column in _REPORTED}
        if row is None:
            fresh.append({**values, 'failed_builds': 0, 'created_at': now, 'updated_at': now, 'changed_at': now})
            continue
        moved = {name for name, value in values.items() if not _equal(row._mapping[name], value)}
        if moved:
            times = {'updated_at': now, 'changed_at': now} if moved - _ASIDE else {'updated_at': now}
            changed[bool(moved - _ASIDE)].append({**values, **times, 'node_id': row.id})
    if fresh:
        conn.execute(compute_nodes.insert(), fresh)
    for updates in changed.values():
        if updates:    # by id, as claims lock them
            conn.execute(compute_nodes.update().where(compute_nodes.c.id == sa.bindparam('node_id')),
                         sorted(updates, key=lambda values: int(values['node_id'])))


def _equal(stored: Any, told: Any) -> bool:
    """MariaDB keeps ratios with seven digits."""
    if isinstance(stored, float) and isinstance(told, float):
        return math.isclose(stored, told, rel_tol=1e-5)
    return bool(stored == told)


def bump_failed_builds(conn: sa.Connection, hosts: Iterable[str]) -> None:
    """A build failed on each of `hosts`: the BuildFailureWeigher takes them less gladly from now on."""
    for failures, some in sorted(_by_count(hosts).items()):
        _set_failed_builds(conn, some, compute_nodes.c.failed_builds + failures)


def _by_count(hosts: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for host, count in sorted(Counter(hosts).items()):
        found[count].append(host)
    return found


def reset_failed_builds(conn: sa.Connection, hosts: Iterable[str]) -> None:
    """A build succeeded on each of `hosts`. Writes nothing when there is nothing to forget."""
    _set_failed_builds(conn, sorted(set(hosts)), 0, compute_nodes.c.failed_builds != 0)


def _set_failed_builds(conn: sa.Connection, hosts: Sequence[str], value: Any, *where: Any) -> None:
    conn.execute(compute_nodes.update().where(compute_nodes.c.host.in_(hosts), *where).values(
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


def stamps(conn: sa.Connection, node_ids: Sequence[int]) -> dict[int, Any]:
    """node id -> row (updated_at, failed_builds). Claims and releases do not move `updated_at`: where it stands
    still the facts do, and only the usage need be read again."""
    c = compute_nodes.c
    rows = conn.execute(sa.select(c.id, c.updated_at, c.failed_builds).where(c.id.in_(node_ids)))
    return {row.id: row for row in rows}


def counts(conn: sa.Connection) -> tuple[int, int]:
    """How many nodes there are, and how many compute services: who has seen all that came has missed none that
    went, as long as he has as many."""
    nodes = sa.select(sa.func.count()).select_from(compute_nodes).scalar_subquery()
    serving = sa.select(sa.func.count()).select_from(services).where(services.c.binary == COMPUTE).scalar_subquery()
    row = conn.execute(sa.select(nodes, serving)).one()
    return int(row[0]), int(row[1])


def ids(conn: sa.Connection) -> set[int]:
    return set(conn.execute(sa.select(compute_nodes.c.id)).scalars())


def load(conn: sa.Connection,
         node_ids: Sequence[int] | None = None) -> list[tuple[ComputeNode, datetime.datetime]]:
    """Nodes (all, or those named) with their changed_at."""
    query = sa.select(compute_nodes).order_by(compute_nodes.c.id)
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


def aggregate_metadata(conn: sa.Connection) -> dict[int, tuple[dict[str, str], datetime.datetime | None]]:
    """{aggregate: (metadata, when it or its members were changed last)}"""
    rows = conn.execute(sa.select(aggregates.c.id, aggregates.c['metadata'], aggregates.c.updated_at))
    return {row[0]: (row[1] or {}, row[2]) for row in rows}


def aggregate_sizes(conn: sa.Connection) -> dict[int, int]:
    """How many hosts each aggregate has: a cheap sign that the members moved."""
    rows = conn.execute(sa.select(aggregate_hosts.c.aggregate_id, sa.func.count()).group_by(
        aggregate_hosts.c.aggregate_id))
    return {row[0]: row[1] for row in rows}


def aggregate_members(conn: sa.Connection) -> Iterable[tuple[int, str]]:
    rows = conn.execute(sa.select(aggregate_hosts.c.aggregate_id, aggregate_hosts.c.host))
    return [(row[0], row[1]) for row in rows]
