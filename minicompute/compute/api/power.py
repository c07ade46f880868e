"""Start, stop, reboot."""
from __future__ import annotations

import sqlalchemy as sa

from minicompute import exception, rpc
from minicompute.compute.api import begin, queue, root_volume
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db.api import actions, instances
from minicompute.objects import Action, Instance, TaskState

#: seconds; a step on a host may not take for ever ([conductor] step_deadline)
LONGEST_SHUTDOWN = 240
#: flows that a hard reboot ends
CUT_SHORT = frozenset({'reboot', 'pause', 'unpause', 'suspend', 'resume'})


def start(context: RequestContext, instance: Instance) -> None:
    begin.check(context, instance, 'start', 'start')
    root_volume.check_connected(instance, 'start')
    begin.direct(context, instance, 'start', 'start', 'power_on')


def stop(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'stop', 'stop', 'power_off', timeout=shutdown_timeout(instance))


def shutdown_timeout(instance: Instance) -> int:
    """Seconds that the guest has to shut down: the image's os_shutdown_timeout, or [DEFAULT] shutdown_timeout."""
    said = str(instance.image_properties.get('os_shutdown_timeout', ''))
    return min(int(said) if said.isdecimal() else CONF.shutdown_timeout, LONGEST_SHUTDOWN)


def reboot(context: RequestContext, instance: Instance, hard: bool) -> None:
    rule = 'reboot_hard' if hard else 'reboot'
    if hard and instance.task_state is not None:
        _cut_short(context, instance)
    else:
        begin.check(context, instance, rule, 'reboot')
        root_volume.check_connected(instance, 'reboot')
        begin.direct(context, instance, 'reboot', rule, 'reboot', hard=hard)


def _cut_short(context: RequestContext, instance: Instance) -> None:
    """A hard reboot ends what is done to the guest just now, and goes next. Raises as `begin.direct`."""
    held: list[Action] = []

    def stand_behind(conn: sa.Connection, action: Action, now: Instance) -> None:
        held.clear()
        if action.after is not None:
            held.extend(actions.load(conn, [action.after]))
        if not now.host or any(one.flow not in CUT_SHORT for one in held):
            raise exception.InstanceInvalidState(method='reboot', instance_uuid=now.uuid, attr='task_state',
                                                 state=str(now.task_state))
        for one in held:
            actions.cancel(conn, one.id or 0)
        instances.update(conn, now.uuid, {'task_state': TaskState.REBOOTING_HARD})
    queue.begin(context, instance, 'reboot', 'reboot_hard', 'reboot', 'take_turn', reserve=stand_behind,
                data={'hard': True})
    for one in held:
        rpc.outbox.put(rpc.CONDUCTOR, 'cancel', one.id, server=one.owner)
