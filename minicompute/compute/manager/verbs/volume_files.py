"""The files of volumes that servers have."""
from __future__ import annotations

from typing import Any

from minicompute.compute.manager.verbs.base import Verb, instance_of
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver


def extend_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.extend_volume(instance_of(request), request.args['device'])
    return {}


VERBS: dict[str, Verb] = {'extend_volume': extend_volume}
