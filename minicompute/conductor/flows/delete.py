"""A server is deleted: its domain and disks go, then its record, claims and addresses in one transaction.

A host that is down keeps what lies on it and owes its removal; the server is gone for its owner. So do hosts that a
move has left something on: one that was not confirmed yet, or that got stuck.
"""
from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from minicompute.conductor.flow import Flow, Outcome, Step, Task
from minicompute.conductor.flows import connections, ports, shelve
from minicompute.db import session
from minicompute.db.api import actions as journal
from minicompute.db.api import allocations, instances, migrations, networks, owed, undecided
from minicompute.objects import MigrationStatus, VMState
from minicompute.volume import base as volume


def destroy(task: Task) -> Outcome:
    if task.instance is None or not task.instance.host:
        return {}
    return task.ask('destroy')


def may_be_elsewhere(task: Task) -> bool:
    """Most servers have never moved, and cost no question."""
    one = task.instance
    return one is not None and (one.old_flavor is not None or one.vm_state in (VMState.RESIZED, VMState.ERROR)
                                or journal.UNENDED in one.system_metadata)


def destroy_elsewhere(task: Task) -> Outcome:
    assert task.instance is not None
    with session.read() as conn:
        moves = migrations.of_instance(conn, task.uuid, MigrationStatus.LIVE)
    hosts = {host for move in moves for host in (move.source_compute, move.dest_compute)} - {None, task.instance.host}
    first, *rest = [*sorted(host for host in hosts if host), None]
    for host in rest:   # more than one other is what a stuck move after a stuck move leaves
        if host is not None:
            task.on_commit(functools.partial(owed.add, host=host, instance_uuid=task.uuid, verb='destroy',
                                             reason='a move was not ended'))
    return task.ask('destroy', host=first) if first is not None else {}


def has_network(task: Task) -> bool:
    """The local backend's ports go with the record, in its transaction."""
    return ports.remote()


def release_networks(task: Task) -> Outcome:
    ports.release(task)
    return {}


def gone(task: Task) -> None:
    task.gather(_forget, task.uuid)
    for device in task.instance.block_devices if task.instance else ():
        if device.volume_id and device.delete_on_termination:
            task.gather(_release_volumes, device.volume_id)     # after `_forget`, in the same transaction
    if may_be_elsewhere(task):
        task.on_commit(functools.partial(migrations.end_with_server, instance_uuid=task.uuid))
        task.on_commit(functools.partial(undecided.wipe, instance_uuid=task.uuid))


def _forget(conn: sa.Connection, uuids: list[str]) -> None:
    instances.destroy(conn, uuids)
    allocations.release_servers(conn, uuids)
    networks.release_ports(conn, uuids)


def _release_volumes(conn: sa.Connection, ids: list[str]) -> None:
    volume.load().release(conn, ids)


def failed(task: Task, error: dict[str, Any]) -> None:
    task.set(vm_state=VMState.ERROR, task_state=None, fault=instances.fault(error))


DELETE = Flow(
    'delete',
    Step(destroy, owed_when_down=True),
    Step(destroy_elsewhere, when=may_be_elsewhere, owed_when_down=True),
    Step(shelve.forget_image, when=shelve.has_image),
    Step(release_networks, when=has_network, debts=ports.unreleased, owed_when_down=True,
         owed_when_refused=True),
    Step(connections.release_volumes, debts=connections.left_of_deleted, owed_when_down=True,
         owed_when_refused=True, when=connections.concerned),
    finished=gone, failed=failed, cancellable=False)
