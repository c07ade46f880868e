"""What flows of several kinds ask, and what they leave for one another."""
from __future__ import annotations

import functools
from typing import Any

from minicompute.conductor.flow import Task
from minicompute.db import session
from minicompute.db.api import actions, system_metadata


def cancelled(task: Task) -> bool:
    """Whether somebody broke the action off: by a delete, by a reset of the server's state or by a hard reboot."""
    return bool(task.data.get('error', {}).get('cancelled'))


def deleted(task: Task) -> bool:
    """Whether it was broken off for a delete, after which nothing need be left. A server whose state was reset lives
    on: its domain has to be put back in order as after any other failure."""
    if not cancelled(task):
        return False
    with session.read() as conn:
        waits = actions.running(conn, actions.queued_key(task.uuid))
    return waits is not None and waits.flow == 'delete'


def leave(task: Task, **facts: Any) -> None:
    """Facts at the server for a later action, with the step's commit; None takes one away. Others may leave theirs at
    the same moment, so that the document is never written as a whole."""
    task.on_commit(functools.partial(system_metadata.merge, uuid=task.uuid, changes=facts))
    if task.instance is not None:
        task.instance.system_metadata = system_metadata.merged(task.instance.system_metadata, facts)
