"""The volumes that come with a server: a volume service makes them while the server is built.

The api orders them as the user who pays for them and notes each; the flow waits until they are there
(`await_volumes`, before the steps of connections.py).
"""
from __future__ import annotations

import datetime

from minicompute.conductor.flow import Later, Outcome, StepFailed, Task
from minicompute.conductor.flows import connections
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import block_devices
from minicompute.objects import BlockDevice, VolumeStatus
from minicompute.volume import remote

#: of a block device's `connection_info`: why there is no volume
ERROR = 'error'
#: seconds without a word of the api that orders a volume, until whether it has done so is the service's to say
DEAD_AFTER = 90.0


def await_volumes(task: Task) -> Outcome:
    """The api orders them as the user who pays for them, while this flow is under way; its answers may be lost."""
    ordered = [one for one in connections.devices(task) if one.source_type != 'volume']
    waiting = [why for one in ordered if (why := _not_ready(task, one))]
    if not waiting:
        return {}
    raise Later(CONF.block_device_allocate_retries_interval, waiting[0])


def _patience() -> float:
    """Seconds that a volume may take, once it is ordered."""
    return float(CONF.block_device_allocate_retries_interval * max(1, CONF.block_device_allocate_retries))


def _silence(task: Task, one: BlockDevice) -> float:
    """Seconds since the step began, or since the api said last that it orders the volume, or will: one of many."""
    now = session.utcnow()
    began, said = task.action.updated_at or now, one.connection_info.get(block_devices.ORDERING)
    if said:
        began = max(began, datetime.datetime.fromisoformat(said))
    return (now - began).total_seconds()


def _not_ready(task: Task, one: BlockDevice) -> str | None:
    """Why it has to be waited for; None when it is there. Raises StepFailed, also when that takes too long."""
    why, now = _look(task, one)
    if why is not None and _silence(task, now) > _patience():
        raise StepFailed(f'{why}, even after {_patience():g} seconds.')
    return why


def _look(task: Task, one: BlockDevice) -> tuple[str | None, BlockDevice]:
    """-> (why it has to be waited for, its record)"""
    backend = remote.load()
    assert backend is not None
    with session.read() as conn:
        now = block_devices.get(conn, str(one.uuid))
    if now is None:
        raise StepFailed('the volume is not the server\'s any more', code=404)
    if error := now.connection_info.get(ERROR):
        raise StepFailed(str(error['message']), code=int(error.get('code', 500)))
    assert task.instance is not None
    if now.volume_id is None:
        doubt, silence = now.connection_info.get('doubt'), _silence(task, now)
        if not doubt and silence < min(DEAD_AFTER, _patience() / 2):
            return f'The volume for {now.device_name or now.uuid} is being ordered', now
        found = backend.find_ordered(now, task.instance.project_id)
        if found is None:
            return f'No volume was made for {now.device_name or now.uuid}{f" ({doubt})" if doubt else ""}', now
        session.write(block_devices.update, str(now.uuid), volume_id=found.id)
        now.volume_id = found.id
    one.volume_id = now.volume_id
    made = backend.show(admin_context(), now.volume_id)
    if made.status == VolumeStatus.AVAILABLE:
        if made.multiattach:    # its type says so: the first guest must let others have the disk, too
            one.connection_info = {**now.connection_info, block_devices.MULTIATTACH: True}
            session.write(block_devices.update, str(now.uuid), connection_info=one.connection_info)
        return None, now
    if made.status.startswith('error'):
        raise StepFailed(f'Volume {made.id} could not be made: its status is {made.status}.')
    return f'Volume {made.id} is not made: its status is {made.status}', now
