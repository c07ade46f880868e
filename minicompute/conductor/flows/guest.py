"""What is done to a guest where it stands: pause, suspend, rescue, crash dump, password.

    rescue:  prepare_rescue --> rescue

The rescue disk is made while the guest still runs: what is wrong with the rescue image leaves the server as it was.
The second step stops the guest; when that fails nobody knows what runs, and the server is in ERROR, as in Nova.
All others are one step, for which the API rings the compute itself.
"""
from __future__ import annotations

from typing import Any

from minicompute.conductor.flow import Asked, Flow, Step, Task
from minicompute.conductor.flows.power import became, failed, finished
from minicompute.conductor.flows.shared import leave
from minicompute.conf import CONF
from minicompute.db.session import utcnow
from minicompute.objects import VMState, from_primitive
from minicompute.virt import password

#: what a rescue leaves at the server for each start until it is over: see compute/api/guest.py
RESCUE_FACTS = ('rescue_image_ref', 'rescue_device', 'rescue_bus')


def pause(task: Task) -> Asked:
    return task.ask('pause')


def unpause(task: Task) -> Asked:
    return task.ask('unpause')


def suspend(task: Task) -> Asked:
    return task.ask('suspend')


def resume(task: Task) -> Asked:
    return task.ask('resume')


# -- rescue --------------------------------------------------------------------

def prepare_rescue(task: Task) -> Asked:
    secret = task.data.get('secret') or {}
    images = {name: from_primitive(task.data.get(name)) for name in ('image', 'kernel', 'ramdisk')}
    return task.ask('prepare_rescue', admin_password=secret.get('admin_password'), **images)


def rescue(task: Task) -> Asked:
    return task.ask('rescue', timeout=task.data.get('timeout', CONF.shutdown_timeout))


def rescued(task: Task) -> dict[str, Any]:
    task.set(launched_at=utcnow())
    return became(VMState.RESCUED)(task)


def unrescue(task: Task) -> Asked:
    return task.ask('unrescue')


def unrescued(task: Task) -> dict[str, Any]:
    _forget_rescue(task)
    return became(VMState.ACTIVE)(task)


def rescue_failed(task: Task, error: dict[str, Any]) -> None:
    """No start of the server must take it for a rescued one, also when somebody broke the rescue off."""
    _forget_rescue(task)
    if error.get('cancelled'):
        return
    failed(task, error)
    if error.get('step') != 'prepare_rescue':
        task.set(vm_state=VMState.ERROR)


def _forget_rescue(task: Task) -> None:
    leave(task, **dict.fromkeys(RESCUE_FACTS))


# -- looked for by the guest ---------------------------------------------------

def trigger_crash_dump(task: Task) -> Asked:
    return task.ask('trigger_crash_dump')


def set_admin_password(task: Task) -> Asked:
    return task.ask('set_admin_password', secret=task.data.get('secret') or {})


def over(task: Task) -> None:
    """What changed nothing of the server leaves its fault as well."""
    task.set(task_state=None)


def password_set(task: Task) -> dict[str, Any]:
    """The new one is kept for os-server-password; where it cannot be sealed, the old one is not it any more."""
    assert task.report is not None
    leave(task, **password.to_metadata(task.report.result.get('sealed_password')))
    return {}


def _saving() -> int:
    """Seconds: to write or read a large memory takes as long as a build."""
    return CONF.conductor.build_deadline


PAUSE = Flow('pause', Step(pause, done=became(VMState.PAUSED)), finished=finished, failed=failed)
UNPAUSE = Flow('unpause', Step(unpause, done=became(VMState.ACTIVE)), finished=finished, failed=failed)
SUSPEND = Flow('suspend', Step(suspend, done=became(VMState.SUSPENDED), deadline=_saving),
               finished=finished, failed=failed)
RESUME = Flow('resume', Step(resume, done=became(VMState.ACTIVE), deadline=_saving), finished=finished, failed=failed)
RESCUE = Flow('rescue',
              Step(prepare_rescue, deadline=lambda: CONF.conductor.build_deadline),
              Step(rescue, done=rescued),
              finished=finished, failed=rescue_failed)
UNRESCUE = Flow('unrescue', Step(unrescue, done=unrescued), finished=finished, failed=rescue_failed)
CRASH_DUMP = Flow('trigger_crash_dump', Step(trigger_crash_dump), finished=over, failed=failed)
SET_PASSWORD = Flow('set_password', Step(set_admin_password, done=password_set), finished=over, failed=failed)
