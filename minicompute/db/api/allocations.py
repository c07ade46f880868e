"""Claims: what each server holds of each node.

Usage is a sum over these rows, never a counter that can drift.  A claim is one transaction that locks, in
this order, the groups' rows (so that two schedulers cannot place two members against the policy) and the
nodes' rows (so that nobody can take the same room), and counts again under the locks.  A consumer is a key
of the table: a step that runs twice at once is refused there, begins again and finds what the first claimed.

Claims and releases cost few statements, and as many for hundreds of servers as for one: each statement is a
way to the database and back, and at small batches these are what a placement costs.
"""
from __future__ import annotations

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute.db import session
from minicompute.db.api import instance_groups as groups
from minicompute.db.models import allocations, compute_nodes, instance_actions, instances
from minicompute.db.models.base import Timestamp
from minicompute.objects import ActionState, VMState

_CLASSES = ('vcpus', 'memory_mb', 'disk_gb')
#: states in which a server keeps its host's disks and cores busy
_BUSY_TASKS = ('resize_prep', 'resize_migrating', 'resize_migrated', 'resize_finish', 'rebuilding',
               'rebuild_block_device_mapping', 'rebuild_spawning', 'image_snapshot', 'image_pending_upload',
               'image_uploading', 'image_backup', 'migrating', 'shelving', 'unshelving', 'spawning')


@dataclasses.dataclass(slots=True)
class Usage:
    """Sums over the claims on one node; memory in MiB, disk in GiB."""

    vcpus: int = 0
    memory_mb: int = 0
    disk_gb: int = 0
    consumers: int = 0


@dataclasses.dataclass(slots=True)
class Group:
    """What a claim must keep to. `policy` affinity or anti-affinity; the soft ones bind nobody here."""

    id: int
    policy: str
    max_per_host: int = 1


@dataclasses.dataclass(slots=True)
class Wanted:
    """Room for one consumer on one node. All with the same `together` are claimed, or none of them."""

    consumer_uuid: str
    instance_uuid: str
    node_id: int
    vcpus: int
    memory_mb: int
    disk_gb: int
    together: int = 0
    group: Group | None = None


@dataclasses.dataclass(slots=True)
class Outcome:
    """`held`: consumer -> node id, also of claims that were there before. `lost`: the `together` that got
    nothing -> why ('room', 'group' or 'gone'). `usage`: of every node that was locked, after the claims.
    `changed`: the nodes claimed on -> their changed_at before; it is `changed_at` now."""

    held: dict[str, int]
    lost: dict[int, str]
    usage: dict[int, Usage]
    changed: dict[int, datetime.datetime | None]
    changed_at: datetime.datetime


# -- claiming ------------------------------------------------------------------

def claim(conn: sa.Connection, wanted: Sequence[Wanted]) -> Outcome:
    """Take what fits, in the order of `wanted`; run it in `session.write`.

    Without groups: lock, count, insert, touch. With groups five more, for all of them together.
    """
    rules = {w.group.id: w.group for w in wanted if w.group is not None}
    if rules:
        groups.lock(conn, rules)
    nodes = _lock_nodes(conn, {w.node_id for w in wanted})
    usage, held = _count(conn, nodes, [w.consumer_uuid for w in wanted])
    # Taken under the locks: a stamp from before the wait for them would be where nobody looks any more.
    now = session.now(conn)
    members = groups.hosts(conn, rules) if rules else {}
    ledger = _Ledger(nodes, usage, members)
    lost, taken = {}, []
    for together, part in _by_together(wanted).items():
        part = [w for w in part if w.consumer_uuid not in held]
        why = ledger.take(part)
        if why is None:
            taken += part
            held.update((w.consumer_uuid, w.node_id) for w in part)
        else:
            lost[together] = why
    _insert(conn, taken, now)
    changed = {w.node_id: nodes[w.node_id].changed_at for w in taken}
    return Outcome(held, lost, usage, changed, now)


def _by_together(wanted: Sequence[Wanted]) -> dict[int, list[Wanted]]:
    parts: dict[int, list[Wanted]] = defaultdict(list)
    for want in wanted:
        parts[want.together].append(want)
    return parts


def _lock_nodes(conn: sa.Connection, node_ids: set[int]) -> dict[int, Any]:
    """Lock in the order of ids, so that two claims wait for each other but never in a ring."""
    return {row.id: row for row in conn.execute(_LOCK_NODES, {'nodes': sorted(node_ids)})} if node_ids else {}


def _count(conn: sa.Connection, nodes: Iterable[int],
           consumers: list[str]) -> tuple[dict[int, Usage], dict[str, int]]:
    """-> (sums of each node, consumer -> node that it holds already). Two questions, one statement."""
    usage, held = {node_id: Usage() for node_id in nodes}, {}
    for consumer, node_id, *sums in conn.execute(_COUNT, {'nodes': list(usage), 'consumers': consumers}):
        if consumer:
            held[consumer] = node_id
        else:
            usage[node_id] = Usage(*map(int, sums))
    return usage, held


_c, _n = allocations.c, compute_nodes.c
_NODES: sa.BindParameter[Any] = sa.bindparam('nodes', expanding=True)
_CONSUMERS: sa.BindParameter[Any] = sa.bindparam('consumers', expanding=True)
_LOCK_NODES = sa.select(
    _n.id, _n.host, _n.vcpus, _n.memory_mb, _n.local_gb, _n.reserved_vcpus, _n.reserved_memory_mb,
    _n.reserved_disk_gb, _n.cpu_allocation_ratio, _n.ram_allocation_ratio, _n.disk_allocation_ratio, _n.changed_at,
).where(_n.id.in_(_NODES)).order_by(_n.id).with_for_update()
_TOUCH = compute_nodes.update().where(_n.id.in_(_NODES)).values(
    changed_at=sa.bindparam('now', type_=Timestamp))
_RELEASE = allocations.delete().where(_c.consumer_uuid.in_(_CONSUMERS)).returning(
    _c.node_id)
_RELEASE_SERVERS = allocations.delete().where(
    _c.instance_uuid.in_(sa.bindparam('servers', expanding=True))).returning(_c.node_id)
_HELD = sa.select(_c.consumer_uuid, _c.node_id).where(_c.consumer_uuid.in_(_CONSUMERS)).order_by(
    _c.consumer_uuid, _c.node_id)
_ZERO = sa.literal_column('0', sa.Integer)
_COUNT = sa.union_all(
    sa.select(sa.literal_column("''", sa.String), _c.node_id, sa.func.sum(_c.vcpus), sa.func.sum(_c.memory_mb),
              sa.func.sum(_c.disk_gb), sa.func.count()).where(_c.node_id.in_(_NODES)).group_by(_c.node_id),
    sa.select(_c.consumer_uuid, _c.node_id, _ZERO, _ZERO, _ZERO, _ZERO).where(_c.consumer_uuid.in_(_CONSUMERS)))


def capacity(row: Any) -> tuple[int, int, int]:
    """(total - reserved) * ratio of VCPU, MEMORY_MB, DISK_GB of a row or a ComputeNode."""
    return (int((row.vcpus - row.reserved_vcpus) * row.cpu_allocation_ratio + 1e-9),
            int((row.memory_mb - row.reserved_memory_mb) * row.ram_allocation_ratio + 1e-9),
            int((row.local_gb - row.reserved_disk_gb) * row.disk_allocation_ratio + 1e-9))


class _Ledger:
    """The sums under the locks, as claim after claim is taken from them."""

    def __init__(self, nodes: dict[int, Any], usage: dict[int, Usage],
                 members: dict[int, list[tuple[str, str]]]) -> None:
        self._nodes, self._usage, self._members = nodes, usage, members
        self._room = {node_id: capacity(row) for node_id, row in nodes.items()}

    def take(self, part: list[Wanted]) -> str | None:
        """Take all of `part`, or nothing. -> None, or why not."""
        done: list[Wanted] = []
        for want in part:
            why = self._refusal(want)
            if why is not None:
                for undone in reversed(done):
                    self._add(undone, -1)
                return why
            self._add(want, 1)
            done.append(want)
        return None

    def _refusal(self, want: Wanted) -> str | None:
        node = self._nodes.get(want.node_id)
        if node is None:
            return 'gone'
        sizes, used = (node.vcpus, node.memory_mb, node.local_gb), self._usage[want.node_id]
        for name, size, room in zip(_CLASSES, sizes, self._room[want.node_id], strict=True):
            asked = getattr(want, name)
            if asked and (asked > size or getattr(used, name) + asked > room):
                return 'room'
        return None if self._policy_allows(want, node.host) else 'group'

    def _policy_allows(self, want: Wanted, host: str) -> bool:
        if want.group is None:
            return True
        others = [(at, who) for at, who in self._members[want.group.id] if who != want.instance_uuid]
        if want.group.policy == 'anti-affinity':
            return len({who for at, who in others if at == host}) < want.group.max_per_host
        return not others or any(at == host for at, _ in others)

    def _add(self, want: Wanted, sign: int) -> None:
        used = self._usage[want.node_id]
        for name in _CLASSES:
            setattr(used, name, getattr(used, name) + sign * getattr(want, name))
        used.consumers += sign
        if want.group is not None:
            entry = (self._nodes[want.node_id].host, want.instance_uuid)
            members = self._members[want.group.id]
            members.append(entry) if sign > 0 else members.remove(entry)


def _insert(conn: sa.Connection, taken: list[Wanted], now: datetime.datetime) -> None:
    if not taken:
        return
    try:
        conn.execute(allocations.insert(), [
            {'consumer_uuid': w.consumer_uuid, 'node_id': w.node_id, 'instance_uuid': w.instance_uuid,
             'vcpus': w.vcpus, 'memory_mb': w.memory_mb, 'disk_gb': w.disk_gb, 'created_at': now} for w in taken])
    except db_exc.DBDuplicateEntry as error:
        # The same step runs elsewhere and was first: from the start again, to find what it claimed.
        raise db_exc.RetryRequest(error) from error
    joining = {(w.group.id, w.instance_uuid) for w in taken if w.group is not None}
    if joining:
        groups.join(conn, joining)
    conn.execute(_TOUCH, {'nodes': sorted({w.node_id for w in taken}), 'now': now})


def release(conn: sa.Connection, consumer_uuids: Iterable[str]) -> set[int]:
    """Give back what the consumers hold; twice is once. -> the nodes that have more room now.

    Two statements, whatever the number: who has many to release in one transaction calls it once with all
    of them, so that the nodes are locked in one order.
    """
    consumers = sorted(set(consumer_uuids))
    if not consumers:
        return set()
    return _released(conn, _RELEASE, consumers=consumers)


def release_servers(conn: sa.Connection, instance_uuids: Iterable[str]) -> set[int]:
    """`release` all that is held for servers that go: what their migrations hold as well."""
    servers = sorted(set(instance_uuids))
    return _released(conn, _RELEASE_SERVERS, servers=servers) if servers else set()


def _released(conn: sa.Connection, statement: Any, **values: Any) -> set[int]:
    nodes = set(conn.execute(statement, values).scalars())
    if nodes:
        # Nobody waits for a row of a claim but who inserts the same, so these may go before the nodes.
        conn.execute(_TOUCH, {'nodes': sorted(nodes), 'now': session.now(conn)})
    return nodes


def touch(conn: sa.Connection, node_ids: Iterable[int]) -> None:
    """Tell the schedulers that what is claimed on these nodes has changed."""
    conn.execute(_TOUCH, {'nodes': sorted(set(node_ids)), 'now': session.now(conn)})


# -- reading -------------------------------------------------------------------

def usage_by_node(conn: sa.Connection, node_ids: Sequence[int] | None = None) -> dict[int, Usage]:
    """Sums of the nodes named (zeros where nothing is claimed), or of all that have claims."""
    c = allocations.c
    query = sa.select(c.node_id, sa.func.sum(c.vcpus), sa.func.sum(c.memory_mb), sa.func.sum(c.disk_gb),
                      sa.func.count()).group_by(c.node_id)
    found = {}
    if node_ids is not None:
        found = {node_id: Usage() for node_id in node_ids}
        if not found:
            return found
        query = query.where(c.node_id.in_(node_ids))
    for row in conn.execute(query):
        found[row[0]] = Usage(int(row[1]), int(row[2]), int(row[3]), row[4])
    return found


def nodes_of(conn: sa.Connection, consumer_uuids: Sequence[str]) -> dict[str, list[int]]:
    """consumer -> the ids of the nodes that it holds room on."""
    found = defaultdict(list)
    if not consumer_uuids:
        return {}
    for consumer, node_id in conn.execute(_HELD, {'consumers': list(consumer_uuids)}):
        found[consumer].append(node_id)
    return dict(found)


def for_instances(conn: sa.Connection, instance_uuids: Iterable[str]) -> dict[str, list[Any]]:
    """server -> its rows: consumer_uuid, node_id, host, node, vcpus, memory_mb, disk_gb. A server that
    moves has two, one of them held by its migration."""
    c, found = allocations.c, defaultdict(list)
    rows = conn.execute(sa.select(
        c.instance_uuid, c.consumer_uuid, c.node_id, compute_nodes.c.host,
        compute_nodes.c.hypervisor_hostname.label('node'), c.vcpus, c.memory_mb, c.disk_gb,
    ).join(compute_nodes, compute_nodes.c.id == c.node_id).where(
        c.instance_uuid.in_(list(instance_uuids))).order_by(c.instance_uuid, c.created_at))
    for row in rows:
        found[row.instance_uuid].append(row)
    return dict(found)


def for_instance(conn: sa.Connection, instance_uuid: str) -> list[Any]:
    return for_instances(conn, [instance_uuid]).get(instance_uuid, [])


def hosts_of(conn: sa.Connection, instance_uuids: Iterable[str]) -> dict[str, set[str]]:
    """server -> the hosts that it holds room on; of servers that hold any."""
    found: dict[str, set[str]] = {}
    for row in conn.execute(sa.select(allocations.c.instance_uuid, compute_nodes.c.host).join(
            compute_nodes, compute_nodes.c.id == allocations.c.node_id).where(
            allocations.c.instance_uuid.in_(list(instance_uuids)))):
        found.setdefault(row[0], set()).add(row[1])
    return found


def busy_by_node(conn: sa.Connection) -> dict[int, int]:
    """node id -> servers that are being built, moved or copied there. It starts from the actions under way,
    which are few whatever the number of servers."""
    server, action = instances.c, instance_actions.c
    rows = conn.execute(
        sa.select(allocations.c.node_id, sa.func.count(sa.distinct(server.uuid)))
        .select_from(instance_actions)
        .join(instances, server.uuid == action.instance_uuid)
        .join(allocations, allocations.c.instance_uuid == server.uuid)
        .where(action.state.in_((ActionState.RUNNING, ActionState.UNWINDING)),
               sa.or_(server.vm_state == VMState.BUILDING, server.task_state.in_(_BUSY_TASKS)))
        .group_by(allocations.c.node_id))
    return {row[0]: row[1] for row in rows}
