"""How an action on one server begins: the guarded change of its state, what goes with it and the action's row in one
transaction, then a bell.

    direct   its only step is on the server's host, which is rung; the conductor commits what it reports
    flow     the conductor is rung
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from minicompute import exception, rpc, servicegroup
from minicompute.compute import states
from minicompute.compute.api import ring
from minicompute.compute.api.locks import check_lock
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instances, undecided
from minicompute.objects import Action, Instance

#: what else is written when the action begins
Write = Callable[[sa.Connection, Action], Any]


def check(context: RequestContext, instance: Instance, rule: str, method: str, *, locked_too: bool = False) -> None:
    """What may be in the way before anything is written. `rule` is a row of `states.ACTIONS`, `method` what users
    call the action; `locked_too`: it changes nothing that a lock protects.
    Raises InstanceIsLocked, InstanceInvalidState, GuestUndecided."""
    if not locked_too:
        check_lock(context, instance)
    if rule != 'evacuate' and undecided.of(instance):
        raise exception.GuestUndecided(method=method, instance_uuid=instance.uuid)
    states.check(rule, instance.uuid, instance.vm_state, instance.task_state, method=method,
                 launched=bool(instance.launched_at))


def direct(context: RequestContext, instance: Instance, name: str, rule: str, verb: str, *, flow: str = '',
           write: Write | None = None, changes: dict[str, Any] | None = None, **args: Any) -> Action:
    """Begin `flow` (by default of the name `name`), whose first and only step is called `verb` and asks the host for
    `verb` with `args`, which are the action's data as well.

    Raises InstanceIsLocked, InstanceInvalidState, InstanceNotReady, ActionInProgress, ServiceUnavailable.
    """
    check(context, instance, rule, name)
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    action = ring.new_action(context, instance, name, flow or name, verb, dict(args))
    session.write(_write, instance, action, rule, True, changes or {}, write)
    instance.task_state = states.ACTIONS[rule].becomes or instance.task_state
    ring.compute(action, instance, verb, **args)
    return action


def flow(context: RequestContext, instance: Instance, name: str, rule: str, flow_name: str, step: str, *,
         data: dict[str, Any] | None = None, changes: dict[str, Any] | None = None, write: Write | None = None,
         host_must_be_up: bool = True, locked_too: bool = False) -> Action:
    """Begin `flow_name` at `step`, its first, for a conductor; `name` is what the action log calls it.

    `changes` are columns of the server that are written with its task state; `write(conn, action)` runs in the same
    transaction, before the action's row is there.
    Raises InstanceIsLocked, InstanceInvalidState, ActionInProgress, ServiceUnavailable.
    """
    check(context, instance, rule, name, locked_too=locked_too)
    action = ring.new_action(context, instance, name, flow_name, step, data)
    session.write(_write, instance, action, rule, host_must_be_up and bool(instance.host), changes or {}, write)
    instance.task_state = states.ACTIONS[rule].becomes or instance.task_state
    rpc.outbox.put(rpc.CONDUCTOR, 'ring', action.id)
    return action


def _write(conn: sa.Connection, instance: Instance, action: Action, rule: str, host_must_be_up: bool,
           changes: dict[str, Any], write: Write | None) -> None:
    legal = states.ACTIONS[rule]
    if host_must_be_up and servicegroup.down_hosts(conn, {str(instance.host)}):
        raise exception.ServiceUnavailable      # without the host's name, which is not the user's business
    changes = {**changes, 'task_state': legal.becomes} if legal.becomes else changes
    if not instances.expect(conn, instance.uuid, legal.vm, legal.task, changes):
        now = instances.get(conn, instance.uuid)
        states.check(rule, now.uuid, now.vm_state, now.task_state, method=action.action,
                     launched=bool(now.launched_at))
        raise exception.ActionInProgress(method=action.action, instance_uuid=now.uuid)
    if write is not None:
        write(conn, action)
    actions.begin(conn, [action])
