"""A server gets new disks where it stands, from its image or from another one.

    check_host --> fetch_image --> rebuild

The API has written the new image, name, key, ... with the action, so that whoever asks sees them.  What may be wrong
with the image shows before the old disks go: `check_host` asks the scheduler's filters about a new image, and
`fetch_image` has it inspected on the host, which also looks whether it has the hardware.  If either fails the server
runs on with the image that it had; if `rebuild` itself fails it is in ERROR, and may be rebuilt again.
"""
from __future__ import annotations

import dataclasses
import functools
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor.flow import Asked, Flow, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import snapshot
from minicompute.conf import CONF
from minicompute.db.api import instances
from minicompute.db.session import utcnow
from minicompute.objects import Flavor, RequestSpec, TaskState, VMState, from_primitive
from minicompute.scheduler.rpcapi import SchedulerAPI

SCHEDULER_TIMEOUT = 10
#: the filters that judge whether a host can run an image; the others judge whether it may take one more server
OF_IMAGES = frozenset(('ImagePropertiesFilter', 'IsolatedHostsFilter'))


def check_host(task: Task) -> Outcome:
    """Whether this host runs the new image. Raises StepFailed with NoValidHost's words."""
    instance = task.instance
    assert instance is not None
    if not task.data.get('new_image') or task.spec is None:
        return {}
    spec = dataclasses.replace(
        task.spec, flavor=Flavor('', '', 0, 0, 0), num_instances=1, availability_zone=None, force_host=None,
        force_node=None, requested_host=instance.host, requested_node=None, ignore_hosts=[], scheduler_hints={},
        group=None)
    entry = {'key': task.action.id, 'spec': spec, 'instance_uuids': [task.uuid], 'dry_run': True}
    answer = SchedulerAPI().select_destinations(task.context, [entry], timeout=SCHEDULER_TIMEOUT)[0]
    stages = (answer['funnel'] or {}).get('stages') or []
    refused = next((name for name, left in stages if not left), None)
    if answer['selections'] is None and refused in OF_IMAGES:
        raise StepFailed(str(exception.NoValidHost(reason=answer['reason'] or '')), code=400)
    return {}


def fetch_image(task: Task) -> Asked:
    return task.ask('fetch_image', image=from_primitive(task.data['image']))


def fetched(task: Task) -> dict[str, Any]:
    task.set(task_state=TaskState.REBUILD_SPAWNING)
    return {}


def rebuild(task: Task) -> Asked:
    secret = task.data.get('secret') or {}
    images = {name: from_primitive(task.data.get(name)) for name in ('image', 'kernel', 'ramdisk')}
    return task.ask('rebuild', admin_password=secret.get('admin_password'), files=secret.get('files') or {},
                    preserve_ephemeral=bool(task.data.get('preserve_ephemeral')), start=not _was_stopped(task),
                    timeout=task.data.get('timeout', CONF.shutdown_timeout), **images)


def _was_stopped(task: Task) -> bool:
    return task.instance is not None and task.instance.vm_state == VMState.STOPPED


def rebuilt(task: Task) -> dict[str, Any]:
    assert task.report is not None
    task.set(vm_state=VMState.STOPPED if _was_stopped(task) else VMState.ACTIVE, fault=None, launched_at=utcnow(),
             power_state=task.report.result.get('power_state', 0))
    return {}


def finished(task: Task) -> None:
    task.set(task_state=None)


def failed(task: Task, error: dict[str, Any]) -> None:
    """Before the disks are touched the server has the image that it had, whoever broke it off."""
    touched = error.get('step') == rebuild.__name__
    if not touched:
        as_before(task)
    if error.get('cancelled'):
        return
    task.set(task_state=None, fault=instances.fault(error))
    if touched:
        task.set(vm_state=VMState.ERROR)


def as_before(task: Task) -> None:
    before = task.data.get('before') or {}
    task.set(**before.get('columns', {}))
    if before.get('spec'):
        task.on_commit(functools.partial(put_back, uuid=task.uuid, spec=from_primitive(before['spec'])))


def put_back(conn: sa.Connection, uuid: str, spec: RequestSpec) -> None:
    """The image that the server was made from, in its request and among its disks."""
    instances.update(conn, uuid, {'request_spec': spec})
    instances.set_root_image(conn, uuid, spec.image_id)


REBUILD = Flow(
    'rebuild',
    Step(check_host),
    Step(fetch_image, done=fetched, deadline=snapshot.copying),
    Step(rebuild, done=rebuilt, deadline=lambda: CONF.conductor.build_deadline),
    finished=finished, failed=failed, with_spec=True)
