"""What becomes of servers by themselves when their time (`instances.due_at`) has come: one look for all kinds.

`BY_STATE` says what begins with a server in which state; a state that it does not name has nothing to wait for.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging
from oslo_utils import uuidutils

from minicompute import exception, servicegroup
from minicompute.db import session
from minicompute.db.api import actions, instances, migrations, undecided
from minicompute.objects import Action, Instance, MigrationStatus, TaskState, VMState

LOG = logging.getLogger(__name__)

#: seconds after which what failed to begin is tried again
AGAIN = 60

#: begins an action in this transaction (by `begin`), or None when somebody else did something with the server
Begin = Callable[[sa.Connection, Instance], Action | None]


def reclaim(conn: sa.Connection, instance: Instance) -> Action | None:
    return begin(conn, instance, 'delete', 'delete', 'destroy', TaskState.DELETING)


def confirm(conn: sa.Connection, instance: Instance) -> Action | None:
    """Nobody confirmed or reverted the resize within [DEFAULT] resize_confirm_window."""
    found = migrations.of_instance(conn, instance.uuid, [MigrationStatus.FINISHED], migrations.COLD)
    if not found or instance.old_flavor is None:
        return None
    action = begin(conn, instance, 'confirmResize', 'confirm-resize', 'decide', TaskState.RESIZE_CONFIRMING,
                   data=migrations.ending(found[0], instance))
    if action is not None:
        migrations.update(conn, found[0].uuid, status=MigrationStatus.CONFIRMING)
    return action


def offload(conn: sa.Connection, instance: Instance) -> Action | None:
    return begin(conn, instance, 'shelveOffload', 'shelve_offload', 'offload', TaskState.SHELVING_OFFLOADING)


BY_STATE: dict[str, Begin] = {
    VMState.SOFT_DELETED: reclaim,
    VMState.SHELVED: offload,
    VMState.RESIZED: confirm,
}


def begin(conn: sa.Connection, instance: Instance, name: str, flow: str, step: str, task_state: str | None, *,
          data: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> Action | None:
    """Begin `flow` at `step`, its first, for an idle server that is still in its state. Its time is over then,
    whatever comes of it: `changes` may set another. -> None when it is not idle any more. Raises ActionInProgress."""
    changes = {'task_state': task_state, 'due_at': None, **(changes or {})}
    if not instances.expect(conn, instance.uuid, [instance.vm_state], [None], changes):
        return None
    action = Action(action=name, flow=flow, step=step, instance_uuid=instance.uuid, busy=instance.uuid,
                    request_id='req-' + uuidutils.generate_uuid(), user_id=instance.user_id,
                    project_id=instance.project_id, data=data or {})
    actions.begin(conn, [action])
    return action


def sweep() -> list[int]:
    """Begin what is due. -> actions to ring. One that fails keeps none of the others from theirs."""
    with session.read() as conn:
        found = instances.due(conn, session.now(conn))
    begun: list[int] = []
    for uuid in found:
        try:
            action = session.write(_begin, uuid)
        except exception.ActionInProgress:
            continue    # it is found again
        except Exception:
            LOG.exception('What is due for instance %s could not begin; again in %d s', uuid, AGAIN)
            session.write(_put_off, uuid)
            continue
        if action is not None:
            LOG.info('The time of instance %s is up: %s', uuid, action.action)
            begun.append(action.id or 0)
    return begun


def resume_moves() -> list[int]:
    """Live migrations that were given up in doubt, of whose hosts one at least is up. -> actions to ring. One
    that cannot go on keeps none of the others from it."""
    with session.read() as conn:
        found = undecided.find(conn)
        hosts = {host for move in found for host in (move.source_compute, move.dest_compute) if host}
        down = servicegroup.down_hosts(conn, hosts) if hosts else {}
    begun: list[int] = []
    for move in found:
        if {move.source_compute, move.dest_compute} <= set(down):
            continue
        try:
            action = session.write(undecided.resume, move)
        except exception.ActionInProgress:
            continue    # it is found again
        except Exception:
            LOG.exception('The live migration of instance %s could not go on; the next look tries again',
                          move.instance_uuid)
            continue
        if action is not None:
            LOG.info('The live migration of instance %s goes on: its hosts are asked for its guest', move.instance_uuid)
            begun.append(action.id or 0)
    return begun


def _begin(conn: sa.Connection, uuid: str) -> Action | None:
    instance = instances.get_many(conn, [uuid]).get(uuid)
    if instance is None or instance.due_at is None or instance.due_at > session.now(conn):
        return None     # restored meanwhile, or another conductor was first
    start = BY_STATE.get(instance.vm_state)
    if start is None:
        instances.update(conn, uuid, {'due_at': None})
        return None
    action = start(conn, instance)
    if action is None:      # still as it was, it has nothing to wait for; else whoever changed it knows better
        instances.expect(conn, uuid, [instance.vm_state], [None], {'due_at': None})
    return action


def _put_off(conn: sa.Connection, uuid: str) -> None:
    """So that it does not stand before others that are due."""
    instances.update(conn, uuid, {'due_at': session.now(conn) + datetime.timedelta(seconds=AGAIN)})
