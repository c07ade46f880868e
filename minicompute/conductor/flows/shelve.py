"""A server is put on the shelf, taken off its host, and brought back, perhaps elsewhere.

    SHELVE          have_image --> power_off_guest --> (snapshot.py) --> put_on_shelf* --> offload --> unbind_ports
    SHELVE_OFFLOAD  offload --> unbind_ports
    UNSHELVE        find_image --> power_on                                               \\
                              \\--> choose_host --> bind_ports --> spawn_from_image --> let_run* --> forget_image

With `*` the point of no return.  A server on the shelf has host, claim and disks until it is offloaded: at once, after
`shelved_offload_time` (conductor/due.py), or when an administrator says so.  From then on it is its image.  That is
deleted when the server is back; its new disk stands alone, so that nothing needs the image any more.
"""
from __future__ import annotations

import datetime
import functools
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception, servicegroup
from minicompute.conductor.flow import Asked, Flow, Outcome, Reschedule, Step, StepFailed, Task
from minicompute.conductor.flows import attach, build, connections, ports, snapshot
from minicompute.conductor.flows.shared import is_active, leave
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import allocations, instances, networks, owed, services
from minicompute.db.session import utcnow
from minicompute.image import base as image
from minicompute.objects import PowerState, TaskState, VMState, to_primitive

LOG = logging.getLogger(__name__)

#: of `system_metadata`, while a server is on the shelf
IMAGE, HOST, AT = 'shelved_image_id', 'shelved_host', 'shelved_at'
#: the hosts that fell silent while the server was started there: it may be running
DOUBT = 'unshelve_doubt'
#: seconds until an offload that failed is tried again
TRY_AGAIN = 300


# -- on the shelf --------------------------------------------------------------

def runs(task: Task) -> bool:
    return _was(task) in (VMState.ACTIVE, VMState.PAUSED)


def _was(task: Task) -> str | None:
    """The state that the server is shelved from, also while a later step is undone that has changed the record."""
    return task.data.get('was') or (task.instance.vm_state if task.instance else None)


def have_image(task: Task) -> Outcome:
    """The image is there since the request: whatever fails behind this, it goes. Nothing begins here."""
    return {}


def power_off_guest(task: Task) -> Asked:
    """A paused guest cannot shut down by itself."""
    paused = _was(task) == VMState.PAUSED
    return task.ask('power_off', timeout=0 if paused else task.data.get('timeout', CONF.shutdown_timeout))


def powered_off(task: Task) -> dict[str, Any]:
    task.set(power_state=PowerState.SHUTDOWN)
    return {'was': _was(task)}


def power_on_again(task: Task) -> Outcome:
    """As it was. What was in the memory of a paused guest is lost: that one stays off."""
    if task.instance is None or not task.instance.host or not runs(task):
        return {}
    if _was(task) == VMState.PAUSED:
        task.data['memory_lost'] = True
        return task.ask('power_off', timeout=0)
    return task.ask('power_on')


def put_on_shelf(task: Task) -> Outcome:
    """The image is active, and the server shelved, offloaded at once or later or never."""
    instance = task.instance
    assert instance is not None
    if snapshot.wanted(task):
        snapshot.activate_image(task)
    now, wait = utcnow(), int(CONF.shelved_offload_time)
    task.set(vm_state=VMState.SHELVED, power_state=PowerState.SHUTDOWN, fault=None,
             task_state=TaskState.SHELVING_OFFLOADING if offloads_at_once(task) else TaskState.SHELVING,
             due_at=now + datetime.timedelta(seconds=wait) if wait > 0 else None)
    leave(task, **{IMAGE: task.data.get('image_id'), HOST: instance.host, AT: now.isoformat()})
    return {}


def offloads_at_once(task: Task) -> bool:
    """So does a server whose disk is a volume: nothing of it is worth keeping on the host."""
    return CONF.shelved_offload_time == 0 or not snapshot.wanted(task)


def leaves_volumes(task: Task) -> bool:
    return offloads_at_once(task) and connections.concerned(task)


def offload(task: Task) -> Outcome:
    if task.instance is None or not task.instance.host:
        return {}
    return task.ask('destroy')


def leaves_ports(task: Task) -> bool:
    return offloads_at_once(task) and ports.has_ports(task)


def unbind_ports(task: Task) -> Outcome:
    """Its cards and addresses stay its own, and have no host until it has one."""
    if CONF.network_backend == 'local':
        task.on_commit(functools.partial(networks.move_ports, instance_uuid=task.uuid, host=None))
        return {}
    return ports.park(task)


def leave_ports(task: Task) -> Outcome:
    """Undo: it does not come to this host."""
    return unbind_ports(task) if has_network(task) else {}


def shelved(task: Task) -> None:
    """The last step says which: one that was passed over had the option changed under it."""
    if task.action.step in ('offload', 'reserve_again', 'unbind_ports'):
        offloaded(task)
    else:
        task.set(task_state=None)


def offloaded(task: Task) -> None:
    task.set(vm_state=VMState.SHELVED_OFFLOADED, task_state=None, host=None, node=None, due_at=None)
    task.gather(_release, task.uuid)
    if CONF.network_backend == 'local':
        task.on_commit(functools.partial(networks.move_ports, instance_uuid=task.uuid, host=None))


def _release(conn: sa.Connection, uuids: list[str]) -> None:
    allocations.release(conn, uuids)


def shelve_failed(task: Task, error: dict[str, Any]) -> None:
    if error.get('cancelled'):
        return
    task.set(task_state=None, fault=instances.fault(error))
    if task.data.get('memory_lost'):
        task.set(vm_state=VMState.STOPPED, power_state=PowerState.SHUTDOWN)
    elif runs(task):
        task.set(power_state=PowerState.RUNNING)


def offload_failed(task: Task, error: dict[str, Any]) -> None:
    """It is on the shelf still; where servers are offloaded by themselves that is tried again."""
    if error.get('cancelled'):
        return
    again = utcnow() + datetime.timedelta(seconds=TRY_AGAIN) if CONF.shelved_offload_time >= 0 else None
    task.set(task_state=None, fault=instances.fault(error), due_at=again)


# -- and back ------------------------------------------------------------------

def is_offloaded(task: Task) -> bool:
    """Told by the API, as the state of the server changes on the way."""
    return bool(task.data.get('offloaded'))


def on_its_host(task: Task) -> bool:
    return not is_offloaded(task)


def find_image(task: Task) -> Outcome:
    """What it boots from; nothing for a server whose disk is a volume, or is there."""
    instance = task.instance
    assert instance is not None
    if not is_offloaded(task):
        task.set(task_state=TaskState.POWERING_ON)
        return {}
    _check_doubt(task)
    wanted = {'image': instance.system_metadata.get(IMAGE), 'kernel': instance.kernel_id,
              'ramdisk': instance.ramdisk_id}
    found: dict[str, Any] = {}
    for part, image_id in wanted.items():
        try:
            found[part] = to_primitive(image.load().show(task.context, str(image_id))) if image_id else None
        except exception.ImageNotFound:
            raise StepFailed(f'Unshelve attempted but the image {image_id} cannot be found.', code=404) from None
    return found


def _check_doubt(task: Task) -> None:
    """A host that fell silent in the middle of an unshelve may have the guest running: nobody starts a second one
    before it has come back and cleaned up, or somebody has said that it is dead. Raises StepFailed."""
    said = task.instance.system_metadata.get(DOUBT) if task.instance else None
    hosts = [said] if isinstance(said, str) else said or []
    if not hosts:
        return
    with session.read() as conn:
        owing = {host for host, uuid in owed.of_hosts(conn, hosts) if uuid == task.uuid}
        said_dead = {host for host in owing if any(
            service.forced_down for service in services.every(conn, host=host, binary=servicegroup.COMPUTE))}
    if owing - said_dead:
        raise StepFailed('The host that it was last unshelved on is silent and may be running it: it can be unshelved '
                         'when that host is back, or when an administrator has forced it down.', code=409)


def power_on(task: Task) -> Asked:
    return task.ask('power_on')


def powered_on(task: Task) -> dict[str, Any]:
    assert task.report is not None
    task.set(vm_state=VMState.ACTIVE, power_state=task.report.result.get('power_state', 1), fault=None)
    return {}


def choose_host(task: Task) -> Outcome:
    """Claim room. (The engine calls `choose_hosts`; this is its form for one.)"""
    outcome = choose_hosts([task])[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def choose_hosts(tasks: Sequence[Task]) -> list[Outcome | Exception]:
    """Where it was forced to at its birth binds it no more; the host that was asked for now does."""
    for task in tasks:
        if task.spec is not None and task.instance is not None:
            task.spec.flavor = task.instance.flavor
            task.spec.force_host = task.spec.force_node = task.spec.requested_node = None
            task.spec.requested_host = task.data.get('host')
            task.spec.num_instances = 1
    return build.schedule_many(tasks)


def connects(task: Task) -> bool:
    return is_offloaded(task) and connections.concerned(task)


def has_network(task: Task) -> bool:
    return is_offloaded(task) and task.instance is not None and bool(task.instance.network_info)


def bind_ports(task: Task) -> Outcome:
    """Its cards and addresses are its own still; they go with it to the new host."""
    instance = task.instance
    assert instance is not None
    if CONF.network_backend == 'local':
        task.on_commit(functools.partial(networks.move_ports, instance_uuid=instance.uuid, host=instance.host))
        return {}
    try:
        return ports.bind(task, str(instance.host))
    except exception.PortBindingFailed as error:
        raise Reschedule(str(error)) from None


def spawn_from_image(task: Task) -> Asked:
    return build.spawn(task)


def spawned_from_image(task: Task) -> dict[str, Any]:
    assert task.report is not None
    build.note_recovered(task)
    attach.volumes_came_with_it(task)
    return {'power_state': task.report.result.get('power_state', PowerState.RUNNING)}


def let_run(task: Task) -> Outcome:
    """Where no port was waited for it runs already."""
    if ports.awaited(task):
        return ports.let_run(task)
    task.set(vm_state=VMState.ACTIVE, power_state=task.data.get('power_state', PowerState.RUNNING),
             launched_at=utcnow(), fault=None)
    return {}


def has_image(task: Task) -> bool:
    """For the deletion of a server that is on the shelf."""
    return task.instance is not None and bool(task.instance.system_metadata.get(IMAGE))


def forget_image(task: Task) -> Outcome:
    """The image of the shelf is not needed any more. One that its owner protects, or that others stand on,
    stays, and the log says so; an image service that is away is told later."""
    instance = task.instance
    assert instance is not None
    if image_id := instance.system_metadata.get(IMAGE):
        try:
            image.load().delete(task.context, image_id)
        except exception.ImageNotFound:
            pass
        except exception.NeighbourUnavailable as error:
            task.notes = f'owed: {error}'
            task.on_commit(functools.partial(owed.add_debt, service='glance', instance_uuid=task.uuid,
                                             verb=f'image {image_id}', data={}, reason=str(error)))
        except exception.ComputeException as error:
            task.notes = str(error)
    task.set(due_at=None)
    leave(task, **dict.fromkeys((IMAGE, HOST, AT, DOUBT)))
    return {}


def unshelve_failed(task: Task, error: dict[str, Any]) -> None:
    """It is on the shelf still, unless there is nothing on it. A host that could not be asked to remove it may have it
    running, whatever ended the unshelve."""
    if hosts := [host for host in task.data.get('unreached', ()) if host]:
        leave(task, **{DOUBT: hosts[0] if len(hosts) == 1 else hosts})      # an older conductor reads one name alone
    if error.get('cancelled'):
        return
    task.set(task_state=None, fault=instances.fault(error))
    if is_offloaded(task):
        lost = error.get('step') == 'find_image' and error.get('code') == 404
        task.set(vm_state=VMState.ERROR if lost else VMState.SHELVED_OFFLOADED, host=None, node=None)


SHELVE = Flow(
    'shelve',
    Step(have_image, undo=snapshot.discard_image, debts=snapshot.image_left, when=snapshot.wanted),
    Step(power_off_guest, undo=power_on_again, undo_owes=False, undo_late=is_active, done=powered_off, when=runs),
    *snapshot.TO_SEND,
    # The disks go next: from here on the image is the server.
    Step(put_on_shelf, pivot=True),
    Step(offload, when=offloads_at_once, owed_when_down=True),
    Step(connections.reserve_again, when=leaves_volumes, debts=connections.left, owed_when_down=True),
    Step(unbind_ports, when=leaves_ports, debts=ports.misbound, owed_when_down=True),
    finished=shelved, failed=shelve_failed)

SHELVE_OFFLOAD = Flow('shelve_offload', Step(offload, owed_when_down=True),
                      Step(connections.reserve_again, when=connections.concerned, debts=connections.left,
                           owed_when_down=True),
                      Step(unbind_ports, when=ports.has_ports, debts=ports.misbound, owed_when_down=True),
                      finished=offloaded, failed=offload_failed)

UNSHELVE = Flow(
    'unshelve',
    Step(find_image),
    Step(power_on, done=powered_on, when=on_its_host),
    Step(choose_host, undo=build.release_claim, retry=lambda: CONF.scheduler.max_attempts, many=choose_hosts,
         when=is_offloaded),
    Step(bind_ports, undo=leave_ports, debts=ports.misbound, when=has_network),
    Step(connections.ask_connector, done=connections.told, when=connects),
    Step(connections.connect_volumes, undo=connections.reserve_again, debts=connections.left, when=connects),
    Step(spawn_from_image, undo=build.destroy, done=spawned_from_image, when=is_offloaded, deadline=snapshot.copying),
    Step(ports.wait_for_ports, many=ports.look_at_ports, when=ports.awaited),
    # It runs: an image that cannot be deleted is no reason to take it down again.
    Step(let_run, done=build.runs, pivot=True, when=is_offloaded),
    Step(connections.complete_volumes, debts=connections.left, owed_when_down=True, when=connects),
    Step(forget_image),
    finished=build.built, failed=unshelve_failed, with_spec=True)
