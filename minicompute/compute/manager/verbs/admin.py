"""What operators do to one server at its host."""
from __future__ import annotations

from typing import Any

from minicompute.compute.manager.verbs.base import Verb, instance_of
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver


def inject_network_info(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.inject_network_info(instance_of(request))
    return {}


VERBS: dict[str, Verb] = {'inject_network_info': inject_network_info}
