"""A delete always wins: at once when nothing holds the server, else behind what does, which it cancels.

With [DEFAULT] reclaim_instance_interval a delete may be taken back for so long: the server is `soft-delete`, its guest
off. Then what runs is not cancelled, as a half-done server would not be worth restoring: the delete waits for its end.
"""
from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from minicompute import exception, quota, rpc, servicegroup
from minicompute.compute.api import begin, resize, ring
from minicompute.compute.api.locks import check_lock
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.db.group_commit import GroupCommit
from minicompute.objects import Action, ActionState, Instance, TaskState, VMState

FLOW, SOFT = 'delete', 'soft_delete'
DELETES = (FLOW, SOFT)
#: a server that others begin something with so often between two statements is none
LOOKS = 5
_DELETING = {'task_state': TaskState.DELETING, 'progress': 0}

_Asked = tuple[Instance, Action]
#: (what holds the server, whether its host is down or a conductor must see to it)
_Found = tuple[Action | None, bool]


class _OneByOne(Exception):
    """These deletes are not alike."""


class _OnlyForGood(Exception):
    """There is nothing that could be restored, or nobody who could switch it off."""


def delete(context: RequestContext, instance: Instance) -> None:
    """For good, or with [DEFAULT] reclaim_instance_interval so that it may be restored. Legal in every state; a second
    one changes nothing. Raises InstanceIsLocked, InstanceNotFound."""
    check_lock(context, instance)
    if CONF.reclaim_instance_interval > 0 and instance.launched_at is not None and instance.host:
        try:
            return _soft_delete(context, instance)
        except _OnlyForGood:
            pass
    return force(context, instance)


def force(context: RequestContext, instance: Instance) -> None:
    """`delete` for good, whatever the configuration."""
    check_lock(context, instance)
    action = ring.new_action(context, instance, FLOW, FLOW, 'destroy')
    for _ in range(LOOKS):
        try:
            holder, down = _put(context, instance, action)
            break
        except exception.ActionInProgress:
            if action.busy != instance.uuid:
                return      # a delete waits behind the holder already
            # Else something began between our look and our insert: it is cancelled like any other.
    else:
        raise exception.ActionInProgress(method=FLOW, instance_uuid=instance.uuid)
    if action.id is None:
        return
    if holder is not None:
        rpc.outbox.put(rpc.CONDUCTOR, 'cancel', holder.id, server=holder.owner)
    elif instance.host and not down:
        ring.compute(action, instance, 'destroy')
    else:
        rpc.outbox.put(rpc.CONDUCTOR, 'ring', action.id)


def _put(context: RequestContext, instance: Instance, action: Action) -> _Found:
    """One with an Idempotency-Key has a transaction of its own, which knows of the key."""
    if context.ticket is None:
        return _commits.put(None, (instance, action))
    return session.write(_write, instance, action)


def _commit(asked: Sequence[_Asked]) -> list[_Found | Exception]:
    """Deletes of one moment, in one transaction when nothing else holds their servers."""
    if len(asked) > 1:
        try:
            return list(session.write(_write_free, asked))
        except _OneByOne:
            pass
    return [_commit_one(*one) for one in asked]


def _commit_one(instance: Instance, action: Action) -> _Found | Exception:
    try:
        return session.write(_write, instance, action)
    except Exception as error:
        return error


_commits: GroupCommit[_Asked, _Found] = GroupCommit(_commit)


def _write_free(conn: sa.Connection, asked: Sequence[_Asked]) -> list[_Found]:
    """Raises _OneByOne when a server of them is held, gone, or asked for twice."""
    servers = {instance.uuid: instance for instance, _ in asked}
    if len(servers) < len(asked) or actions.any_running(conn, servers):
        raise _OneByOne
    changes = {uuid: dict(_DELETING) for uuid in servers}
    if instances.update_many(conn, changes) < len(servers):
        raise _OneByOne
    for instance, action in asked:
        action.id, action.state, action.after, action.busy = None, ActionState.RUNNING, None, instance.uuid
    try:
        actions.begin(conn, [action for _, action in asked])
    except exception.ActionInProgress:
        raise _OneByOne from None
    down = servicegroup.down_hosts(conn, {str(one.host) for one in servers.values() if one.host})
    return [(None, instance.host in down) for instance, _ in asked]


def _write(conn: sa.Connection, instance: Instance, action: Action) -> _Found:
    action.id, action.state, action.after, action.busy = None, ActionState.RUNNING, None, instance.uuid
    holder, let_go = free(conn, instance.uuid, 'The server was deleted.')
    if holder is not None:
        if holder.flow == FLOW:
            action.id = holder.id if let_go else None   # one that was held up is the one
            return (None, True) if let_go else (holder, False)
        actions.cancel(conn, holder.id or 0)
        action.state, action.after = ActionState.QUEUED, holder.id
        action.busy = actions.queued_key(instance.uuid)
    if not instances.update(conn, instance.uuid, _DELETING):
        raise exception.InstanceNotFound(instance_id=instance.uuid)
    actions.begin(conn, [action])
    down = bool(instance.host) and bool(servicegroup.down_hosts(conn, {str(instance.host)}))
    return holder, down


def free(conn: sa.Connection, uuid: str, why: str) -> tuple[Action | None, bool]:
    """-> (what holds the server, locked so that it cannot end before we stand behind it; whether it was let go just
    now). A stuck action is put aside: then it is what that held up, if anything."""
    holder = _holder(conn, uuid)
    if holder is None or holder.state != ActionState.STUCK:
        return holder, False
    actions.put_aside(conn, holder.id or 0, f'{holder.message or ""} {why}'.strip())
    released = actions.release_waiting(conn, [holder])
    return (actions.load(conn, released)[0], True) if released else (None, False)


def _holder(conn: sa.Connection, uuid: str) -> Action | None:
    """Locked, so that it cannot end between our look and our waiting for its end."""
    holder = actions.running(conn, uuid)
    if holder is None:
        return None
    row = actions.lock(conn, [holder.id or 0]).get(holder.id or 0)
    if row is None or row.state in ActionState.ENDED:
        return None
    holder.state = row.state
    return holder


# -- a delete that may be taken back ---------------------------------------------

def _soft_delete(context: RequestContext, instance: Instance) -> None:
    """Raises _OnlyForGood, InstanceNotFound."""
    if instance.vm_state == VMState.RESIZED and instance.task_state is None:
        _confirm(context, instance)
    action = ring.new_action(context, instance, FLOW, SOFT, 'power_off', {'timeout': 0})
    for _ in range(LOOKS):
        try:
            begun = session.write(_write_soft, instance, action)
            break
        except exception.ActionInProgress:
            continue
    else:
        raise exception.ActionInProgress(method=FLOW, instance_uuid=instance.uuid)
    if begun and action.state == ActionState.RUNNING:
        ring.compute(action, instance, 'power_off', timeout=0)


def _confirm(context: RequestContext, instance: Instance) -> None:
    """As in Nova there is no way back to the old size. The delete waits for the end of this. Raises _OnlyForGood."""
    try:
        resize.confirm(context, instance)
    except resize.HostIsDown:
        raise _OnlyForGood from None
    except (resize.NotResized, exception.ActionInProgress, exception.InstanceInvalidState):
        pass    # somebody was faster


def _write_soft(conn: sa.Connection, instance: Instance, action: Action) -> bool:
    """-> whether there was anything to do."""
    holder, _ = free(conn, instance.uuid, 'The server was deleted.')
    line = [holder, *actions.waiting(conn, instance.uuid)] if holder is not None else []
    if any(one.flow in DELETES for one in line):
        return False
    now = instances.get(conn, instance.uuid)
    if now.vm_state == VMState.SOFT_DELETED and not line:
        return False
    if not now.host or servicegroup.down_hosts(conn, {now.host}):
        raise _OnlyForGood
    actions.begin_queued(conn, action)
    instances.update(conn, instance.uuid, {'task_state': TaskState.SOFT_DELETING, 'progress': 0, 'due_at': None})
    return True


def restore(context: RequestContext, instance: Instance) -> None:
    """Raises InstanceIsLocked, InstanceInvalidState, InstanceNotReady, TooManyInstances, ActionInProgress,
    ServiceUnavailable."""
    def take_room(conn: sa.Connection, action: Action) -> None:
        """A server that may be restored counts for nothing; this one does since its task state is `restoring`."""
        assert instance.flavor is not None
        project_id, user_id = instance.project_id, instance.user_id
        reservations = quota.Reservations(conn, project_id)
        reservations.take(user_id, instance.flavor, -1)
        reservations.room(user_id, quota.limits(conn, project_id, user_id), instance.flavor, 1, 1)
    begin.direct(context, instance, 'restore', 'restore', 'power_on', write=take_room)
