"""New actions, and the bell of the host that does their only step."""
from __future__ import annotations

from typing import Any

from minicompute.compute.rpcapi import ComputeAPI
from minicompute.context import RequestContext
from minicompute.objects import Action, Console, Instance

_compute = ComputeAPI()


def new_action(context: RequestContext, instance: Instance, action: str, flow: str, step: str,
               data: dict[str, Any] | None = None) -> Action:
    """It holds the server (`busy`) from its insert on."""
    return Action(action=action, flow=flow, step=step, instance_uuid=instance.uuid, busy=instance.uuid,
                  request_id=str(context.request_id), user_id=context.user_id, project_id=context.project_id,
                  data=data or {})


def compute(action: Action, instance: Instance, verb: str, **args: Any) -> None:
    """Ask the server's host for the step itself; the conductor's sweep stands behind it."""
    _compute.direct(action, instance, verb, **args)


def console(context: RequestContext, instance: Instance, length: int | None) -> str:
    return _compute.console_output(context, instance, length)


def remote_console(context: RequestContext, instance: Instance, protocol: str, console_type: str) -> Console:
    return _compute.console(context, instance, protocol, console_type)


def diagnostics(context: RequestContext, instance: Instance, old: bool) -> dict[str, Any]:
    return _compute.diagnostics(context, instance, old)
