"""Disks and network cards come and go."""
from __future__ import annotations

from typing import Any

from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver


def volume_connector(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    return {'connector': driver.volume_connector()}


def attach_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.attach_volume(instance_of(request), request.args['device'], request.args.get('image'))
    return {}


def make_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    here = work()
    driver.make_volume(instance_of(request), request.args['device'], here.progress, here.stop)
    return {}


def detach_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.detach_volume(instance_of(request), request.args['device'])
    return {}


def swap_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    here = work()
    driver.swap_volume(instance_of(request), request.args['device'], request.args['new'], here.progress, here.stop)
    return {}


def end_swap(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    return {'too_late': driver.end_swap(instance_of(request), request.args['device'], request.args['new'])}


def attach_interface(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.attach_interface(instance_of(request), request.args['vif'])
    return {}


def detach_interface(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.detach_interface(instance_of(request), request.args['vif'])
    return {}


#: what copies, and what waits for a guest that may be slow to let go
LONG = frozenset({'make_volume', 'swap_volume', 'detach_volume', 'detach_interface'})
VERBS: dict[str, Verb] = {'volume_connector': volume_connector, 'make_volume': make_volume,
                          'attach_volume': attach_volume, 'detach_volume': detach_volume,
                          'swap_volume': swap_volume, 'end_swap': end_swap,
                          'attach_interface': attach_interface, 'detach_interface': detach_interface}
