"""Start, stop and reboot: one step, on the server's host.

The API rings the compute itself; what is here commits the report, and asks again when it got lost. A hard reboot that
cuts short what is done to the guest waits for the end of that, and takes the server over in a step of its own.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicompute.conductor.flow import Asked, Flow, Step, Task
from minicompute.conf import CONF
from minicompute.db.api import instances
from minicompute.objects import TaskState, VMState


def power_on(task: Task) -> Asked:
    return task.ask('power_on')


def power_off(task: Task) -> Asked:
    return task.ask('power_off', timeout=task.data.get('timeout', CONF.shutdown_timeout))


def take_turn(task: Task) -> dict[str, Any]:
    """What ended just now may have ended well: then it left the server without a task."""
    task.set(task_state=TaskState.REBOOTING_HARD if task.data.get('hard') else TaskState.REBOOTING)
    return {}


def reboot(task: Task) -> Asked:
    return task.ask('reboot', hard=bool(task.data.get('hard')))


def became(vm_state: str) -> Callable[[Task], dict[str, Any]]:
    """The `done` of a step after which the server is in `vm_state`."""
    def done(task: Task) -> dict[str, Any]:
        assert task.report is not None
        task.set(vm_state=vm_state, power_state=task.report.result.get('power_state', 0))
        return {}
    return done


def finished(task: Task) -> None:
    task.set(task_state=None, fault=None)


def failed(task: Task, error: dict[str, Any]) -> None:
    """The server is what it was; why it is not what was asked stands in the action log."""
    if not error.get('cancelled'):
        task.set(task_state=None, fault=instances.fault(error))


START = Flow('start', Step(power_on, done=became(VMState.ACTIVE)), finished=finished, failed=failed)
STOP = Flow('stop', Step(power_off, done=became(VMState.STOPPED)), finished=finished, failed=failed)
REBOOT = Flow('reboot', Step(take_turn), Step(reboot, done=became(VMState.ACTIVE)), finished=finished, failed=failed)
