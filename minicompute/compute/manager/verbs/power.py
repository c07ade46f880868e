"""On, off and again. A guest that takes its time is cut off once something newer waits: a delete, a hard reboot."""
from __future__ import annotations

from typing import Any

from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.conf import CONF
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver


def power_on(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.power_on(instance_of(request))
    return {'power_state': driver.power_state(request.key)}


def power_off(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    timeout = int(request.args.get('timeout', CONF.shutdown_timeout))
    driver.power_off(instance_of(request), timeout, work().stop)
    return {'power_state': driver.power_state(request.key)}


def reboot(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.reboot(instance_of(request), hard=bool(request.args.get('hard')), hurry=work().stop)
    return {'power_state': driver.power_state(request.key)}


VERBS: dict[str, Verb] = {'power_on': power_on, 'power_off': power_off, 'reboot': reboot}
