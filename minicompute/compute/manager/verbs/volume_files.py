"""The files of volumes that servers have."""
from __future__ import annotations

from typing import Any

from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver


def extend_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.extend_volume(instance_of(request), request.args['device'])
    return {}


def branch_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args = request.args
    return {'connection': driver.branch_volume(instance_of(request), args['device'], args['new_file'])}


def volume_file(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args = request.args
    return {'connection': driver.volume_file(instance_of(request), args['device'], args['new_file'])}


def merge_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args = request.args
    return {'connection': driver.merge_volume(instance_of(request), args['device'], args.get('top'), args.get('base'),
                                              work().stop)}


#: as long as a copy of the volume
LONG = frozenset({'merge_volume'})
VERBS: dict[str, Verb] = {'extend_volume': extend_volume, 'branch_volume': branch_volume,
                          'volume_file': volume_file, 'merge_volume': merge_volume}
