"""The volumes of a server become snapshots, and an image names them: createImage of a server that boots from a volume.

    reserve_image --> copy_volumes --> activate
          |               |
    discard_image     drop_copies     (undo, right to left)

The API has reserved the image and the snapshots, with the action, in one transaction.  `copy_volumes` copies all
volumes as they are at one moment, which the guest does not notice.  Then image and snapshots are there, in one
transaction again; whatever breaks it off before leaves none of them.
"""
from __future__ import annotations

import functools

import sqlalchemy as sa

from minicompute.conductor.flow import Asked, Flow, Outcome, Step, Task
from minicompute.conductor.flows import snapshot
from minicompute.image import base as image
from minicompute.volume import base as volume

#: an image of no bytes, as Glance has it of Nova's
EMPTY = {'size': 0, 'virtual_size': 0, 'disk_format': 'raw', 'container_format': 'bare'}


def _snapshots(task: Task) -> list[str]:
    return sorted(task.data['copies'].values())


def reserve_image(task: Task) -> Outcome:
    return snapshot.reserve_image(task)


def discard_image(task: Task) -> Outcome:
    volume.load().discard_snapshots(_snapshots(task))
    return snapshot.discard_image(task)


def copy_volumes(task: Task) -> Asked:
    return task.ask('copy_volumes', copies=task.data['copies'])


def drop_copies(task: Task) -> Outcome:
    """The files go with the rows; here it is the host that has to end what it copies."""
    if task.instance is None or not task.instance.host:
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
    Step(reserve_image, undo=discard_image, debts=snapshot.image_left),
    Step(copy_volumes, undo=drop_copies, undo_owes=False, deadline=snapshot.copying),
    Step(activate, pivot=True),
    finished=snapshot.finished, failed=snapshot.failed)
