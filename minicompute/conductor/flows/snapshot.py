"""The root disk of a server becomes an image: createImage and createBackup.

    reserve_image --> extract --> send_image --> activate_image --> rotate_backups
          |              |
    discard_image   drop_extract     (undo, right to left)

The API has reserved the image, with the action, in one transaction.  `extract` copies the disk as it is at one moment
into a file beside it, which the guest does not notice; `send_image` gives that to the image service; then the row
becomes active.  Whatever breaks it off before leaves no image.  A backup ends with the removal of the oldest ones.
"""
from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conductor.flow import Asked, Debt, Flow, Outcome, Step, Task
from minicompute.conf import CONF
from minicompute.db.api import instances
from minicompute.image import base as image
from minicompute.objects import TaskState

LOG = logging.getLogger(__name__)

#: what the server says while its disk is copied, and while the copy is sent
_STATES = {'shelve': (TaskState.SHELVING_IMAGE_PENDING_UPLOAD, TaskState.SHELVING_IMAGE_UPLOADING)}
_USUAL = (TaskState.IMAGE_PENDING_UPLOAD, TaskState.IMAGE_UPLOADING)


def copying() -> int:
    """The deadline of steps that copy a disk."""
    seconds: int = CONF.conductor.image_deadline
    return seconds


def _states(task: Task) -> tuple[str, str]:
    return _STATES.get(task.action.flow, _USUAL)


def wanted(task: Task) -> bool:
    """A server whose root disk is a volume is shelved without an image."""
    return bool(task.data.get('image_id'))


def reserve_image(task: Task) -> Outcome:
    """The image is there already; this is the step that unwinding ends with."""
    task.set(task_state=_states(task)[0])
    return {}


def discard_image(task: Task) -> Outcome:
    if wanted(task):
        image.load().discard(task.data['image_id'])
    return {}


def image_left(task: Task) -> list[Debt]:
    return [Debt('glance', 'image', task.data['image_id'])] if wanted(task) else []


def extract(task: Task) -> Asked:
    return task.ask('extract', image_id=task.data['image_id'])


def extracted(task: Task) -> dict[str, Any]:
    task.set(task_state=_states(task)[1])
    return {}


def drop_extract(task: Task) -> Outcome:
    if task.instance is None or not task.instance.host or not wanted(task):
        return {}
    return task.ask('drop_extract', image_id=task.data['image_id'])


def send_image(task: Task) -> Asked:
    return task.ask('send_image', image_id=task.data['image_id'])


def sent(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return {'image': task.report.result['image']}


def activate_image(task: Task) -> Outcome:
    """Raises ImageNotFound when its owner has deleted it meanwhile."""
    write = image.load().finish(task.data['image_id'], task.data['image'])
    if write is not None:
        task.on_commit(write)
    return {}


def rotates(task: Task) -> bool:
    return task.data.get('rotation') is not None


def rotate_backups(task: Task) -> Outcome:
    """Only the newest backups of this kind stay, as many as were asked for. One that cannot be deleted (it is
    protected, or others stand on it) is named in the action log, and keeps nobody from the others."""
    said = {'image_type': 'backup', 'backup_type': task.data['backup_type'], 'instance_uuid': task.uuid}
    backend, kept = image.load(), []
    found = backend.list(task.context, filters={
        'owner': task.action.project_id, 'status': 'active', 'properties': said})      # the newest first
    for old in found[int(task.data['rotation']):]:
        try:
            backend.delete(task.context, str(old.id))
        except exception.ImageNotFound:
            continue
        except (exception.Forbidden, exception.Conflict) as error:
            LOG.info('A backup of instance %s stays: %s', task.uuid, error)
            kept.append(str(old.id))
    if kept:
        task.notes = f'not deleted: {", ".join(kept)}'
    return {}


def finished(task: Task) -> None:
    task.set(task_state=None)


def failed(task: Task, error: dict[str, Any]) -> None:
    """The server is what it was; why there is no image stands in the action log."""
    if not error.get('cancelled'):
        task.set(task_state=None, fault=instances.fault(error))


#: what a shelve has in common with these
TO_SEND = (
    Step(reserve_image, undo=discard_image, debts=image_left, when=wanted),
    Step(extract, undo=drop_extract, undo_owes=False, done=extracted, deadline=copying, when=wanted),
    Step(send_image, done=sent, deadline=copying, when=wanted))

SNAPSHOT = Flow(
    'snapshot', *TO_SEND,
    # A backup that is there must not go because an older one could not be rotated out.
    Step(activate_image, pivot=True),
    # Nor is it held up for long by an image service that is away: the next backup rotates again.
    Step(rotate_backups, when=rotates, debts=lambda task: [], owed_when_down=True),
    finished=finished, failed=failed)
