"""A server is deleted so that it may be restored: its guest is off, and its time runs.

`due.py` deletes it for good when that is up. All that it has stays its own until then: host, claim, addresses, disks.
"""
from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa

from minicompute.conductor.flow import Asked, Flow, Step, Task
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.objects import PowerState, VMState


def power_off(task: Task) -> Asked:
    return task.ask('power_off', timeout=0)


def is_off(task: Task) -> dict[str, Any]:
    return _has_power(task, PowerState.SHUTDOWN)


def power_on(task: Task) -> Asked:
    return task.ask('power_on')


def is_on(task: Task) -> dict[str, Any]:
    task.set(vm_state=VMState.ACTIVE)
    return _has_power(task, PowerState.RUNNING)


def _has_power(task: Task, usual: int) -> dict[str, Any]:
    assert task.report is not None
    task.set(power_state=task.report.result.get('power_state', usual))
    return {}


def soft_deleted(task: Task) -> None:
    task.set(vm_state=VMState.SOFT_DELETED, task_state=None)
    if task.instance is not None and task.instance.due_at is None:  # else it was deleted before, and only ran again
        task.gather(_set_due, task.uuid)


def _set_due(conn: sa.Connection, uuids: list[str]) -> None:
    at = session.now(conn) + datetime.timedelta(seconds=CONF.reclaim_instance_interval)
    instances.update_many(conn, {uuid: {'due_at': at} for uuid in uuids})


def not_off(task: Task, error: dict[str, Any]) -> None:
    """The owner has deleted it all the same. A guest that still runs (its host went away) is stopped when its power
    state is heard."""
    if not error.get('cancelled'):
        soft_deleted(task)


def restored(task: Task) -> None:
    task.set(task_state=None, due_at=None, fault=None)


def not_restored(task: Task, error: dict[str, Any]) -> None:
    """It is deleted as before, until its time is up."""
    if not error.get('cancelled'):
        task.set(task_state=None, fault=instances.fault(error))


SOFT_DELETE = Flow('soft_delete', Step(power_off, done=is_off), finished=soft_deleted, failed=not_off)
RESTORE = Flow('restore', Step(power_on, done=is_on), finished=restored, failed=not_restored)
