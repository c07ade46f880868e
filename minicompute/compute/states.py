"""Which states each action is legal in. One table, for the API and for what guards its UPDATE.

`vm` None: in every state.  `task` None: whatever the server is doing; (IDLE,): only when it does nothing.
"""
from __future__ import annotations

import dataclasses

from minicompute import exception
from minicompute.objects import TaskState as Task
from minicompute.objects import VMState as VM

IDLE: str | None = None
_AT_REST = (VM.ACTIVE, VM.PAUSED, VM.SUSPENDED, VM.STOPPED)
#: what a reset of the guest may cut short
_INTERRUPTED = (IDLE, Task.REBOOTING, Task.REBOOT_PENDING, Task.REBOOT_STARTED, Task.RESUMING, Task.UNPAUSING,
                Task.PAUSING, Task.SUSPENDING)


@dataclasses.dataclass(slots=True, frozen=True)
class Legal:
    vm: tuple[str, ...] | None
    task: tuple[str | None, ...] | None = (IDLE,)
    #: the task state while the action runs; None: it stays what it was
    becomes: str | None = None


ACTIONS: dict[str, Legal] = {
    'start':           Legal((VM.STOPPED,), becomes=Task.POWERING_ON),
    'stop':            Legal((VM.ACTIVE, VM.ERROR), becomes=Task.POWERING_OFF),
    'reboot':          Legal((VM.ACTIVE,), becomes=Task.REBOOTING),
    'reboot_hard':     Legal((*_AT_REST, VM.ERROR), _INTERRUPTED, becomes=Task.REBOOTING_HARD),
    'delete':          Legal(None, None, becomes=Task.DELETING),
    'update_metadata': Legal(_AT_REST, None),
    'update_tags':     Legal(_AT_REST, None),
}  # fmt: skip


def check(action: str, instance_uuid: str, vm_state: str, task_state: str | None, *,
          method: str | None = None) -> None:
    """Raises InstanceInvalidState, naming what is in the way. `method`: the action for users."""
    legal = ACTIONS[action]
    if legal.vm is not None and vm_state not in legal.vm:
        attr, state = 'vm_state', str(vm_state)
    elif legal.task is not None and task_state not in legal.task:
        attr, state = 'task_state', str(task_state)
    else:
        return
    raise exception.InstanceInvalidState(
        method=method or action, instance_uuid=instance_uuid, attr=attr, state=state)
