"""One volume of a server becomes a snapshot, because its owner asked the volume service for that.

    check_device --> copy_volume --> (available)
                          |
                     drop_copy         (undo; then the snapshot says `error`)

The API has reserved the snapshot with the action, which waits for what else is attached and detached. The guest does
not notice; one with an agent has its file systems at rest for the moment that counts.
"""
from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from minicompute.conductor.flow import Asked, Flow, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import snapshot
from minicompute.volume import base as volume


def check_device(task: Task) -> Outcome:
    """What waited in the queue may have lost its server's volume, or its host."""
    devices = task.instance.block_devices if task.instance else ()
    if not any(device.volume_id == task.data['volume_id'] for device in devices):
        raise StepFailed('the volume is not attached to the server any more', code=404)
    if task.instance is None or not task.instance.host:
        raise StepFailed('the server of the volume is on no host', code=409)
    return {}


def _copies(task: Task) -> dict[str, str]:
    return {task.data['volume_id']: task.data['snapshot_id']}


def copy_volume(task: Task) -> Asked:
    return task.ask('copy_volumes', copies=_copies(task))


def drop_copy(task: Task) -> Outcome:
    """The host has to end what it copies."""
    if task.instance is None or not task.instance.host:
        return {}
    return task.ask('drop_copies', copies=_copies(task))


def made(task: Task) -> None:
    task.on_commit(functools.partial(_made, snapshot_id=task.data['snapshot_id']))


def _made(conn: sa.Connection, snapshot_id: str) -> None:
    volume.load().snapshots_made(conn, [snapshot_id])


def failed(task: Task, error: dict[str, Any]) -> None:
    """The server is what it was; why there is no snapshot stands in the action log."""
    task.on_commit(functools.partial(_failed, snapshot_id=task.data['snapshot_id']))


def _failed(conn: sa.Connection, snapshot_id: str) -> None:
    volume.load().snapshots_failed(conn, [snapshot_id])


SNAPSHOT_VOLUME = Flow('snapshot_volume', Step(check_device),
                       Step(copy_volume, undo=drop_copy, undo_owes=False, deadline=snapshot.copying),
                       finished=made, failed=failed)
