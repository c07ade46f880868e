"""What is done to a guest where it stands."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicompute.compute.manager import progress
from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.compute.manager.verbs.build import spawn_request
from minicompute.objects import StepRequest
from minicompute.virt import password
from minicompute.virt.driver import ComputeDriver


def _plain(name: str) -> Verb:
    """The driver's verb of this name, which takes the server alone."""
    def verb(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
        act: Callable[..., None] = getattr(driver, name)
        act(instance_of(request))
        return {'power_state': driver.power_state(request.key)}
    return verb


def prepare_rescue(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.prepare_rescue(spawn_request(request), progress.current())
    return {}


def rescue(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.rescue(instance_of(request), int(request.args.get('timeout', 0)), work().stop)
    return {'power_state': driver.power_state(request.key)}


def set_admin_password(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    """-> the password sealed to the server's key, for os-server-password; nobody else learns it."""
    new = str(request.args['secret']['admin_password'])
    instance = instance_of(request)
    driver.set_admin_password(instance, new)
    return {'sealed_password': password.seal(instance.key_data, new)}


LONG = frozenset({'prepare_rescue', 'suspend', 'resume'})
VERBS: dict[str, Verb] = {
    'prepare_rescue': prepare_rescue, 'rescue': rescue, 'set_admin_password': set_admin_password,
    **{name: _plain(name) for name in ('pause', 'unpause', 'suspend', 'resume', 'unrescue', 'trigger_crash_dump')}}
