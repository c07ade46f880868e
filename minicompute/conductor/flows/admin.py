"""What operators do to one server."""
from __future__ import annotations

from typing import Any

from minicompute.conductor.flow import Asked, Flow, Outcome, Step, Task


def set_state(task: Task) -> Outcome:
    """Nothing else works on the server any more. `data`: the `vm_state` that it shall be in."""
    task.set(vm_state=task.data['vm_state'], task_state=None, due_at=None)
    return {}


def inject_network_info(task: Task) -> Asked:
    return task.ask('inject_network_info')


def as_it_was(task: Task, error: dict[str, Any]) -> None:
    """Why stands in the action log."""


RESET_STATE = Flow('reset_state', Step(set_state), failed=as_it_was)
INJECT_NETWORK_INFO = Flow('inject_network_info', Step(inject_network_info), failed=as_it_was)
