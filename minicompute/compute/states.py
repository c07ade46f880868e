"""Which states each action is legal in. One table, for the API and for what guards its UPDATE.

`vm` None: in every state.  `task` None: whatever the server is doing; (IDLE,): only when it does nothing.
What is not `launched=False` a server refuses that has never run.
"""
from __future__ import annotations

import dataclasses

from minicompute import exception
from minicompute.objects import TaskState as Task
from minicompute.objects import VMState as VM

IDLE: str | None = None
ANY_TASK: tuple[str | None, ...] | None = None
_AT_REST = (VM.ACTIVE, VM.PAUSED, VM.SUSPENDED, VM.STOPPED)
_OFF_OR_ON = (VM.ACTIVE, VM.STOPPED)
_ATTACHABLE = (VM.ACTIVE, VM.PAUSED, VM.STOPPED, VM.RESIZED)
_SHELVED = (VM.SHELVED, VM.SHELVED_OFFLOADED)
#: what a reset of the guest may cut short
_INTERRUPTED = (IDLE, Task.REBOOTING, Task.REBOOT_PENDING, Task.REBOOT_STARTED, Task.REBOOTING_HARD, Task.RESUMING,
                Task.UNPAUSING, Task.PAUSING, Task.SUSPENDING)


@dataclasses.dataclass(slots=True, frozen=True)
class Legal:
    vm: tuple[str, ...] | None
    task: tuple[str | None, ...] | None = (IDLE,)
    #: the task state while the action runs; None: it stays what it was
    becomes: str | None = None
    #: only of a server that has run at least once
    launched: bool = True


ACTIONS: dict[str, Legal] = {
    'start':           Legal((VM.STOPPED,), becomes=Task.POWERING_ON),
    'stop':            Legal((VM.ACTIVE, VM.ERROR), becomes=Task.POWERING_OFF),
    'reboot':          Legal((VM.ACTIVE,), becomes=Task.REBOOTING),
    'reboot_hard':     Legal((*_AT_REST, VM.ERROR), _INTERRUPTED, becomes=Task.REBOOTING_HARD),
    'pause':           Legal((VM.ACTIVE,), becomes=Task.PAUSING),
    'unpause':         Legal((VM.PAUSED,), becomes=Task.UNPAUSING),
    'suspend':         Legal((VM.ACTIVE,), becomes=Task.SUSPENDING),
    'resume':          Legal((VM.SUSPENDED,), becomes=Task.RESUMING),
    'rescue':          Legal((VM.ACTIVE, VM.STOPPED, VM.ERROR), becomes=Task.RESCUING),
    'unrescue':        Legal((VM.RESCUED,), becomes=Task.UNRESCUING),
    'set_password':    Legal((VM.ACTIVE,), becomes=Task.UPDATING_PASSWORD),
    'crash_dump':      Legal((VM.ACTIVE, VM.PAUSED, VM.RESCUED, VM.RESIZED, VM.ERROR)),
    'inject_network':  Legal(None, ANY_TASK, launched=False),
    'rebuild':         Legal((VM.ACTIVE, VM.STOPPED, VM.ERROR), becomes=Task.REBUILDING),
    'snapshot':        Legal(_AT_REST, becomes=Task.IMAGE_SNAPSHOT_PENDING),
    'backup':          Legal(_AT_REST, becomes=Task.IMAGE_BACKUP),
    'shelve':          Legal(_AT_REST, becomes=Task.SHELVING),
    'shelve_offload':  Legal((VM.SHELVED,), becomes=Task.SHELVING_OFFLOADING),
    'unshelve':        Legal(_SHELVED, becomes=Task.UNSHELVING),
    'resize':          Legal(_OFF_OR_ON, becomes=Task.RESIZE_PREP),
    'migrate':         Legal(_OFF_OR_ON, becomes=Task.RESIZE_PREP),
    'confirm_resize':  Legal((VM.RESIZED,), becomes=Task.RESIZE_CONFIRMING),
    'revert_resize':   Legal((VM.RESIZED,), becomes=Task.RESIZE_REVERTING),
    'live_migrate':    Legal((VM.ACTIVE, VM.PAUSED), becomes=Task.MIGRATING),
    'force_complete':  Legal((VM.ACTIVE,), (Task.MIGRATING,)),
    'abort_live':      Legal(None, (Task.MIGRATING,)),
    'evacuate':        Legal((VM.ACTIVE, VM.STOPPED, VM.ERROR), ANY_TASK, becomes=Task.REBUILDING),
    'attach_volume':   Legal((*_ATTACHABLE, *_SHELVED, VM.SOFT_DELETED)),
    'detach_volume':   Legal((*_ATTACHABLE, *_SHELVED, VM.SOFT_DELETED)),
    'swap_volume':     Legal((VM.ACTIVE, VM.PAUSED, VM.RESIZED)),
    'extend_volume':   Legal(None, ANY_TASK),
    'snapshot_volume': Legal(None, ANY_TASK),
    'assist_snapshot': Legal(None),
    'port_deleted':    Legal(None, ANY_TASK),
    'attach_interface': Legal((VM.ACTIVE, VM.PAUSED, VM.STOPPED)),
    'detach_interface': Legal((VM.ACTIVE, VM.PAUSED, VM.STOPPED)),
    'security_group':  Legal((VM.ACTIVE,), ANY_TASK, launched=False),
    'soft_delete':     Legal(None, ANY_TASK, becomes=Task.SOFT_DELETING),
    'restore':         Legal((VM.SOFT_DELETED,), becomes=Task.RESTORING),
    'delete':          Legal(None, ANY_TASK, becomes=Task.DELETING, launched=False),
    'update_metadata': Legal(_AT_REST, ANY_TASK),
    'update_tags':     Legal(_AT_REST, ANY_TASK, launched=False),
}  # fmt: skip


def check(action: str, instance_uuid: str, vm_state: str, task_state: str | None, *,
          method: str | None = None, launched: bool = True) -> None:
    """Raises InstanceInvalidState, naming what is in the way. `method`: the action for users; `launched`: whether the
    server has run at least once."""
    legal = ACTIONS[action]
    if legal.vm is not None and vm_state not in legal.vm:
        attr, state = 'vm_state', str(vm_state)
    elif legal.task is not None and task_state not in legal.task:
        attr, state = 'task_state', str(task_state)
    elif legal.launched and not launched:
        attr, state = 'launched_at', 'None'
    else:
        return
    raise exception.InstanceInvalidState(
        method=method or action, instance_uuid=instance_uuid, attr=attr, state=state)
