"""A server is made anew on another host, because its own is lost.

    claim_destination --> look_at_disks --> bind_ports --> rebuild_there --> switch | take_over --> clean_source
           |                                    |              |            (pivot)  (shared disks)
       drop_claim                         bind_back      remove_there

Never while its host still reports, unless an operator says that it is down: the guest would run twice. The lost
host owes the removal of what it has: it pays when it is back, before it takes any work.
"""
from __future__ import annotations

import dataclasses
import functools
from typing import Any

import sqlalchemy as sa

from minicompute import exception, servicegroup
from minicompute.conductor.flow import Asked, Flow, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import connections, move, ports
from minicompute.conductor.settle import owe
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances, owed, returned, undecided
from minicompute.db.session import utcnow
from minicompute.image import base as image
from minicompute.objects import ImageMeta, Instance, MigrationStatus, VMState


def claim_destination(task: Task) -> Outcome:
    _check_lost(task)
    data, instance = task.data, task.instance
    assert task.spec is not None and instance is not None
    spec = move.anywhere(dataclasses.replace(task.spec, flavor=instance.flavor), data.get('host'))
    if data.get('force'):
        spec.force_host, spec.requested_host = data['host'], None
    with session.read() as conn:
        other = undecided.other_host(conn, instance)    # which may have the guest as well
    facts = move.claim(task, spec, ignore=[move.source(task), *([other] if other else [])])
    move.note(task, status=MigrationStatus.PRE_MIGRATING)
    return facts


def _check_lost(task: Task) -> None:
    """Raises StepFailed when the host is back: its guest may run."""
    assert task.instance is not None
    with session.read() as conn:
        for host in (move.source(task), undecided.other_host(conn, task.instance)):
            if host and not servicegroup.down_hosts(conn, {host}):
                raise StepFailed(str(exception.ComputeServiceInUse(host=host)), code=400)


def look_at_disks(task: Task) -> Asked:
    return move.at_dest(task, 'evacuate_look', source=move.source(task), said=bool(task.data.get('said_shared')))


def looked(task: Task) -> dict[str, Any]:
    """Up to 2.13 the caller said whether the disks are shared; that must be right."""
    assert task.report is not None
    shared, said = bool(task.report.result['shared']), task.data.get('said_shared')
    if said is not None and bool(said) != shared:
        raise StepFailed(str(exception.InvalidSharedStorage(
            path=f'Instance {task.uuid}', reason='Invalid state of instance files on shared storage')), code=400)
    return {'shared': shared}


def rebuild_there(task: Task) -> Outcome:
    _check_lost(task)
    one, shared = task.instance, bool(task.data['shared'])
    assert one is not None
    args: dict[str, Any] = {'shared': shared, 'start': not task.data.get('stopped'), 'source': move.source(task)}
    if not shared:
        args |= {name: _image(task, ref) for name, ref in (
            ('image', '' if _on_volume(one) else one.image_ref), ('kernel', one.kernel_id),
            ('ramdisk', one.ramdisk_id))}
        args['admin_password'] = (task.data.get('secret') or {}).get('admin_password')
    if waits(task):
        args['paused'] = True
    return move.at_dest(task, 'evacuate_make', **args)


def waits(task: Task) -> bool:
    """The guest is to run, once its ports are ready. Those of a guest that stays off are not: it has no taps."""
    return ports.awaited(task) and not task.data.get('stopped')


def let_run(task: Task) -> Outcome:
    return {} if task.data.get('stopped') else move.at_dest(task, 'unpause')


def runs(task: Task) -> dict[str, Any]:
    return {'power_state': task.report.result['power_state']} if task.report is not None else {}


def _on_volume(one: Instance) -> bool:
    """Whether the disk that it boots from is there, wherever it runs."""
    return any(device.boot_index == 0 and device.destination_type == 'volume' for device in one.block_devices)


def _image(task: Task, ref: str) -> ImageMeta | None:
    """Raises ImageNotFound: without it there is nothing to make the disk of."""
    return image.load().show(task.context, ref) if ref else None


def rebuilt(task: Task) -> dict[str, Any]:
    """What the destination owed of this server is settled: it has it anew."""
    assert task.report is not None
    task.on_commit(functools.partial(_forgive, host=move.dest(task), uuid=task.uuid))
    return {'power_state': task.report.result['power_state']}


def _forgive(conn: sa.Connection, host: str, uuid: str) -> None:
    owed.paid(conn, host, [uuid])
    returned.complete_evacuations(conn, host, [uuid])


def remove_there(task: Task) -> Outcome:
    if 'dest' not in task.data:
        return {}
    return move.at_dest(task, 'evacuate_unmake', shared=bool(task.data.get('shared')), source=move.source(task))


def switch(task: Task) -> Outcome:
    stopped = bool(task.data.get('stopped'))
    return move.switch(task, vm_state=VMState.STOPPED if stopped else VMState.ACTIVE, launched_at=utcnow(),
                       power_state=task.data['power_state'])


def is_shared(task: Task) -> bool:
    return bool(task.data.get('shared'))


def take_over(task: Task) -> Asked:
    """The disks are the destination's: the lost host, back, must leave them alone. (The adoption has said so already,
    but a destination that was lost itself may have given them back.)"""
    return move.at_dest(task, 'evacuate_take_over', source=move.source(task))


def clean_source(task: Task) -> Asked:
    return move.at_source(task, 'evacuate_clean')


def cleaned(task: Task) -> dict[str, Any]:
    """What a host that is back cannot remove at once it owes like one that is not."""
    assert task.report is not None
    if why := task.report.result.get('left'):
        owe(task, str(why))
        return {}
    return {'cleaned': True}


def finished(task: Task) -> None:
    """`done` while the lost host owes its part, then `completed`: Nova's words."""
    move.release(task)
    move.note(task, status=MigrationStatus.COMPLETED if task.data.get('cleaned') else MigrationStatus.DONE)
    task.set(task_state=None, fault=None)


def failed(task: Task, error: dict[str, Any]) -> None:
    move.note(task, status=MigrationStatus.ERROR)
    if not error.get('cancelled'):
        task.set(vm_state=VMState.ERROR, task_state=None, fault=instances.fault(error))


EVACUATE = Flow(
    'evacuate',
    Step(claim_destination, undo=move.drop_claim),
    Step(look_at_disks, done=looked),
    *connections.TO_CONNECT_THERE,
    Step(move.bind_ports, undo=move.bind_back, when=ports.has_ports, debts=ports.misbound),
    Step(rebuild_there, undo=remove_there, done=rebuilt, deadline=lambda: CONF.conductor.build_deadline),
    Step(ports.wait_for_ports, many=ports.look_at_ports, when=waits),
    Step(let_run, done=runs, when=waits),
    Step(switch, pivot=True),
    Step(take_over, when=is_shared, owed_when_down=True),
    Step(clean_source, done=cleaned, owed_when_down=True),
    *connections.TO_LEAVE,
    finished=finished, failed=failed, with_spec=True)
