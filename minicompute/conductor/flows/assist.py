"""A volume service whose volumes are files needs the host of a server that uses one: for snapshots of it.

    find_volume --> branch_volume* --> say_branched      the guest goes on in a new file, the old one is the snapshot
         |               |
    say_failed       ask_which                           (undo; a guest that has gone on is a success all the same)

    find_volume --> merge_volume*  --> say_merged        a file of the chain goes into its neighbour
         |
    say_failed

With `*` the point of no return: the service is told what became of it, also when it must be told later.
"""
from __future__ import annotations

import functools
from typing import Any

from minicompute import exception
from minicompute.conductor.flow import Asked, Debt, Flow, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import snapshot
from minicompute.conductor.flows.shared import deleted, given_up, silent
from minicompute.db.api import block_devices
from minicompute.objects import BlockDevice
from minicompute.volume import remote

#: what a snapshot is called when its host has done its part, and when it could not
_WORDS = {'branch_volume': ('creating', 'error'), 'merge_volume': ('deleting', 'error_deleting')}


def _find(task: Task) -> BlockDevice | None:
    devices = task.instance.block_devices if task.instance else ()
    return next((one for one in devices if one.volume_id == task.data.get('volume_id')), None)


def _device(task: Task) -> BlockDevice:
    found = _find(task)
    if found is None:
        raise StepFailed('the volume is not attached to the server any more', code=404)
    return found


def find_volume(task: Task) -> Outcome:
    _device(task)
    return {}


def branch_volume(task: Task) -> Asked:
    return task.ask('branch_volume', device=_device(task), new_file=task.data['new_file'])


def ask_which(task: Task) -> Outcome:
    """Which file the guest writes to only its host knows: a start with the other one would lose what it wrote."""
    instance = task.instance
    if instance is None or not instance.host or deleted(task) or _find(task) is None:
        return {}
    if given_up(task) and silent(task, instance.host):
        return {}
    return task.ask('volume_file', device=_device(task), new_file=task.data['new_file'])


def told_which(task: Task) -> dict[str, Any]:
    assert task.report is not None
    if _find(task) is None or task.report.result['connection'].get('name') != task.data['new_file']:
        return {}
    changed(task)
    return {'branched': True}


def merge_volume(task: Task) -> Asked:
    return task.ask('merge_volume', device=_device(task), top=task.data.get('top'), base=task.data.get('base'))


def changed(task: Task) -> dict[str, Any]:
    """The record names the file that the guest uses now."""
    assert task.report is not None
    one, info = _device(task), task.report.result['connection']
    one.connection_info = {**one.connection_info, block_devices.CONNECTION: info}
    task.on_commit(functools.partial(block_devices.update, uuid=str(one.uuid), connection_info=one.connection_info))
    return {}


def _say(task: Task, failed: bool) -> Outcome:
    backend = remote.load()
    if backend is not None and 'snapshot_id' in task.data:
        tell(task.data['snapshot_id'], {'status': _WORDS[task.action.flow][failed]})
    return {}


def say_branched(task: Task) -> Outcome:
    return _say(task, False)


def say_merged(task: Task) -> Outcome:
    return _say(task, False)


def say_failed(task: Task) -> Outcome:
    return _say(task, not task.data.get('branched'))


def good_news(task: Task) -> list[Debt]:
    return _news(task, False)


def bad_news(task: Task) -> list[Debt]:
    return _news(task, not task.data.get('branched'))


def _news(task: Task, failed: bool) -> list[Debt]:
    if 'snapshot_id' not in task.data:
        return []
    return [Debt('cinder', 'tell', task.data['snapshot_id'], {'status': _WORDS[task.action.flow][failed]})]


def tell(ref: str, data: dict[str, Any]) -> None:
    """A snapshot that is not waiting for this any more is no trouble."""
    backend = remote.load()
    if backend is not None:
        try:
            backend.snapshot_status(ref, str(data['status']))
        except (exception.InvalidVolume, exception.SnapshotNotFound):
            return


def _ended(task: Task, error: dict[str, Any]) -> None:
    """The server is what it was; the service knows."""


BRANCH_VOLUME = Flow(
    'branch_volume', Step(find_volume, undo=say_failed, debts=bad_news),
    Step(branch_volume, done=changed, undo=ask_which, undone=told_which, undo_waits=True, undo_owes=False, pivot=True),
    Step(say_branched, debts=good_news, owed_when_down=True), failed=_ended)

MERGE_VOLUME = Flow(
    'merge_volume', Step(find_volume, undo=say_failed, debts=bad_news),
    Step(merge_volume, done=changed, pivot=True, deadline=snapshot.copying),
    Step(say_merged, debts=good_news, owed_when_down=True), failed=_ended)
