"""A server is deleted: its domain and disks go, then its record, claim and addresses in one transaction.

A host that is down keeps what lies on it and owes its removal; the server is gone for its owner.
"""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute.conductor.flow import Flow, Outcome, Step, Task
from minicompute.conf import CONF
from minicompute.db.api import allocations, instances, networks
from minicompute.network import base as network
from minicompute.objects import VMState


def destroy(task: Task) -> Outcome:
    if task.instance is None or not task.instance.host:
        return {}
    return task.ask('destroy')


def has_network(task: Task) -> bool:
    """The local backend's ports go with the record, in its transaction."""
    return bool(task.instance and task.instance.network_info) and CONF.network_backend != 'local'


def release_networks(task: Task) -> Outcome:
    network.load().deallocate(task.context, instance_uuid=task.uuid)
    return {}


def gone(task: Task) -> None:
    task.gather(_forget, task.uuid)


def _forget(conn: sa.Connection, uuids: list[str]) -> None:
    instances.destroy(conn, uuids)
    allocations.release(conn, uuids)
    networks.release_ports(conn, uuids)


def failed(task: Task, error: dict[str, Any]) -> None:
    task.set(vm_state=VMState.ERROR, task_state=None, fault=instances.fault(error))


DELETE = Flow(
    'delete',
    Step(destroy, owed_when_down=True),
    Step(release_networks, when=has_network),
    finished=gone, failed=failed, cancellable=False)
