"""A server goes to another host while it is off, perhaps in another size; its owner then confirms or reverts that.

    claim_destination --> prepare_destination --> stop_source --> open_destination --> carry_disks --> bind_ports
          |                      |                     |                                                  |
      drop_claim         clean_destination      restore_source            (undo)                      bind_back

                  --> finish_destination --> check_destination --> switch_host (the pivot)
                              |
                       stop_destination

Whatever fails before the switch, the source runs again as it was.  The old disks stay at the source until the
resize is confirmed, so a revert needs nothing from the destination but that its guest is off.  Hosts that share
their disks carry none, and a resize that stays on its host is both ends at once.
"""
from __future__ import annotations

import datetime
import functools
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor.flow import Asked, Flow, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import connections, move, ports
from minicompute.conductor.flows.shared import is_active, leave
from minicompute.conf import CONF
from minicompute.db.api import instances
from minicompute.db.session import utcnow
from minicompute.image import base as image
from minicompute.objects import (
    Flavor,
    Instance,
    MigrationStatus,
    PowerState,
    RequestSpec,
    TaskState,
    VMState,
    from_primitive,
)

# -- there --------------------------------------------------------------------------


def claim_destination(task: Task) -> Outcome:
    if task.spec is None:
        raise StepFailed('the request of the server is not in the records')
    spec = move.anywhere(task.spec, task.data.get('host'))
    spec.flavor = new_flavor(task)
    return move.claim(task, spec, ignore=task.data.get('ignore', ()))


def prepare_destination(task: Task) -> Asked:
    """A host that nobody named and that cannot do it is one of several: the next may."""
    verb = 'prepare_move' if task.data.get('host') else 'prepare_move_or_next'
    return move.at_dest(task, verb, source=move.source(task), image=_image(task))


def prepared(task: Task) -> dict[str, Any]:
    assert task.report is not None
    to = task.report.result['dest']
    move.nothing_owed(task)
    move.note(task, dest_host=to.get('ip'))
    return {'to': to}


def clean_destination(task: Task) -> Asked:
    """Its disks may be the source's own until the source has said that they are not."""
    return move.at_dest(task, 'drop_move', source=move.source(task), disks=task.data.get('shared') is False)


def stop_source(task: Task) -> Asked:
    return move.at_source(task, 'leave', flavor=new_flavor(task), dest=task.data['to'],
                          timeout=task.data.get('timeout', CONF.shutdown_timeout))


def stopped(task: Task) -> dict[str, Any]:
    assert task.report is not None and task.instance is not None
    shared = bool(task.report.result['shared'])
    task.set(task_state=TaskState.RESIZE_MIGRATING, power_state=task.report.result['power_state'])
    move.note(task, status=MigrationStatus.MIGRATING,
              data={'shared': shared, 'zone': task.instance.availability_zone})
    return {'shared': shared}


def restore_source(task: Task) -> Asked:
    """The guest runs again, unless the destination, which cannot be asked, may be running it."""
    start = runs(task) and move.dest(task) not in task.data.get('unreached', ())
    return move.at_source(task, 'arrive', start=start)


def apart(task: Task) -> bool:
    return not task.data.get('shared')


def goes_with_ports(task: Task) -> bool:
    return ports.has_ports(task) and not move.stays(task)


def waits(task: Task) -> bool:
    """A guest that is off has nothing plugged."""
    return ports.awaited(task) and runs(task)


def open_destination(task: Task) -> Asked:
    return move.at_dest(task, 'open_move')


def opened(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return {'to': {**task.data['to'], **task.report.result['facts']}}


def carry_disks(task: Task) -> Asked:
    return move.at_source(task, 'send_disks', dest=task.data['to'])


def carried(task: Task) -> dict[str, Any]:
    assert task.report is not None
    _arrives(task)
    return {'bytes': task.report.result.get('bytes')}


def _arrives(task: Task) -> None:
    task.set(task_state=TaskState.RESIZE_FINISH)
    move.note(task, status=MigrationStatus.POST_MIGRATING)


def finish_destination(task: Task) -> Asked:
    return move.at_dest(task, 'arrive', flavor=new_flavor(task), start=runs(task))


def arrived(task: Task) -> dict[str, Any]:
    if not apart(task):
        _arrives(task)
    return {}


def stop_destination(task: Task) -> Asked:
    return move.at_dest(task, 'depart', owner=None if apart(task) else move.source(task))


def check_destination(task: Task) -> Asked:
    return move.at_dest(task, 'check_move', flavor=new_flavor(task), running=runs(task))


def checked(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return {'power_state': task.report.result['power_state']}


def switch_host(task: Task) -> Outcome:
    """The server lives at the destination, in its new size. It is `resized` from here on."""
    instance = task.instance
    assert instance is not None
    flavor = new_flavor(task)
    if task.spec is not None:
        _remember(task, flavor)
    old = instance.flavor
    leave(task, old_vm_state=task.data['old_vm_state'])
    return move.switch(
        task, flavor=flavor, old_flavor=old, power_state=task.data.get('power_state', PowerState.NOSTATE))


def resized(task: Task) -> None:
    move.note(task, status=MigrationStatus.FINISHED)
    task.set(vm_state=VMState.RESIZED, task_state=None, launched_at=utcnow(), fault=None, due_at=confirm_at())


def confirm_at() -> datetime.datetime | None:
    """When a server that is resized now will be confirmed without being asked to."""
    window: int = CONF.resize_confirm_window
    return utcnow() + datetime.timedelta(seconds=window) if window else None


def not_moved(task: Task, error: dict[str, Any]) -> None:
    """The server is what it was; whether its guest runs a source that does not answer says, and sees to, when it is
    back. One whose guest may run at a destination that does not answer is in ERROR."""
    move.note(task, status=MigrationStatus.ERROR)
    if error.get('cancelled'):
        return   # a delete waits behind this action and has the last word
    vm_state, unreached = task.data['old_vm_state'], task.data.get('unreached', ())
    if (task.data.get('dest') or {}).get('host', task.data.get('last_dest')) in unreached:
        vm_state = VMState.ERROR
    task.set(vm_state=vm_state, task_state=None, fault=instances.fault(error))


def drop_claim(task: Task) -> Outcome:
    if 'dest' in task.data:
        task.data['last_dest'] = move.dest(task)
    return move.drop_claim(task)


# -- small questions ------------------------------------------------------------------

def new_flavor(task: Task) -> Flavor:
    flavor: Flavor = from_primitive(task.data['flavor'])
    return flavor


def runs(task: Task) -> bool:
    """Whether the guest shall run at the end."""
    return bool(task.data['old_vm_state'] == VMState.ACTIVE)


def _image(task: Task) -> Any:
    """What the root disk is an overlay on, while the image service still has it."""
    ref = task.instance.image_ref if task.instance else ''
    try:
        return image.load().show(task.context, ref) if ref else None
    except exception.NotFound:
        return None


def _remember(task: Task, flavor: Flavor | None) -> None:
    """The size that the next scheduling asks for."""
    task.on_commit(functools.partial(_write_flavor, uuid=task.uuid, flavor=flavor))


def _write_flavor(conn: sa.Connection, uuid: str, flavor: Flavor | None) -> None:
    spec: RequestSpec | None = instances.specs(conn, [uuid]).get(uuid)
    if spec is not None:
        spec.flavor = flavor
        instances.update(conn, uuid, {'request_spec': spec})


RESIZE = Flow(
    'resize',
    Step(claim_destination, undo=drop_claim, retry=lambda: CONF.scheduler.max_attempts),
    Step(prepare_destination, undo=clean_destination, done=prepared, deadline=lambda: CONF.conductor.build_deadline),
    Step(stop_source, undo=restore_source, done=stopped, undo_owes=False, undo_late=is_active),
    Step(open_destination, done=opened, when=apart),
    Step(carry_disks, done=carried, when=apart, deadline=lambda: CONF.conductor.move_deadline),
    *connections.TO_CONNECT_THERE,
    Step(move.bind_ports, undo=move.bind_back, when=goes_with_ports, debts=ports.misbound),
    Step(finish_destination, undo=stop_destination, done=arrived),
    Step(ports.wait_for_ports, many=ports.look_at_ports, when=waits),
    Step(check_destination, done=checked),
    Step(switch_host, pivot=True),
    *connections.TO_LEAVE,
    finished=resized, failed=not_moved, with_spec=True)


# -- confirmed ------------------------------------------------------------------------

def decide(task: Task) -> Outcome:
    """From here on there is no way back: the old disks may be gone already."""
    return {}


def elsewhere(task: Task) -> bool:
    return not move.stays(task)


def clean_source(task: Task) -> Asked:
    return move.at_source(task, 'destroy')


def confirmed(task: Task) -> None:
    off = task.instance is not None and task.instance.power_state == PowerState.SHUTDOWN
    _ends(task, MigrationStatus.CONFIRMED, VMState.STOPPED if off else VMState.ACTIVE)


def _ends(task: Task, status: str, vm_state: str) -> None:
    assert task.instance is not None
    move.release(task)
    move.note(task, status=status)
    leave(task, old_vm_state=None)
    task.set(vm_state=vm_state, task_state=None, old_flavor=None, due_at=None, fault=None)


def still_resized(task: Task, error: dict[str, Any]) -> None:
    move.note(task, status=MigrationStatus.FINISHED)
    if not error.get('cancelled'):
        task.set(vm_state=VMState.RESIZED, task_state=None, fault=instances.fault(error))


CONFIRM = Flow(
    'confirm-resize',
    Step(decide, pivot=True),
    Step(clean_source, when=elsewhere, owed_when_down=True),
    finished=confirmed, failed=still_resized)


# -- reverted -------------------------------------------------------------------------

def stop_resized(task: Task) -> Asked:
    return move.at_dest(task, 'power_off', timeout=task.data.get('timeout', CONF.shutdown_timeout))


def start_resized(task: Task) -> Asked:
    """It runs again, unless the source, which cannot be asked, may be running it."""
    start = bool(task.data.get('ran')) and move.source(task) not in task.data.get('unreached', ())
    return move.at_dest(task, 'arrive', start=start)


def ran_resized(instance: Instance, data: dict[str, Any]) -> bool:
    return instance.vm_state == VMState.RESIZED and bool(data.get('ran'))


def old_flavor(task: Task) -> Flavor:
    flavor: Flavor = from_primitive(task.data['old_flavor'])
    return flavor


def revive_source(task: Task) -> Asked:
    return move.at_source(task, 'arrive', flavor=old_flavor(task), start=runs(task))


def bind_home(task: Task) -> Outcome:
    ports.bind(task, move.source(task))
    return {}


def bind_there_again(task: Task) -> Outcome:
    ports.bind(task, move.dest(task))
    return {}


def stop_revived(task: Task) -> Asked:
    return move.at_source(task, 'depart', owner=None if apart(task) else move.dest(task))


def check_source(task: Task) -> Asked:
    return move.at_source(task, 'check_move', flavor=old_flavor(task), running=runs(task))


def return_home(task: Task) -> Outcome:
    """The server lives at the source again, in its old size."""
    _remember(task, old_flavor(task))
    return move.switch_back(task, flavor=old_flavor(task), power_state=task.data.get('power_state', 0))


def forget_destination(task: Task) -> Asked:
    return move.at_dest(task, 'destroy')


def reverted(task: Task) -> None:
    _ends(task, MigrationStatus.REVERTED, task.data['old_vm_state'])
    task.set(launched_at=utcnow())


REVERT = Flow(
    'revert-resize',
    Step(stop_resized, undo=start_resized, undo_owes=False, undo_late=ran_resized),
    *connections.TO_CONNECT_HOME,
    Step(bind_home, undo=bind_there_again, when=goes_with_ports, debts=ports.misbound),
    Step(revive_source, undo=stop_revived, undo_owes=False),
    Step(check_source, done=checked),
    Step(return_home, pivot=True),
    *connections.TO_LEAVE,
    Step(forget_destination, when=elsewhere, owed_when_down=True),
    finished=reverted, failed=still_resized)
