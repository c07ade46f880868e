"""Start, stop, reboot."""
from __future__ import annotations

from minicompute.compute.api import begin
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import Instance

#: seconds; a step on a host may not take for ever ([conductor] step_deadline)
LONGEST_SHUTDOWN = 240


def start(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'start', 'start', 'power_on')


def stop(context: RequestContext, instance: Instance) -> None:
    begin.direct(context, instance, 'stop', 'stop', 'power_off', timeout=shutdown_timeout(instance))


def shutdown_timeout(instance: Instance) -> int:
    """Seconds that the guest has to shut down: the image's os_shutdown_timeout, or [DEFAULT] shutdown_timeout."""
    said = str(instance.image_properties.get('os_shutdown_timeout', ''))
    return min(int(said) if said.isdecimal() else CONF.shutdown_timeout, LONGEST_SHUTDOWN)


def reboot(context: RequestContext, instance: Instance, hard: bool) -> None:
    begin.direct(context, instance, 'reboot', 'reboot_hard' if hard else 'reboot', 'reboot', hard=hard)
