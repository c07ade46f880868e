"""The volumes of a server become snapshots, and an image names them: createImage of a server that boots from a volume.

    reserve_image --> copy_volumes --> activate
          |               |
    discard_image     drop_copies     (undo, right to left)

The API has reserved the image and the snapshots, with the action, in one transaction.  `copy_volumes` copies all
volumes as they are at one moment, which the guest does not notice.  Then image and snapshots are there, in one
transaction again; whatever breaks it off before leaves none of them.

Snapshots of a volume service were ordered by the API, as the user; here they are waited for (`await_copies`).
"""
from __future__ import annotations

import functools

import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor.flow import Asked, Debt, Flow, Later, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import connections, snapshot
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.image import base as image
from minicompute.objects import VolumeStatus
from minicompute.volume import base as volume
from minicompute.volume import remote

#: an image of no bytes, as Glance has it of Nova's
EMPTY = {'size': 0, 'virtual_size': 0, 'disk_format': 'raw', 'container_format': 'bare'}


def _snapshots(task: Task) -> list[str]:
    return sorted(task.data['copies'].values())


def reserve_image(task: Task) -> Outcome:
    return snapshot.reserve_image(task)


def discard_image(task: Task) -> Outcome:
    """A service deletes no snapshot that it still makes, and is owed that."""
    snapshot.discard_image(task)
    if made_here(task):
        volume.load().discard_snapshots(_snapshots(task))
    for one in _snapshots(task) if made_there(task) else ():
        try:
            volume.load().discard_snapshots([one])
        except exception.InvalidVolume as error:
            connections.owe(task, [Debt('cinder', 'snapshot', one)], str(error))
    return {}


def copy_volumes(task: Task) -> Asked:
    return task.ask('copy_volumes', copies=task.data['copies'])


def made_here(task: Task) -> bool:
    """By the server's host; a volume service makes them itself."""
    return remote.load() is None


def made_there(task: Task) -> bool:
    return not made_here(task)


def await_copies(task: Task) -> Outcome:
    """The API has ordered them, as the user who asked for the image."""
    wanted = _snapshots(task) if made_there(task) else []
    found = volume.load().show_snapshots(admin_context(), wanted)
    for one in wanted:
        if one not in found or found[one].status.startswith('error'):
            raise StepFailed(f'Snapshot {one} could not be made: '
                             f'{"it is gone" if one not in found else "its status is " + found[one].status}.')
    if any(one.status != VolumeStatus.AVAILABLE for one in found.values()):
        began = task.action.updated_at or session.utcnow()
        if (session.utcnow() - began).total_seconds() > snapshot.copying():
            raise StepFailed(f'The snapshots were not made in {snapshot.copying()} seconds.')
        raise Later(CONF.block_device_allocate_retries_interval)
    return {}


def left(task: Task) -> list[Debt]:
    """What a service that is away is to delete."""
    snapshots = [Debt('cinder', 'snapshot', one) for one in _snapshots(task)] if made_there(task) else []
    return [*snapshot.image_left(task), *snapshots]


def drop_copies(task: Task) -> Outcome:
    """The files go with the rows; here it is the host that has to end what it copies."""
    if task.instance is None or not task.instance.host or made_there(task):
        return {}
    return task.ask('drop_copies', copies=task.data['copies'])


def activate(task: Task) -> Outcome:
    """Raises ImageNotFound when its owner has deleted it meanwhile."""
    task.on_commit(functools.partial(_made, ids=_snapshots(task)))
    write = image.load().finish(task.data['image_id'], EMPTY)
    if write is not None:
        task.on_commit(write)
    return {}


def _made(conn: sa.Connection, ids: list[str]) -> None:
    volume.load().snapshots_made(conn, ids)


SNAPSHOT_VOLUMES = Flow(
    'snapshot_volumes',
    Step(reserve_image, undo=discard_image, debts=left),
    Step(await_copies, when=made_there),
    Step(copy_volumes, when=made_here, undo=drop_copies, undo_owes=False, deadline=snapshot.copying),
    Step(activate, pivot=True),
    finished=snapshot.finished, failed=snapshot.failed)
