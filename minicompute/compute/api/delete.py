"""A delete always wins: at once when nothing holds the server, else behind what does, which it cancels."""
from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from minicompute import exception, rpc, servicegroup
from minicompute.compute.api import ring
from minicompute.compute.api.locks import check_lock
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.db.group_commit import GroupCommit
from minicompute.objects import Action, ActionState, Instance, TaskState

FLOW = 'delete'
#: a server that others begin something with so often between two statements is none
LOOKS = 5
_DELETING = {'task_state': TaskState.DELETING, 'progress': 0}

_Asked = tuple[Instance, Action]
#: (what holds the server, whether its host is down or a conductor must see to it)
_Found = tuple[Action | None, bool]


class _OneByOne(Exception):
    """These deletes are not alike."""


def delete(context: RequestContext, instance: Instance) -> None:
    """Legal in every state; a second one changes nothing. Raises InstanceIsLocked, InstanceNotFound."""
    check_lock(context, instance)
    action = ring.new_action(context, instance, FLOW, FLOW, 'destroy')
    for _ in range(LOOKS):
        try:
            holder, down = _commits.put(None, (instance, action))
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
    holder = _holder(conn, instance.uuid)
    if holder is not None and holder.state == ActionState.STUCK:
        actions.put_aside(conn, holder.id or 0, f'{holder.message or ""} The server was deleted.'.strip())
        waiting = actions.release_waiting(conn, [holder])
        if waiting:     # the delete that it held up is the one
            action.id = waiting[0]
            return None, True
        holder = None
    if holder is not None:
        if holder.flow == FLOW:
            return holder, False
        actions.cancel(conn, holder.id or 0)
        action.state, action.after = ActionState.QUEUED, holder.id
        action.busy = actions.queued_key(instance.uuid)
    if not instances.update(conn, instance.uuid, _DELETING):
        raise exception.InstanceNotFound(instance_id=instance.uuid)
    actions.begin(conn, [action])
    down = bool(instance.host) and bool(servicegroup.down_hosts(conn, {str(instance.host)}))
    return holder, down


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
