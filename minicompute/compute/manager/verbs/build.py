"""A server comes into being, and goes."""
from __future__ import annotations

import base64
from typing import Any

from minicompute.compute.manager import progress
from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver, SpawnRequest


def spawn(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    instance = instance_of(request)
    driver.spawn(spawn_request(request), progress.current())
    return {'power_state': driver.power_state(instance.uuid)}


def spawn_request(request: StepRequest) -> SpawnRequest:
    """From the arguments that all flows give which make a domain."""
    args = request.args
    files = {path: base64.b64decode(data) for path, data in (args.get('files') or {}).items()}
    return SpawnRequest(instance=instance_of(request), image=args.get('image'), kernel=args.get('kernel'),
                        ramdisk=args.get('ramdisk'), admin_password=args.get('admin_password'), files=files,
                        paused=bool(args.get('paused')), stop=work().stop)


def destroy(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.destroy(instance_of(request))
    return {}


LONG = frozenset({'spawn'})
VERBS: dict[str, Verb] = {'spawn': spawn, 'destroy': destroy}
