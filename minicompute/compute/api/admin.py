"""What operators do to a server that does not do what it should."""
from __future__ import annotations

import sqlalchemy as sa

from minicompute import exception, rpc
from minicompute.compute.api import begin, ring
from minicompute.compute.api.delete import DELETES, LOOKS, free
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.objects import Action, Instance

RESET = 'resetState'


def reset_state(context: RequestContext, instance: Instance, vm_state: str) -> None:
    """Say that the server is in `vm_state` and does nothing: at once when that is so, else after what runs, which is
    cancelled, as is all that waits; but a delete goes on. Raises InstanceNotFound.

    What is under way may be at a host: to change the words alone would leave two that think the server is theirs.
    """
    action = ring.new_action(context, instance, RESET, 'reset_state', 'set_state', {'vm_state': vm_state})
    for _ in range(LOOKS):
        try:
            holder = session.write(_reset, action, vm_state)
            break
        except exception.ActionInProgress:
            continue    # something began or ended between our look and our insert
    else:
        raise exception.ActionInProgress(method=RESET, instance_uuid=instance.uuid)
    if holder is not None:
        rpc.outbox.put(rpc.CONDUCTOR, 'cancel', holder.id, server=holder.owner)


def _reset(conn: sa.Connection, action: Action, vm_state: str) -> Action | None:
    """-> what the reset waits for."""
    uuid = action.instance_uuid
    holder, _ = free(conn, uuid, f'The state of the server was reset to {vm_state}.')
    if holder is None:
        changes = {'vm_state': vm_state, 'task_state': None, 'due_at': None}
        if not instances.update(conn, uuid, changes):
            raise exception.InstanceNotFound(instance_id=uuid)
        actions.record(conn, action, 'api_' + RESET)
        return None
    line = [holder, *actions.waiting(conn, uuid)]
    if any(one.flow in DELETES for one in line):
        return None
    actions.cancel(conn, *(one.id for one in line))
    actions.begin_queued(conn, action)
    return holder


def inject_network_info(context: RequestContext, instance: Instance) -> None:
    """Let the host bring the server's networks up as they stand in the records: bridges and DHCP entries.

    Raises InstanceIsLocked, InstanceNotReady, ActionInProgress, ServiceUnavailable.
    """
    begin.direct(context, instance, 'inject_network_info', 'inject_network', 'inject_network_info')
