"""The journal: claims, leases, commits and the sweep. Only the conductor's engine runs actions;
the API begins them, in the transaction that changes the server.
"""
from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_utils import uuidutils

from minicompute import exception
from minicompute.db import bulk, watch
from minicompute.db.api import system_metadata
from minicompute.db.models import instance_actions as actions
from minicompute.db.models import instance_actions_events as events
from minicompute.db.models import instances
from minicompute.db.session import now as db_now
from minicompute.objects import Action, ActionState, TaskState

_FIELDS = tuple(Action.__dataclass_fields__)
#: key of `data` whose values are wiped when the action ends
SECRET = 'secret'
#: of its data: what another host needs to reach the volumes, with its passwords
ATTACHMENTS = 'attachments'
#: of its data: it was refused while it waited for its turn, and so has run nothing that could be undone
REFUSED = 'refused'
#: key of a server's `system_metadata`: a migration that was given up where it stood
UNENDED = 'unended_move'
#: and one whose guest may be at the other of its two hosts: it goes on when one of them answers (undecided.py)
UNDECIDED = 'undecided_move'
#: a caller that is about to run an action directly has so long before the sweep steps in
GRACE = datetime.timedelta(seconds=5)

# Statements of the main path are made once: to build one costs more than to run it.
_IDS: sa.BindParameter[Any] = sa.bindparam('ids', expanding=True)
_NEW, _NEW_EVENT = actions.insert(), events.insert()
_BY_ID = sa.select(actions).where(actions.c.id.in_(_IDS)).order_by(actions.c.id)
_GOING = actions.c.state.in_((ActionState.RUNNING, ActionState.UNWINDING))
_FREE = _BY_ID.where(_GOING, sa.or_(
    actions.c.owner.is_(None), actions.c.owner == sa.bindparam('owner'), actions.c.lease_until < sa.bindparam('now'))
).with_for_update()
_TAKE = actions.update().where(actions.c.id.in_(_IDS)).values(
    owner=sa.bindparam('new_owner'), lease_until=sa.bindparam('until'), generation=actions.c.generation + 1)
_LOCK = sa.select(actions.c.id, actions.c.generation, actions.c.owner, actions.c.state, actions.c.cancel).where(
    actions.c.id.in_(_IDS)).order_by(actions.c.id).with_for_update()
_ANY_BUSY = sa.select(actions.c.id).where(actions.c.busy.in_(sa.bindparam('uuids', expanding=True))).limit(1)
#: what a server does for which a delete that has waited is let go
_TASKS = {'delete': TaskState.DELETING, 'soft_delete': TaskState.SOFT_DELETING}
_WAITING = sa.select(actions.c.id, actions.c.instance_uuid, actions.c.flow).where(
    actions.c.after.in_(_IDS), actions.c.state == ActionState.QUEUED).order_by(actions.c.id)


def from_row(row: Any) -> Action:
    values = row._mapping
    made = Action(**{name: values[name] for name in _FIELDS})
    made.data = made.data or {}
    return made


def queued_key(uuid: str) -> str:
    """`busy` of the one delete that waits behind what runs."""
    return f'{uuid}/queued'


def begin(conn: sa.Connection, many: Sequence[Action]) -> list[int]:
    """Write the rows of accepted operations. -> their ids. Raises ActionInProgress when a server is busy."""
    if not many:
        return []
    try:
        ids = _insert(conn, _new_rows(conn, many))
    except db_exc.DBDuplicateEntry:
        # The caller's transaction is lost with this, as it should be.
        raise exception.ActionInProgress(method=many[0].action, instance_uuid=many[0].instance_uuid) from None
    for action in many:
        action.id = ids[action.busy]
        if watch.listener is not None:
            watch.note(conn, watch.Begun(action))
    return [ids[action.busy] for action in many]


def _insert(conn: sa.Connection, rows: Sequence[dict[str, Any]]) -> dict[str | None, int]:
    """-> {busy: id}. In one statement where the database tells the ids of many rows, as all but MySQL do."""
    if conn.dialect.insert_executemany_returning:
        return {row.busy: row.id for row in conn.execute(_NEW.returning(actions.c.id, actions.c.busy), rows)}
    ids: dict[str | None, int] = {}
    for row in rows:
        made: Any = conn.execute(_NEW, row).inserted_primary_key
        ids[row['busy']] = int(made[0])
    return ids


def begin_queued(conn: sa.Connection, action: Action) -> None:
    """As `begin`, but behind what runs on the server and what waits for that already. The next in the line goes when
    the one before has ended, whatever came of it. Raises ActionInProgress when what we looked at has just changed (look
    again), Conflict when it is stuck."""
    action.id, action.after, action.state, action.busy = None, None, ActionState.RUNNING, action.instance_uuid
    holder = running(conn, action.instance_uuid)
    if holder is not None:
        row = lock(conn, [holder.id or 0]).get(holder.id or 0)     # it cannot end before we stand behind it
        if row is None or row.state in ActionState.ENDED:
            raise exception.ActionInProgress(method=action.action, instance_uuid=action.instance_uuid)
        if row.state == ActionState.STUCK:
            raise exception.Conflict(f"Cannot '{action.action}' instance {action.instance_uuid}: its "
                                     f'{holder.action} is stuck and waits for the operator.')
        last = conn.execute(sa.select(sa.func.max(actions.c.id)).where(
            actions.c.instance_uuid == action.instance_uuid, actions.c.state == ActionState.QUEUED)).scalar()
        action.after, action.state = last or holder.id, ActionState.QUEUED
        action.busy = f'{action.instance_uuid}/{uuidutils.generate_uuid()}'
    begin(conn, [action])


def begin_behind(conn: sa.Connection, groups: Sequence[tuple[Action, Sequence[Action]]]) -> None:
    """The same for actions of new servers that wait for their leader: (leader, its followers), in one statement.
    Nobody needs their ids."""
    for leader, followers in groups:
        for action in followers:
            action.state, action.after = ActionState.QUEUED, leader.id
    rows = _new_rows(conn, [action for _, followers in groups for action in followers])
    if rows:
        conn.execute(_NEW, rows)


def _new_rows(conn: sa.Connection, many: Sequence[Action]) -> list[dict[str, Any]]:
    now = db_now(conn)
    rows = []
    for action in many:
        action.start_time = action.updated_at = now
        values = {name: getattr(action, name) for name in _FIELDS if name != 'id'}
        rows.append({**values, 'lease_until': now + GRACE})
    return rows


def running(conn: sa.Connection, uuid: str) -> Action | None:
    """What holds the server's lock, if anything."""
    row = conn.execute(sa.select(actions).where(actions.c.busy == uuid)).first()
    return from_row(row) if row else None


def record(conn: sa.Connection, action: Action, event: str) -> int:
    """Write down what the API itself has just done, all of it. It holds nothing, and nobody runs it. -> its id"""
    now = db_now(conn)
    action.state, action.busy, action.finish_time, action.step = ActionState.DONE, None, now, None
    action.start_time = action.updated_at = now
    values = {name: getattr(action, name) for name in _FIELDS if name != 'id'}
    made: Any = conn.execute(_NEW, values).inserted_primary_key
    action.id = int(made[0])
    add_events(conn, [{'action_id': action.id, 'event': event, 'start_time': now, 'finish_time': now,
                       'result': 'Success', 'traceback': None, 'host': None, 'details': None}])
    if watch.listener is not None:
        watch.note(conn, watch.Begun(action, recorded=True))
    return action.id


def waiting(conn: sa.Connection, uuid: str) -> list[Action]:
    """What waits behind the action that holds the server, in the order in which it will run. (The followers of a
    multi-create wait for another server's action, and hold their own.)"""
    query = sa.select(actions).where(actions.c.instance_uuid == uuid, actions.c.state == ActionState.QUEUED,
                                     actions.c.busy != uuid).order_by(actions.c.id)
    return [from_row(row) for row in conn.execute(query)]


def that_made(conn: sa.Connection, uuids: Collection[str]) -> dict[str, int]:
    """{server: the action that builds or built it}, of those that are there."""
    query = sa.select(actions.c.instance_uuid, actions.c.id).where(
        actions.c.instance_uuid.in_(list(uuids)), actions.c.flow == 'build')
    return {row.instance_uuid: row.id for row in conn.execute(query)}


def any_running(conn: sa.Connection, uuids: Collection[str]) -> bool:
    """Whether something holds one of these servers."""
    return conn.execute(_ANY_BUSY, {'uuids': list(uuids)}).first() is not None


def drop_secrets(data: dict[str, Any]) -> None:
    """What nobody needs any more once the action has ended."""
    for name in (SECRET, ATTACHMENTS):
        data.pop(name, None)


def put_aside(conn: sa.Connection, action_id: int, message: str) -> None:
    """End a stuck action where it is; its secrets go with it. A move that is given up may have left the server on two
    hosts: whoever deletes it asks both, and one whose guest may not be where the records say goes on by itself."""
    found = load(conn, [action_id])[0]
    attachments = found.data.get(ATTACHMENTS)
    drop_secrets(found.data)
    if move := found.data.get('migration'):
        left: dict[str, str | None] = {UNENDED: move}
        if found.data.get('undecided'):
            left[UNDECIDED] = move
            if attachments is not None:
                found.data[ATTACHMENTS] = attachments       # what goes on needs them
        elif system_metadata.of(conn, found.instance_uuid).get(UNDECIDED) == move:
            left[UNDECIDED] = None      # it went on already, and has found the guest
        system_metadata.merge(conn, found.instance_uuid, left)
    now = db_now(conn)
    conn.execute(actions.update().where(actions.c.id == action_id).values(
        state=ActionState.FAILED, data=found.data, message=message[:1000], busy=None, owner=None, finish_time=now,
        updated_at=now, generation=actions.c.generation + 1))


#: what does not wait for an operator to see to a stuck action, and why that is over
IMPATIENT = {'delete': 'The server was deleted.', 'soft_delete': 'The server was deleted.',
             'reset_state': 'The state of the server was reset.'}


def impatient(conn: sa.Connection, uuid: str) -> bool:
    """Whether something of that kind waits for what holds the server."""
    return any(one.flow in IMPATIENT for one in waiting(conn, uuid))


def give_way(conn: sa.Connection, stuck: Sequence[Action]) -> list[int]:
    """Actions that have just become stuck: those behind which a delete or a reset of the state waits already are put
    aside. The caller holds their rows by `lock`. -> ids to ring."""
    released: list[int] = []
    for action in stuck:
        why = next((IMPATIENT[one.flow] for one in waiting(conn, action.instance_uuid) if one.flow in IMPATIENT), None)
        if why is not None:
            put_aside(conn, action.id or 0, f'{action.message or ""} {why}'.strip())
            released += release_waiting(conn, [action])
    return released


def set_data(conn: sa.Connection, action: Action) -> None:
    """What became known after its row was written, in the same transaction."""
    conn.execute(actions.update().where(actions.c.id == action.id).values(data=action.data))


def cancel(conn: sa.Connection, *action_ids: int | None) -> None:
    conn.execute(actions.update().where(actions.c.id.in_(action_ids)).values(cancel=True))


def load(conn: sa.Connection, ids: Iterable[int]) -> list[Action]:
    return [from_row(row) for row in conn.execute(_BY_ID, {'ids': list(ids)})]


def claim(conn: sa.Connection, ids: Sequence[int], owner: str, lease: float,
          known: Mapping[str, Collection[str]]) -> list[Action]:
    """Take those of `ids` that nobody holds: one guarded UPDATE each, by the database's clock.

    A row is free when it has no owner or the owner's lease has run out (or it is mine already, from
    before a restart). What this version has no step for (`known`: flow -> steps) is left to others.
    -> the claimed actions, with the generation that this claim gave them.
    """
    now = db_now(conn)
    found = conn.execute(_FREE, {'ids': list(ids), 'owner': owner, 'now': now})
    taken = [action for action in map(from_row, found) if action.step in known.get(action.flow, ())]
    until = now + datetime.timedelta(seconds=lease)
    if taken:
        conn.execute(_TAKE, {'ids': [action.id for action in taken], 'new_owner': owner, 'until': until})
    for action in taken:
        action.owner, action.lease_until, action.generation = owner, until, action.generation + 1
    return taken


def waits_for(conn: sa.Connection, action_id: int, step: str) -> bool:
    """Whether the action is at this step (`Action.step_key`)."""
    return any(action.state in (ActionState.RUNNING, ActionState.UNWINDING) and action.step_key == step
               for action in load(conn, [action_id]))


def lock(conn: sa.Connection, ids: Iterable[int]) -> dict[int, Any]:
    """The guard of a commit: rows (id, generation, owner, state, cancel) held until the transaction ends."""
    return {row.id: row for row in conn.execute(_LOCK, {'ids': list(ids)})}


def save_many(conn: sa.Connection, many: Sequence[Action], now: datetime.datetime, lease: float) -> None:
    """Write what steps changed. The caller holds the rows by `lock`."""
    rows = {}
    for action in many:
        ended = action.state in ActionState.ENDED
        rows[action.id] = values = {
            'state': action.state, 'step': action.step, 'data': action.data, 'attempts': action.attempts,
            'message': action.message, 'updated_at': now, 'generation': action.generation, 'owner': action.owner,
            'lease_until': now + datetime.timedelta(seconds=lease)}
        if ended or action.state == ActionState.STUCK:
            values['owner'] = None
        if ended:
            values.update(busy=None, finish_time=now)
        action.updated_at = now
    bulk.update(conn, actions.c.id, rows)


#: what queues at a server and is nothing without its host
OF_DEVICES = ('attach_volume', 'detach_volume', 'swap_volume', 'attach_interface', 'detach_interface')


def queued_at_hosts(conn: sa.Connection, limit: int = 500) -> list[tuple[int, str]]:
    """(action, the host of its server) of what waits to attach or detach something there."""
    rows = conn.execute(sa.select(actions.c.id, instances.c.host).join(
        instances, instances.c.uuid == actions.c.instance_uuid).where(
        actions.c.state == ActionState.QUEUED, actions.c.flow.in_(OF_DEVICES), instances.c.deleted == 0,
        instances.c.host.is_not(None)).order_by(actions.c.id).limit(limit))
    return [(row.id, row.host) for row in rows]


def refuse_queued(conn: sa.Connection, ids: Collection[int], error: Mapping[str, Any]) -> list[int]:
    """End what waits in a line, as failed, without waiting for its turn: it has done nothing yet, so that its flow
    unwinds beside what holds the server. Who stood behind it stands behind the one before it. -> ids to ring"""
    uuids = {one.instance_uuid for one in load(conn, ids)}
    holders = {row.busy: row.id for row in conn.execute(
        sa.select(actions.c.id, actions.c.busy).where(actions.c.busy.in_(uuids)))}
    # Nobody puts himself behind these meanwhile, nor do they let anything go.
    held = {row.id for row in lock(conn, holders.values()).values() if row.state not in ActionState.ENDED}
    # What held the others has just ended: the next look finds what waits still. The first in a line comes first.
    refused = {one.id or 0: one for one in load(conn, ids)
               if one.state == ActionState.QUEUED and holders.get(one.instance_uuid) in held}
    before: dict[int | None, int | None] = {}
    for one in refused.values():
        before[one.id] = before.get(one.after, one.after)
    behind = conn.execute(sa.select(actions.c.id, actions.c.after).where(
        actions.c.after.in_(list(refused)), actions.c.state == ActionState.QUEUED)).all()
    bulk.update(conn, actions.c.id, {row.id: {'after': before[row.after]} for row in behind if row.id not in refused})
    bulk.update(conn, actions.c.id, {one.id: {
        'state': ActionState.UNWINDING, 'after': None, 'lease_until': None,
        'data': {**one.data, 'error': dict(error), REFUSED: True}} for one in refused.values()})
    return list(refused)


def release_waiting(conn: sa.Connection, ended: Sequence[Action]) -> list[int]:
    """Let go what waited for actions that have ended: of each server one. -> ids to ring."""
    rows = conn.execute(_WAITING, {'ids': [a.id for a in ended]}).all()
    return _let_go(conn, rows) if rows else []


def _let_go(conn: sa.Connection, rows: Sequence[Any]) -> list[int]:
    """A delete goes before all else, and ends the others; these now wait for the one that goes. What it waited for may
    have left the server without a task: it is deleted all the same, and nothing else begins with it."""
    first: dict[str, Any] = {}
    for row in sorted(rows, key=lambda row: (row.flow != 'delete', row.id)):
        first.setdefault(row.instance_uuid, row)
    others = [row for row in rows if first[row.instance_uuid] is not row]
    bulk.update(conn, actions.c.id, {row.id: {
        'state': ActionState.RUNNING, 'busy': row.instance_uuid, 'lease_until': None} for row in first.values()})
    for flow, task_state in _TASKS.items():
        goes = [uuid for uuid, row in first.items() if row.flow == flow]
        if goes:
            conn.execute(instances.update().where(
                instances.c.uuid.in_(goes), instances.c.deleted == 0).values(task_state=task_state))
    for row in others:
        winner = first[row.instance_uuid]
        more: dict[str, Any] = {'cancel': True} if winner.flow == 'delete' else {}
        conn.execute(actions.update().where(actions.c.id == row.id).values(after=winner.id, **more))
    return [row.id for row in first.values()]


def add_events(conn: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Step log: dicts of action_id, event, start_time, finish_time, result, traceback, host, details."""
    if rows:
        conn.execute(_NEW_EVENT, list(rows))


def renew(conn: sa.Connection, owner: str, lease: float) -> None:
    """One UPDATE renews all leases of a conductor."""
    until = db_now(conn) + datetime.timedelta(seconds=lease)
    conn.execute(actions.update().where(actions.c.owner == owner, actions.c.state.in_(
        (ActionState.RUNNING, ActionState.UNWINDING))).values(lease_until=until))


def cancelled(conn: sa.Connection, ids: Iterable[int]) -> list[int]:
    """Those of `ids` that somebody wants to end."""
    query = sa.select(actions.c.id).where(actions.c.id.in_(list(ids)), actions.c.cancel.is_(True))
    return [row.id for row in conn.execute(query)]


def unclaimed(conn: sa.Connection, owner: str, known: Mapping[str, Collection[str]],
              limit: int = 10000) -> list[int]:
    """What the sweep looks at: live actions that nobody works on, and those of this owner."""
    now = db_now(conn)
    query = sa.select(actions.c.id, actions.c.flow, actions.c.step).where(
        actions.c.state.in_((ActionState.RUNNING, ActionState.UNWINDING)), actions.c.flow.in_(list(known)),
        sa.or_(actions.c.lease_until.is_(None), actions.c.lease_until < now, actions.c.owner == owner))
    found = conn.execute(query.order_by(actions.c.id).limit(limit))
    return [row.id for row in found if row.step in known[row.flow]]


def release_orphans(conn: sa.Connection, limit: int = 100) -> list[int]:
    """Queued actions whose forerunner has ended without letting them go (it died between two versions)."""
    first, other = actions.alias(), actions.alias()
    taken = sa.select(other.c.id).where(other.c.busy == actions.c.instance_uuid, other.c.id != actions.c.id)
    query = sa.select(actions.c.id).join(first, first.c.id == actions.c.after).where(
        actions.c.state == ActionState.QUEUED, first.c.state.in_(ActionState.ENDED), ~taken.exists()).order_by(
        actions.c.id).limit(limit)
    ids = list(conn.scalars(query))
    if not ids:
        return []
    # Another conductor's sweep, or the end of what they wait for, may have let them go since we looked.
    rows = conn.execute(sa.select(actions.c.id, actions.c.instance_uuid, actions.c.flow).where(
        actions.c.id.in_(ids), actions.c.state == ActionState.QUEUED).order_by(actions.c.id).with_for_update()).all()
    return _let_go(conn, rows)
