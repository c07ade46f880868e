"""What flows of several kinds ask, and what they leave for one another."""
from __future__ import annotations

import functools
from typing import Any

from minicompute import servicegroup
from minicompute.conductor.flow import Task
from minicompute.db import session
from minicompute.db.api import actions, system_metadata
from minicompute.objects import Instance, VMState


def cancelled(task: Task) -> bool:
    """Whether somebody broke the action off: by a delete, by a reset of the server's state or by a hard reboot."""
    return bool(task.data.get('error', {}).get('cancelled'))


def deleted(task: Task) -> bool:
    """Whether a delete waits for the end of this action, after which nothing need be left, whatever broke it off. A
    server whose state was reset lives on: its domain has to be put back in order as after any other failure."""
    with session.read() as conn:
        waits = actions.running(conn, actions.queued_key(task.uuid))
    return waits is not None and waits.flow == 'delete'


def given_up(task: Task) -> bool:
    """Whether an operator will not wait for the server's host, who has reset the state of the server, or has said that
    the host is down for good, as before an evacuation."""
    host = task.instance.host if task.instance else None
    with session.read() as conn:
        if host and servicegroup.forced_down(conn, {host}):
            return True
    return resets(task)


def resets(task: Task) -> bool:
    """Whether a reset of the state waits for the end of this action."""
    with session.read() as conn:
        return any(one.flow == 'reset_state' for one in actions.waiting(conn, task.uuid))


def silent(task: Task, host: str) -> bool:
    """Whether `host` does not report, so that nobody there can be asked."""
    with session.read() as conn:
        if not servicegroup.down_hosts(conn, {host}):
            return False
        return task.steady() or bool(servicegroup.forced_down(conn, {host}))


def leave(task: Task, **facts: Any) -> None:
    """Facts at the server for a later action, with the step's commit; None takes one away. Others may leave theirs at
    the same moment, so that the document is never written as a whole."""
    task.on_commit(functools.partial(system_metadata.merge, uuid=task.uuid, changes=facts))
    if task.instance is not None:
        task.instance.system_metadata = system_metadata.merged(task.instance.system_metadata, facts)


def is_active(instance: Instance, data: dict[str, Any]) -> bool:
    """Of a server that no action is at work with: by the records its guest runs."""
    return instance.vm_state == VMState.ACTIVE
