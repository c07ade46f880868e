"""Start, stop, reboot: the guarded change of state and the action in one transaction, then the bell."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import exception, servicegroup
from minicompute.compute import states
from minicompute.compute.api import ring
from minicompute.compute.api.locks import check_lock
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.objects import Action, Instance

#: seconds; a step on a host may not take for ever ([conductor] step_deadline)
LONGEST_SHUTDOWN = 240


def start(context: RequestContext, instance: Instance) -> None:
    _begin(context, instance, 'start', 'start', 'power_on')


def stop(context: RequestContext, instance: Instance) -> None:
    """The guest has its time to shut down: the image's os_shutdown_timeout, or [DEFAULT] shutdown_timeout."""
    said = str(instance.image_properties.get('os_shutdown_timeout', ''))
    _begin(context, instance, 'stop', 'stop', 'power_off',
           timeout=min(int(said) if said.isdecimal() else CONF.shutdown_timeout, LONGEST_SHUTDOWN))


def reboot(context: RequestContext, instance: Instance, hard: bool) -> None:
    _begin(context, instance, 'reboot', 'reboot_hard' if hard else 'reboot', 'reboot', hard=hard)


def _begin(context: RequestContext, instance: Instance, name: str, rule: str, verb: str, **args: Any) -> None:
    """Raises InstanceIsLocked, InstanceInvalidState, InstanceNotReady, ActionInProgress,
    ServiceUnavailable."""
    check_lock(context, instance)
    states.check(rule, instance.uuid, instance.vm_state, instance.task_state, method=name)
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    action = ring.new_action(context, instance, name, name, verb, dict(args))
    session.write(_write, instance, action, rule)
    instance.task_state = states.ACTIONS[rule].becomes
    ring.compute(action, instance, verb, **args)


def _write(conn: sa.Connection, instance: Instance, action: Action, rule: str) -> None:
    legal = states.ACTIONS[rule]
    if servicegroup.down_hosts(conn, {str(instance.host)}):
        raise exception.ServiceUnavailable      # without the host's name, which is not the user's business
    if not instances.expect(conn, instance.uuid, legal.vm, legal.task, {'task_state': legal.becomes}):
        now = instances.get(conn, instance.uuid)
        states.check(rule, now.uuid, now.vm_state, now.task_state, method=action.action)
        raise exception.ActionInProgress(method=action.action, instance_uuid=now.uuid)
    actions.begin(conn, [action])
