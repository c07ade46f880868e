"""A server whose root disk is a volume is rebuilt: the volume gets the content of the image, where it is.

    check_host --> free_root --> fill_volume --> rebuild                       a local volume: its host fills the file
                       |
                  start_again

    check_host --> ask_connector --> free_root --> reserve_root --> leave_root   a volume service fills its own, which
                                         |              |                        no host may use meanwhile
                                    start_again    connect_again
               --> order_reimage --> await_reimage --> connect_volumes --> rebuild --> complete_volumes

What is wrong with the request, the host or the image shows before a byte of the volume is written: then the server is
what it was, and runs if it ran. Afterwards it is in ERROR with the reason, keeps its volume, and may be rebuilt again.
The service says that it is done by the event volume-reimaged, which rings this flow; as events get lost it also looks.
Before microversion 2.93 (`reimage` is not set) the volume keeps its content, and the domain alone is made anew:

    check_host --> check_guest --> rebuild
"""
from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor.flow import Flow, Later, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import connections, snapshot
from minicompute.conductor.flows import rebuild as plain
from minicompute.conductor.flows.shared import deleted, is_active
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.objects import BlockDevice, ImageMeta, PowerState, TaskState, VMState, from_primitive
from minicompute.volume import base as volume
from minicompute.volume import remote

GIB = 1 << 30
#: what a volume is while its service fills it, and when it has failed at that
FILLING, BROKEN = 'downloading', 'error'
#: of the action's data: the content may not be what it was; the root volume is connected again as it was
TOUCHED, BACK = 'touched', 'back'
#: steps that may fail while the host still has its hold on the volume
BEFORE = frozenset(('check_host', 'check_guest', 'fetch_image', 'ask_connector', 'free_root'))


def reimages(task: Task) -> bool:
    return bool(task.data.get('reimage'))


def fills_here(task: Task) -> bool:
    return reimages(task) and remote.load() is None


def fills_there(task: Task) -> bool:
    return reimages(task) and connections.concerned(task)


def _root(task: Task) -> BlockDevice:
    for device in task.instance.block_devices if task.instance else ():
        if device.uuid == task.data['bdm']:
            return device
    raise StepFailed('the volume is not attached to the server any more', code=404)


def _image(task: Task) -> ImageMeta:
    meta: ImageMeta = from_primitive(task.data['image'])
    return meta


def keeps_content(task: Task) -> bool:
    return not reimages(task)


def check_guest(task: Task) -> Outcome:
    """Whether its host has what the image asks for. Where the content changes an earlier step finds out."""
    return task.ask('check_rebuild')


# -- nobody uses it ------------------------------------------------------------------

def free_root(task: Task) -> Outcome:
    """The guest is off, and its host has let the volume go."""
    return task.ask('free_root', device=_root(task), timeout=task.data.get('timeout', CONF.shutdown_timeout))


def start_again(task: Task) -> Outcome:
    """What was not touched runs on, if it ran."""
    instance = task.instance
    if instance is None or not reimages(task) or instance.vm_state != VMState.ACTIVE or not instance.host:
        return {}
    return {} if deleted(task) or task.data.get(TOUCHED) or _is_cut_off(task) else task.ask('power_on')


def _is_cut_off(task: Task) -> bool:
    """Whether the service has the volume reserved for the server, and no host connected to it."""
    failed_at = (task.data.get('error') or {}).get('step')
    return fills_there(task) and failed_at not in BEFORE and not task.data.get(BACK)


def reserve_root(task: Task) -> Outcome:
    """A second hold on it, of no host, before the host's goes: nobody else gets it in between."""
    connections.reserve_beside(task)
    return {}


def connect_again(task: Task) -> Outcome:
    if not fills_there(task) or connections.in_doubt(task) or task.data.get(TOUCHED) or deleted(task):
        return {}
    connections.connect_volumes(task)
    connections.complete_volumes(task)
    return {BACK: True}


def leave_root(task: Task) -> Outcome:
    """The hold of the host, which the record does not name any more."""
    return connections.give_back_rest(task)


# -- it is filled --------------------------------------------------------------------

def order_reimage(task: Task) -> Outcome:
    """An order whose answer is lost is found by what the volume does."""
    backend = remote.load()
    if backend is None:
        return {}
    volume_id = str(_root(task).volume_id)
    try:
        if backend.show(admin_context(), volume_id).status != FILLING:
            backend.reimage(volume_id, str(_image(task).id))
    except exception.NeighbourUnavailable:
        task.data[TOUCHED] = True
        raise
    except (exception.InvalidVolume, exception.Forbidden) as error:
        if backend.show(admin_context(), volume_id).status != FILLING:
            raise StepFailed(f'Failed to rebuild volume backed instance: {error}', code=400) from None
    task.set(task_state=TaskState.REBUILD_BLOCK_DEVICE_MAPPING)
    return {TOUCHED: True}


def await_reimage(task: Task) -> Outcome:
    backend = remote.load()
    if backend is None:
        return {}
    found = backend.show(admin_context(), str(_root(task).volume_id))
    if found.status not in (FILLING, BROKEN):
        task.set(task_state=TaskState.REBUILD_SPAWNING)
        return {}
    most = CONF.reimage_timeout_per_gb * max(1, -(-(_image(task).size or 0) // GIB))
    since = task.action.updated_at or session.utcnow()
    if found.status == BROKEN:
        raise StepFailed(f'Failed to rebuild volume backed instance: volume {found.id} is in status {BROKEN}.')
    if (session.utcnow() - since).total_seconds() > most:
        raise StepFailed(f'Failed to rebuild volume backed instance: volume {found.id} is {FILLING} still after '
                         f'{most} seconds.')
    raise Later(CONF.block_device_allocate_retries_interval, f'volume {found.id} is {FILLING}')


def fill_volume(task: Task) -> Outcome:
    """The old content is there until the new one is whole."""
    if not fills_here(task):
        return {}
    return task.ask('fill_volume', device=_root(task), image=_image(task))


def filled(task: Task) -> dict[str, Any]:
    task.set(task_state=TaskState.REBUILD_SPAWNING)
    _note(task)     # whatever becomes of the server, that is what the volume has now
    return {TOUCHED: True}


# -- how it ends -----------------------------------------------------------------------

def rebuilt(task: Task) -> dict[str, Any]:
    if reimages(task):
        _note(task)
    return plain.rebuilt(task)


def _note(task: Task) -> None:
    task.on_commit(functools.partial(_note_content, volume_id=str(_root(task).volume_id),
                                     properties=task.data.get('properties') or {}))


def _note_content(conn: sa.Connection, volume_id: str, properties: dict[str, Any]) -> None:
    volume.load().reimaged(conn, volume_id, properties)


def failed(task: Task, error: dict[str, Any]) -> None:
    touched = bool(task.data.get(TOUCHED)) or error.get('step') == plain.rebuild.__name__
    if not touched:
        plain.as_before(task)
    if error.get('cancelled'):
        return
    task.set(task_state=None, fault=instances.fault(error))
    if touched or _is_cut_off(task) or (connections.in_doubt(task) and error.get('step') not in BEFORE):
        task.set(vm_state=VMState.ERROR)
        if error.get('step') not in (plain.rebuild.__name__, connections.complete_volumes.__name__):
            task.set(power_state=PowerState.SHUTDOWN)


REBUILD_VOLUME = Flow(
    'rebuild_volume',
    Step(plain.check_host),
    Step(check_guest, when=keeps_content, newer=True),
    Step(plain.fetch_image, when=fills_here, deadline=snapshot.copying),
    Step(connections.ask_connector, done=connections.told, when=fills_there),
    Step(free_root, undo=start_again, undo_owes=False, undo_late=is_active, when=reimages),
    Step(reserve_root, undo=connect_again, debts=connections.left, when=fills_there),
    Step(leave_root, when=fills_there),
    Step(order_reimage, when=fills_there),
    Step(await_reimage, when=fills_there),
    Step(fill_volume, done=filled, when=fills_here, deadline=snapshot.copying),
    Step(connections.connect_volumes, when=fills_there),
    Step(plain.rebuild, done=rebuilt, deadline=lambda: CONF.conductor.build_deadline),
    Step(connections.complete_volumes, debts=connections.left, owed_when_down=True, when=fills_there),
    finished=plain.finished, failed=failed, with_spec=True)
