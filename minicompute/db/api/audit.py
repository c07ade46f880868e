"""The records compared with themselves: what is held for nobody, what is missing, what waits for something that ended.

Each check finds in one statement or two, whatever the number of servers, but for the sizes of claims, which are
walked through a part at a time.  What an action is under way for is left alone: it may be in the middle of changing
it.  What is younger than `AGE` may belong to a transaction that we do not see yet.
"""
from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute.db import session
from minicompute.db.api import allocations as claims
from minicompute.db.api import block_devices as devices
from minicompute.db.api import instances as servers
from minicompute.db.api import networks, undecided
from minicompute.db.models import (
    allocations,
    block_device_mappings,
    compute_nodes,
    instance_actions,
    instances,
    migrations,
    ports,
)
from minicompute.objects import ActionState, Flavor, MigrationStatus, VMState, from_primitive

AGE = datetime.timedelta(seconds=30)
#: servers whose claim is measured in one round, and rows that one check finds at most
PART, MOST = 10000, 500


@dataclasses.dataclass(slots=True)
class Finding:
    """`subject` is whom it concerns (a server, mostly), `key` what the mending needs. What is not `safe` to mend is
    only told. `seen` is when the server's row was last written, as it was found."""

    kind: str
    subject: str
    reason: str
    key: Any = None
    safe: bool = True
    seen: datetime.datetime | None = None


@dataclasses.dataclass(slots=True, frozen=True)
class Check:
    """`mend(conn, findings)` runs in the transaction that found them, and says which it mended (None: all): what began
    in between knows better."""

    kind: str
    find: Callable[[sa.Connection], list[Finding]]
    mend: Callable[[sa.Connection, Sequence[Finding]], Sequence[Finding] | None] | None = None


def old(conn: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """So that it belongs to no transaction that we do not see yet."""
    return sa.or_(column.is_(None), column < session.now(conn) - AGE)


def idle(uuid: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Nothing is under way for this server, nor waits for an operator."""
    busy = sa.select(instance_actions.c.id).where(
        instance_actions.c.instance_uuid == uuid,
        instance_actions.c.state.in_((*ActionState.LIVE, ActionState.STUCK)))
    return ~busy.exists()


def _unchanged(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    """Those whose server is still as it was found, with nothing under way. Their rows are held from here on: what
    begins with them waits for the mending."""
    uuids = sorted({finding.subject for finding in found})
    now = {row.uuid: row.updated_at for row in conn.execute(sa.select(instances.c.uuid, instances.c.updated_at).where(
        instances.c.uuid.in_(uuids), live()).order_by(instances.c.id).with_for_update())}
    busy = _busy(conn, found)
    return [finding for finding in found if finding.subject not in busy
            and finding.subject in now and now[finding.subject] == finding.seen]


def live() -> sa.ColumnElement[bool]:
    return instances.c.deleted == 0


def _of_gone(table: sa.Table) -> sa.Select[Any]:
    """Rows of `table` whose server is not there."""
    return sa.select(table).outerjoin(
        instances, sa.and_(instances.c.uuid == table.c.instance_uuid, live())).where(
        table.c.instance_uuid.is_not(None), instances.c.id.is_(None), idle(table.c.instance_uuid)).limit(MOST)


# -- claims --------------------------------------------------------------------

def claims_of_gone(conn: sa.Connection) -> list[Finding]:
    return [Finding('claim of no server', row.instance_uuid, f'room on node {row.node_id} is held for a server that '
                    'is not there', row.consumer_uuid)
            for row in conn.execute(_of_gone(allocations).where(old(conn, allocations.c.created_at)))]


def claims_without_place(conn: sa.Connection) -> list[Finding]:
    """A scheduler that answered late claimed for a server that no longer wants a host."""
    query = sa.select(allocations, instances.c.updated_at.label('seen')).join(instances, sa.and_(
        instances.c.uuid == allocations.c.instance_uuid, live())).where(
        allocations.c.consumer_uuid == allocations.c.instance_uuid, instances.c.host.is_(None),
        old(conn, allocations.c.created_at), idle(allocations.c.instance_uuid)).limit(MOST)
    return [Finding('claim without a place', row.instance_uuid, f'the server is on no host, but holds room on node '
                    f'{row.node_id}', row.consumer_uuid, seen=row.seen) for row in conn.execute(query)]


def claims_of_ended_moves(conn: sa.Connection) -> list[Finding]:
    """What a migration holds of the host where its server is not, and may not go back to."""
    query = sa.select(allocations, migrations.c.status).outerjoin(
        migrations, migrations.c.uuid == allocations.c.consumer_uuid).where(
        allocations.c.consumer_uuid != allocations.c.instance_uuid,
        sa.or_(migrations.c.id.is_(None), migrations.c.status.not_in(MigrationStatus.LIVE)),
        old(conn, allocations.c.created_at), idle(allocations.c.instance_uuid)).limit(MOST)
    return [Finding('claim of an ended move', row.instance_uuid, f'migration {row.consumer_uuid} is '
                    f'{row.status or "not there"}, but holds room on node {row.node_id}', row.consumer_uuid)
            for row in conn.execute(query)]


def release(conn: sa.Connection, found: Sequence[Finding]) -> None:
    claims.release(conn, [finding.key for finding in found])


def release_ended(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    """Of moves that have ended still, with nothing under way for their servers."""
    live = set(conn.scalars(sa.select(migrations.c.uuid).where(
        migrations.c.uuid.in_([finding.key for finding in found]),
        migrations.c.status.in_(MigrationStatus.LIVE)).with_for_update()))
    busy = _busy(conn, found)
    mended = [finding for finding in found if finding.key not in live and finding.subject not in busy]
    release(conn, mended)
    return mended


def _busy(conn: sa.Connection, found: Sequence[Finding]) -> set[str]:
    """Servers that something has begun with since they were found."""
    return set(conn.scalars(sa.select(instance_actions.c.instance_uuid).where(
        instance_actions.c.instance_uuid.in_(sorted({finding.subject for finding in found})),
        instance_actions.c.state.in_((*ActionState.LIVE, ActionState.STUCK)))))


def release_unplaced(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    mended = _unchanged(conn, found)
    release(conn, mended)
    return mended


#: Most servers have one of a few flavors: each is decoded once. What a user hints may look like the word that the
#: scheduler has for a root disk on a volume, so that the documents that have it are decoded, and no others.
_FLAVOR, _SPEC = (sa.type_coerce(column, sa.Text) for column in (instances.c.flavor, instances.c.request_spec))
_SERVER = (instances.c.uuid, instances.c.host, instances.c.node, _FLAVOR.label('flavor'), instances.c.updated_at,
           sa.case((_SPEC.like('%"is_volume_backed":true%'), _SPEC)).label('spec'))


def servers_without_claim(conn: sa.Connection) -> list[Finding]:
    mine = sa.select(allocations.c.consumer_uuid).where(allocations.c.consumer_uuid == instances.c.uuid)
    query = sa.select(*_SERVER, compute_nodes.c.id.label('node_id')).outerjoin(compute_nodes, sa.and_(
        compute_nodes.c.host == instances.c.host, compute_nodes.c.hypervisor_hostname == instances.c.node)).where(
        live(), instances.c.host.is_not(None), old(conn, instances.c.updated_at), ~mine.exists(),
        idle(instances.c.uuid)).limit(MOST)
    return [Finding('server without a claim', row.uuid, f'it is on {row.host}, but holds no room there'
                    + ('' if row.node_id else ', and the records do not know that host'), row, bool(row.node_id),
                    row.updated_at)
            for row in conn.execute(query)]


def claim_for(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    """What is there is there, whether or not the host has room for it."""
    held = _unchanged(conn, found)
    there = set(conn.scalars(sa.select(allocations.c.consumer_uuid).where(
        allocations.c.consumer_uuid.in_([f.subject for f in held]))))
    mended, now = [f for f in held if f.subject not in there], session.now(conn)
    rows = [{'consumer_uuid': f.subject, 'instance_uuid': f.subject, 'node_id': f.key.node_id, 'created_at': now,
             **_size(f.key)} for f in mended]
    if rows:
        conn.execute(allocations.insert(), rows)
        claims.touch(conn, {row['node_id'] for row in rows})
    return mended


class Sizes:
    """Claims that are not as large as their servers, or on another node: some servers a round, all in turn."""

    def __init__(self) -> None:
        self._after = 0

    def find(self, conn: sa.Connection) -> list[Finding]:
        own, node = allocations.alias('own'), compute_nodes.alias('node')
        query = sa.select(
            instances.c.id, *_SERVER, own.c.vcpus, own.c.memory_mb, own.c.disk_gb, own.c.node_id.label('held_on'),
            node.c.id.label('node_id')).join(own, own.c.consumer_uuid == instances.c.uuid).join(
            node, sa.and_(node.c.host == instances.c.host, node.c.hypervisor_hostname == instances.c.node)).where(
            live(), instances.c.host.is_not(None), instances.c.id > self._after, idle(instances.c.uuid),
            old(conn, own.c.created_at)).order_by(instances.c.id).limit(PART)
        rows = conn.execute(query).all()
        self._after = rows[-1].id if len(rows) == PART else 0
        return [finding for row in rows if (finding := _measure(row)) is not None]


def _measure(row: Any) -> Finding | None:
    wanted = _size(row)
    held = {name: getattr(row, name) for name in wanted}
    if row.held_on != row.node_id:
        return Finding('claim on another host', row.uuid, f'it is on {row.host}, but holds room on node '
                       f'{row.held_on}', row, seen=row.updated_at)
    if held != wanted:
        return Finding('claim of a wrong size', row.uuid, f'it holds {held}, but needs {wanted}', row,
                       seen=row.updated_at)
    return None


def _size(row: Any) -> dict[str, int]:
    """What the scheduler claims for such a server."""
    return dict(_claimed(row.flavor, bool(row.spec and orjson.loads(row.spec).get('is_volume_backed'))))


@functools.lru_cache(1000)
def _claimed(said: str, volume_backed: bool) -> dict[str, int]:
    flavor: Flavor = from_primitive(orjson.loads(said))
    root = 0 if volume_backed else flavor.root_gb
    size = {'vcpus': flavor.vcpus, 'memory_mb': flavor.memory_mb,
            'disk_gb': root + flavor.ephemeral_gb + -(-flavor.swap // 1024)}
    for name, known in (('vcpus', 'VCPU'), ('memory_mb', 'MEMORY_MB'), ('disk_gb', 'DISK_GB')):
        value = str((flavor.extra_specs or {}).get(f'resources:{known}', ''))
        if value.isdecimal():
            size[name] = int(value)
    return size


def resize(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    mended = _unchanged(conn, found)
    for finding in mended:
        conn.execute(allocations.update().where(allocations.c.consumer_uuid == finding.subject).values(
            node_id=finding.key.node_id, **_size(finding.key)))
    claims.touch(conn, {node for f in mended for node in (f.key.node_id, f.key.held_on)})
    return mended


# -- what goes with a server ---------------------------------------------------

def ports_of_gone(conn: sa.Connection) -> list[Finding]:
    return [Finding('port of no server', row.instance_uuid, f'address {row.address} is taken for a server that is not '
                    'there', row.instance_uuid)
            for row in conn.execute(_of_gone(ports).where(old(conn, ports.c.created_at)))]


def release_ports(conn: sa.Connection, found: Sequence[Finding]) -> None:
    networks.release_ports(conn, sorted({finding.key for finding in found}))


def devices_of_gone(conn: sa.Connection) -> list[Finding]:
    """Also volumes that are attached to nobody: a volume is free when no device refers to it."""
    rows = conn.execute(_of_gone(block_device_mappings).where(old(conn, block_device_mappings.c.created_at)))
    return [Finding('volume of no server' if row.volume_id else 'disk of no server', row.instance_uuid,
                    f'volume {row.volume_id} is attached to a server that is not there' if row.volume_id else
                    'a disk is recorded for a server that is not there', row.id) for row in rows]


def forget_devices(conn: sa.Connection, found: Sequence[Finding]) -> None:
    conn.execute(block_device_mappings.delete().where(
        block_device_mappings.c.id.in_([finding.key for finding in found])))


def attachments_of_nothing(conn: sa.Connection) -> list[Finding]:
    said = sa.type_coerce(block_device_mappings.c.connection_info, sa.Text)
    going = (devices.ATTACHING, devices.DETACHING, devices.SWAPPING)
    rows = conn.execute(sa.select(block_device_mappings, instances.c.updated_at.label('seen')).join(instances, sa.and_(
        instances.c.uuid == block_device_mappings.c.instance_uuid, live())).where(
        block_device_mappings.c.volume_id.is_not(None),
        sa.or_(*(said.like(f'%"state":"{state}"%') for state in going)),
        old(conn, block_device_mappings.c.created_at), idle(block_device_mappings.c.instance_uuid)).limit(MOST))
    return [Finding('attachment without an action', row.instance_uuid, f'volume {row.volume_id} is '
                    f'{row.connection_info["state"]}, but nothing is under way', servers.bdm_from_row(row),
                    seen=row.seen) for row in rows]


def attach_for_good(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    """Whether the guest has it is not known here: so nobody else may, until its owner detaches it."""
    mended = _unchanged(conn, found)
    for finding in mended:
        devices.set_state(conn, finding.key, devices.ATTACHED)
    return mended


# -- the journal ---------------------------------------------------------------

def locks_of_ended(conn: sa.Connection) -> list[Finding]:
    rows = conn.execute(sa.select(instance_actions).where(
        instance_actions.c.busy.is_not(None), instance_actions.c.state.in_(ActionState.ENDED),
        old(conn, instance_actions.c.updated_at)).limit(MOST))
    return [Finding('lock of an ended action', row.instance_uuid, f'action {row.id} ({row.action}) is {row.state}, but '
                    'holds the server', row.id) for row in rows]


def unlock(conn: sa.Connection, found: Sequence[Finding]) -> None:
    conn.execute(instance_actions.update().where(
        instance_actions.c.id.in_([finding.key for finding in found]),
        instance_actions.c.state.in_(ActionState.ENDED)).values(busy=None))


def waits_for_nothing(conn: sa.Connection) -> list[Finding]:
    """Queued actions whose forerunner has ended, or is not there, and that nothing else holds up."""
    first, other = instance_actions.alias('first'), instance_actions.alias('other')
    taken = sa.select(other.c.id).where(
        other.c.busy == instance_actions.c.instance_uuid, other.c.id != instance_actions.c.id)
    rows = conn.execute(sa.select(instance_actions).outerjoin(first, first.c.id == instance_actions.c.after).where(
        instance_actions.c.state == ActionState.QUEUED,
        sa.or_(first.c.id.is_(None), first.c.state.in_(ActionState.ENDED)), ~taken.exists(),
        old(conn, instance_actions.c.updated_at)).order_by(instance_actions.c.id).limit(MOST)).all()
    nearest = {row.instance_uuid: row for row in reversed(rows)}    # one a server: it then holds up the others
    return [Finding('queued behind nothing', row.instance_uuid, f'action {row.id} ({row.action}) waits for action '
                    f'{row.after}, which has ended', row) for row in nearest.values()]


def let_go(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    mended = []
    for finding in found:
        # Something may have begun with the server since, or let the action go, or put it behind another.
        try:
            with conn.begin_nested():
                going = conn.execute(instance_actions.update().where(
                    instance_actions.c.id == finding.key.id, instance_actions.c.state == ActionState.QUEUED,
                    instance_actions.c.after == finding.key.after).values(
                    state=ActionState.RUNNING, busy=finding.subject, lease_until=None)).rowcount
        except db_exc.DBDuplicateEntry:
            continue
        if going:
            mended.append(finding)
    return mended


def tasks_without_action(conn: sa.Connection) -> list[Finding]:
    """A server says that something is being done to it, and nothing is."""
    rows = conn.execute(sa.select(
        instances.c.uuid, instances.c.vm_state, instances.c.task_state, instances.c.updated_at).where(
        live(), sa.or_(instances.c.task_state.is_not(None), instances.c.vm_state == VMState.BUILDING),
        old(conn, instances.c.updated_at), idle(instances.c.uuid)).limit(MOST))
    return [Finding('task without an action', row.uuid, f'it is {row.vm_state} with task {row.task_state}, but nothing '
                    'is under way', row, seen=row.updated_at) for row in rows]


def end_tasks(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    """It is at rest; one that was never finished, or half gone, is in ERROR, where its owner may delete it."""
    mended = _unchanged(conn, found)
    for finding in mended:
        changes: dict[str, Any] = {'task_state': None}
        if finding.key.vm_state == VMState.BUILDING or finding.key.task_state == 'deleting':
            changes.update(vm_state=VMState.ERROR, fault=servers.fault({
                'code': 500, 'message': f'What was under way ({finding.key.task_state}) was lost.'}))
        servers.update(conn, finding.subject, changes)
    return mended


def moves_without_action(conn: sa.Connection) -> list[Finding]:
    """Migrations that say they are under way; those that wait for their owner's word (`finished`) do wait."""
    going = [status for status in MigrationStatus.LIVE if status != MigrationStatus.FINISHED]
    # A flow that ends says so in the migration: here somebody gave it up where it stood, perhaps with its guest at the
    # destination. Who mends that must look where the guest is.
    given_up = sa.exists().where(
        instance_actions.c.instance_uuid == migrations.c.instance_uuid, instances.c.id.is_not(None),
        instance_actions.c.state == ActionState.FAILED, instance_actions.c.start_time >= migrations.c.created_at)
    rows = conn.execute(sa.select(migrations.c.uuid, migrations.c.instance_uuid, migrations.c.status,
                                  migrations.c.updated_at, sa.case((given_up, 1), else_=0).label('given_up')).outerjoin(
        instances, sa.and_(instances.c.uuid == migrations.c.instance_uuid, live())).where(
        sa.or_(migrations.c.status.in_(going),
               sa.and_(migrations.c.status == MigrationStatus.FINISHED, instances.c.id.is_(None))),
        old(conn, migrations.c.updated_at), idle(migrations.c.instance_uuid),
        ~undecided.is_noted()).limit(MOST))     # those go on when one of their hosts is back
    return [Finding('move without an action', row.instance_uuid, f'migration {row.uuid} is {row.status}, but nothing '
                    'is under way' + (': its action was given up; see on which host the guest is'
                                      if row.given_up else ''), row, safe=not row.given_up) for row in rows]


def end_moves(conn: sa.Connection, found: Sequence[Finding]) -> list[Finding]:
    """Those that are still as they were found."""
    now, mended = session.now(conn), []
    for finding in found:
        ended = conn.execute(migrations.update().where(
            migrations.c.uuid == finding.key.uuid, migrations.c.status == finding.key.status,
            migrations.c.updated_at == finding.key.updated_at, idle(migrations.c.instance_uuid)).values(
            status=MigrationStatus.ERROR, updated_at=now)).rowcount
        if ended:
            mended.append(finding)
    return mended


def checks() -> list[Check]:
    """In the order in which one mends what the next would find. For one auditor: it remembers how far it is."""
    return [
        Check('lock of an ended action', locks_of_ended, unlock),
        Check('queued behind nothing', waits_for_nothing, let_go),
        Check('task without an action', tasks_without_action, end_tasks),
        Check('move without an action', moves_without_action, end_moves),
        Check('claim of an ended move', claims_of_ended_moves, release_ended),
        Check('claim of no server', claims_of_gone, release),
        Check('claim without a place', claims_without_place, release_unplaced),
        Check('server without a claim', servers_without_claim, claim_for),
        Check('claim of a wrong size', Sizes().find, resize),
        Check('port of no server', ports_of_gone, release_ports),
        Check('disk of no server', devices_of_gone, forget_devices),
        Check('attachment without an action', attachments_of_nothing, attach_for_good),
    ]


# -- hosts ---------------------------------------------------------------------

@dataclasses.dataclass(slots=True)
class Compared:
    """What lies on hosts and is not theirs. `strangers`: {host: {uuid: where that server lives, None: nowhere, as it
    was deleted or has no host}}; `unknown`: {host: uuids} of servers that the records never had."""

    strangers: dict[str, dict[str, str | None]]
    unknown: dict[str, list[str]]


def compare(conn: sa.Connection, present: dict[str, Sequence[str]]) -> Compared:
    """`present`: {host: uuids of what lies there}. What moves there or away is nobody's concern here."""
    asked = sorted({uuid for uuids in present.values() for uuid in uuids})
    homes: dict[str, str | None] = {}
    busy: set[str] = set()
    for start in range(0, len(asked), MOST):
        part = asked[start:start + MOST]
        # First who is under way, then who lives where: a move that ends in between is known by its new place.
        busy.update(conn.scalars(sa.select(instance_actions.c.instance_uuid).where(
            instance_actions.c.instance_uuid.in_(part),
            instance_actions.c.state.in_((*ActionState.LIVE, ActionState.STUCK)))))
        busy.update(conn.scalars(sa.select(migrations.c.instance_uuid).where(
            migrations.c.instance_uuid.in_(part), migrations.c.status.in_(MigrationStatus.LIVE))))
        rows = conn.execute(sa.select(instances.c.uuid, sa.case((live(), instances.c.host)).label('host')).where(
            instances.c.uuid.in_(part)).order_by(live()))      # a living one has the last word
        homes.update((row.uuid, row.host) for row in rows)
    found = Compared({}, {})
    for host, uuids in present.items():
        if those := {uuid: homes[uuid] for uuid in uuids
                     if uuid not in busy and uuid in homes and homes[uuid] != host}:
            found.strangers[host] = those
        if new := [uuid for uuid in uuids if uuid not in busy and uuid not in homes]:
            found.unknown[host] = new
    return found


def unrecorded(found: Compared) -> list[Finding]:
    """The records may be older than these servers (a restored backup), or another cloud's: nothing of them is touched,
    as only who runs the cloud can know."""
    return [Finding('server without a record', uuid, f'{host} has a domain or disks of it, but the records never knew '
                    'it: they may be older than it is. It is left as it is; bring back the records, or remove it there '
                    'by hand', host, safe=False) for host, uuids in sorted(found.unknown.items()) for uuid in uuids]


def unknown(conn: sa.Connection, uuids: Sequence[str]) -> list[str]:
    """-> those of `uuids` that are no servers and never were. Records of deleted servers are kept."""
    known: set[str] = set()
    for start in range(0, len(uuids), MOST):
        known.update(conn.scalars(sa.select(instances.c.uuid).where(instances.c.uuid.in_(uuids[start:start + MOST]))))
    return [uuid for uuid in uuids if uuid not in known]


def deleted(conn: sa.Connection, uuids: Sequence[str]) -> list[str]:
    """-> those of `uuids` that were servers once and are none now, and that nothing is under way for."""
    there = instances.alias('there')
    alive = sa.select(there.c.id).where(there.c.uuid == instances.c.uuid, there.c.deleted == 0)
    found: list[str] = []
    for start in range(0, len(uuids), MOST):
        found += conn.scalars(sa.select(instances.c.uuid).where(
            instances.c.uuid.in_(uuids[start:start + MOST]), ~alive.exists(), idle(instances.c.uuid)).distinct())
    return found
