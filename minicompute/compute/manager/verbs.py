"""The verbs of a compute: `fn(driver, request) -> facts`. Each says "make it so" and may be asked again.

A verb raises what stopped it; `failure` says what the conductor makes of that.
"""
from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import Instance, StepRequest
from minicompute.virt.driver import ComputeDriver, SpawnRequest

Verb = Callable[[ComputeDriver, StepRequest], dict[str, Any]]


def spawn(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args, instance = request.args, _instance(request)
    files = {path: base64.b64decode(data) for path, data in (args.get('files') or {}).items()}
    driver.spawn(SpawnRequest(instance=instance, image=args.get('image'), kernel=args.get('kernel'),
                              ramdisk=args.get('ramdisk'), admin_password=args.get('admin_password'), files=files))
    return {'power_state': driver.power_state(instance.uuid)}


def destroy(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.destroy(_instance(request))
    return {}


def power_on(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.power_on(_instance(request))
    return {'power_state': driver.power_state(request.key)}


def power_off(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    timeout = int(request.args.get('timeout', CONF.shutdown_timeout))
    driver.power_off(_instance(request), timeout)
    return {'power_state': driver.power_state(request.key)}


def reboot(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.reboot(_instance(request), hard=bool(request.args.get('hard')))
    return {'power_state': driver.power_state(request.key)}


VERBS: dict[str, Verb] = {verb.__name__: verb for verb in (spawn, destroy, power_on, power_off, reboot)}


def _instance(request: StepRequest) -> Instance:
    instance: Instance = request.instance
    return instance


def failure(verb: str, error: Exception) -> dict[str, Any]:
    """What a report says of an exception. A build that failed for a reason of this host is worth another
    host; one that failed for what was asked is not."""
    ours = isinstance(error, exception.ComputeException)
    code = getattr(error, 'code', 500)
    asked_wrong = ours and code in (400, 403, 404, 409)
    kind = 'reschedule' if verb == 'spawn' and not asked_wrong else 'failed'
    message = str(error) if ours else type(error).__name__    # its text, which may name paths, is for admins
    return {'class': type(error).__name__, 'message': message[:2000], 'code': code, 'kind': kind,
            'details': '' if ours else ''.join(traceback.format_exception(error))[-8000:]}
