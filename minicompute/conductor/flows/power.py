"""Start, stop and reboot: one step, on the server's host.

The API rings the compute itself; what is here commits the report, and asks again when it got lost.
"""
from __future__ import annotations

from typing import Any

from minicompute.conductor.flow import Asked, Flow, Step, Task
from minicompute.conf import CONF
from minicompute.db.api import instances
from minicompute.objects import VMState


def power_on(task: Task) -> Asked:
    return task.ask('power_on')


def power_off(task: Task) -> Asked:
    return task.ask('power_off', timeout=task.data.get('timeout', CONF.shutdown_timeout))


def reboot(task: Task) -> Asked:
    return task.ask('reboot', hard=bool(task.data.get('hard')))


def runs(task: Task) -> dict[str, Any]:
    return _became(task, VMState.ACTIVE)


def stopped(task: Task) -> dict[str, Any]:
    return _became(task, VMState.STOPPED)


def _became(task: Task, vm_state: str) -> dict[str, Any]:
    assert task.report is not None
    task.set(vm_state=vm_state, power_state=task.report.result.get('power_state', 0))
    return {}


def finished(task: Task) -> None:
    task.set(task_state=None, fault=None)


def failed(task: Task, error: dict[str, Any]) -> None:
    """The server is what it was; why it is not what was asked stands in the action log."""
    if not error.get('cancelled'):
        task.set(task_state=None, fault=instances.fault(error))


START = Flow('start', Step(power_on, done=runs), finished=finished, failed=failed)
STOP = Flow('stop', Step(power_off, done=stopped), finished=finished, failed=failed)
REBOOT = Flow('reboot', Step(reboot, done=runs), finished=finished, failed=failed)
