"""Operations on one server that wait for each other instead of refusing: what attaches and detaches.

Ten volumes asked for at once are ten accepted requests. Each stands in the journal behind the one before it
(`Action.after`) and goes when that has ended; what it needs is reserved at once, in the transaction that accepts it.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from minicompute import exception, rpc, servicegroup
from minicompute.compute import states
from minicompute.compute.api import begin as single
from minicompute.compute.api import ring
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.objects import Action, ActionState, Instance

#: a server that others begin something with so often between two statements is none
LOOKS = 5
#: reserves what the action needs; gets the server as it is in this transaction
Reserve = Callable[[sa.Connection, Action, Instance], Any]


def begin(context: RequestContext, instance: Instance, name: str, rule: str, flow: str, step: str, *,
          reserve: Reserve, data: dict[str, Any] | None = None) -> Action:
    """Begin `flow` at `step`, its first, or queue it. `rule` is a row of `states.ACTIONS`, `name` what users call it.

    Raises InstanceIsLocked, InstanceInvalidState, ActionInProgress, ServiceUnavailable, and what `reserve` raises.
    """
    single.check(context, instance, rule, name)
    for _ in range(LOOKS):
        action = ring.new_action(context, instance, name, flow, step, dict(data or {}))
        try:
            session.write(_write, action, rule, reserve)
            break
        except exception.ActionInProgress:
            continue    # something began, or ended, between our look and our insert
    else:
        raise exception.ActionInProgress(method=name, instance_uuid=instance.uuid)
    if action.state == ActionState.RUNNING:
        rpc.outbox.put(rpc.CONDUCTOR, 'ring', action.id)
    return action


def _write(conn: sa.Connection, action: Action, rule: str, reserve: Reserve) -> None:
    before = dict(action.data)
    actions.begin_queued(conn, action)      # the action first, then the server: the order of locks everywhere
    legal = states.ACTIONS[rule]
    expected = instances.expect(conn, action.instance_uuid, legal.vm, legal.task, {})
    now = instances.get(conn, action.instance_uuid)
    if not expected:
        states.check(rule, now.uuid, now.vm_state, now.task_state, method=action.action,
                     launched=bool(now.launched_at))
        raise exception.ActionInProgress(method=action.action, instance_uuid=now.uuid)
    if now.host and servicegroup.down_hosts(conn, {now.host}):
        raise exception.ServiceUnavailable      # without the host's name, which is not the user's business
    reserve(conn, action, now)
    if action.data != before:
        actions.set_data(conn, action)
