"""A server is built.

    schedule --> allocate_networks --> spawn --> wait_for_ports --> let_run
       |               |                 |          (ports of another service: the guest is made, and does not run yet)
    release_claim  release_networks   destroy          (undo, right to left)

The first server's action schedules for all of one multi-create request: all find a place or none does.
Then each goes its own way. A build that fails for a reason of its host starts again at `schedule`
without that host; one whose host went silent is not tried elsewhere, as it may be running there: it
fails, and the host removes what it has when it is back.
"""
from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor.flow import Asked, Flow, Later, Outcome, Reschedule, Step, StepFailed, Task
from minicompute.conductor.flows import attach, connections, ordered, ports
from minicompute.conf import CONF
from minicompute.db.api import allocations, compute_nodes, groups_of_actions, instances
from minicompute.db.session import utcnow
from minicompute.network import base as network
from minicompute.objects import Selection, TaskState, VMState, from_primitive
from minicompute.scheduler.rpcapi import SchedulerAPI

#: seconds that a scheduler has for one batch
SCHEDULER_TIMEOUT = 10


def schedule(task: Task) -> Outcome:
    """Claim a host. (The engine calls `schedule_many`; this is its form for one.)"""
    outcome = schedule_many([task])[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def schedule_many(tasks: Sequence[Task]) -> list[Outcome | Exception]:
    """One call for all: the scheduler places them in few transactions. Only half of the workers may wait
    for a scheduler, so that one that is away does not keep reports and deletes from being written."""
    if not _waiting_room().acquire(blocking=False):
        return [Later(0.05)] * len(tasks)
    try:
        good = [task for task in tasks if task.spec is not None]
        requests = [_request(task) for task in good]
        answers = SchedulerAPI().select_destinations(tasks[0].context, requests, timeout=SCHEDULER_TIMEOUT)
        placed = {task.action.id: _placed(task, answer) for task, answer in zip(good, answers, strict=True)}
    finally:
        _waiting_room().release()
    return [placed.get(task.action.id, StepFailed('the request of the server is not in the records'))
            for task in tasks]


@functools.cache
def _waiting_room() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(max(1, CONF.conductor.workers // 2))


def _request(task: Task) -> dict[str, Any]:
    assert task.spec is not None
    task.spec.ignore_hosts = list(task.data.get('tried', ()))
    return {'key': task.action.id, 'spec': task.spec, 'instance_uuids': _group(task), 'dry_run': False}


def _group(task: Task) -> list[str]:
    return task.data.get('group') or [task.uuid]


def _placed(task: Task, answer: dict[str, Any]) -> Outcome | Exception:
    selections: list[Selection] | None = answer['selections']
    if not selections and not task.steady() and some_were_down(answer['funnel']):
        return Later(1.0)   # they may only be unheard: the broker was away, or all have just started
    task.data.setdefault('funnels', []).append(answer['funnel'])   # one an attempt, kept also when it fails
    if not selections:
        reason = str(exception.NoValidHost(reason=answer['reason'] or ''))
        # That there is no other host says nothing of what was wrong with the one that there was.
        last = (task.data.get('error') or {}).get('message') if task.data.get('tried') else None
        return StepFailed(f'{reason} The last one that was tried: {last}' if last else reason, code=500)
    by_uuid = {selection.instance_uuid: selection for selection in selections}
    _occupy(task, by_uuid.pop(task.uuid))
    if by_uuid:
        task.on_commit(functools.partial(groups_of_actions.release_placed, leader=task.action.id,
                                         step=_next_step(task), places=by_uuid))
    task.data.pop('group', None)
    return {}


def some_were_down(funnel: dict[str, Any]) -> bool:
    """Whether hosts were left out because they do not report."""
    before = funnel['total']
    for name, left in funnel['stages']:
        if name == 'ComputeFilter':
            return bool(left < before)
        before = left
    return False


def _next_step(task: Task) -> str:
    if wants_network(task):
        return 'allocate_networks'
    return 'await_volumes' if connections.concerned(task) else 'spawn'


def _occupy(task: Task, place: Selection) -> None:
    task.set(host=place.host, node=place.node, task_state=TaskState.SPAWNING,
             availability_zone=place.availability_zone or (task.instance and task.instance.availability_zone))


def release_claim(task: Task) -> Outcome:
    host = task.instance.host if task.instance else None
    if host and not task.data.get('error', {}).get('cancelled'):
        task.gather(compute_nodes.bump_failed_builds, host)
    task.set(host=None, node=None)
    task.gather(_release, _group(task))
    return {}


def _release(conn: sa.Connection, groups: list[list[str]]) -> None:
    allocations.release(conn, [uuid for group in groups for uuid in group])


def wants_network(task: Task) -> bool:
    return task.spec is not None and task.spec.requested_networks != [{'mode': 'none'}]


def allocate_networks(task: Task) -> Outcome:
    instance, spec = task.instance, task.spec
    assert instance is not None and spec is not None
    try:
        vifs = network.load().allocate(
            task.context, instance_uuid=instance.uuid, project_id=instance.project_id, host=instance.host,
            requested=spec.requested_networks, zone=instance.availability_zone, hostname=instance.hostname,
            groups=spec.security_groups)
    except exception.PortBindingFailed as error:
        raise Reschedule(str(error)) from None
    ports.not_owed(task)
    task.set(network_info=vifs)
    return ports.to_await(vifs)


def release_networks(task: Task) -> Outcome:
    ports.release(task)
    task.set(network_info=[])
    return {}


def spawn(task: Task) -> Asked:
    secret = task.data.get('secret') or {}
    images = {name: from_primitive(task.data.get(name)) for name in ('image', 'kernel', 'ramdisk')}
    waits: dict[str, Any] = {'paused': True} if ports.awaited(task) else {}
    return task.ask('spawn', admin_password=secret.get('admin_password'), files=secret.get('files') or {}, **images,
                    **waits)


def spawned(task: Task) -> dict[str, Any]:
    note_recovered(task)
    if not ports.awaited(task):
        runs(task)
    attach.volumes_came_with_it(task)
    return {}


def note_recovered(task: Task) -> None:
    assert task.report is not None
    if task.report.result.get('recovered'):
        task.gather(compute_nodes.reset_failed_builds, task.report.host)


def runs(task: Task) -> dict[str, Any]:
    assert task.report is not None
    task.set(vm_state=VMState.ACTIVE, power_state=task.report.result.get('power_state', 1), launched_at=utcnow(),
             fault=None)
    return {}


def destroy(task: Task) -> Outcome:
    """Remove what the spawn may have left."""
    if task.instance is None or not task.instance.host:
        return {}
    return task.ask('destroy')


def built(task: Task) -> None:
    task.set(task_state=None)


def failed(task: Task, error: dict[str, Any]) -> None:
    """The server, and those of its group that waited for its claim, are in ERROR with the reason."""
    if error.get('cancelled'):
        return   # a delete waits behind this action and has the last word
    fault = instances.fault(error)
    task.set(vm_state=VMState.ERROR, task_state=None, fault=fault, host=None, node=None)
    if task.data.get('group'):
        leader, message = task.action.id, str(error.get('message'))

        def fail_followers(conn: sa.Connection) -> None:
            groups_of_actions.fail_waiting(conn, leader, fault, message)
        task.on_commit(fail_followers)


BUILD = Flow(
    'build',
    Step(schedule, undo=release_claim, retry=lambda: CONF.scheduler.max_attempts, many=schedule_many),
    Step(allocate_networks, undo=release_networks, when=wants_network, debts=ports.unreleased),
    Step(ordered.await_volumes, when=connections.concerned),
    *connections.TO_CONNECT,
    Step(spawn, undo=destroy, done=spawned, deadline=lambda: CONF.conductor.build_deadline),
    Step(ports.wait_for_ports, many=ports.look_at_ports, when=ports.awaited),
    Step(ports.let_run, done=runs, when=ports.awaited),
    *connections.TO_COMPLETE,
    finished=built, failed=failed, with_spec=True)
