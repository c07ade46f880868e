"""Disks become images, and a server gets new disks."""
from __future__ import annotations

from typing import Any

from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.compute.manager.verbs.build import spawn_request
from minicompute.conf import CONF
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver


def extract(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    here = work()
    driver.extract(instance_of(request), request.args['image_id'], here.progress, here.stop)
    return {}


def send_image(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    here = work()
    facts = driver.send_image(instance_of(request), request.args['image_id'], here.progress, here.stop)
    return {'image': facts}


def drop_extract(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.drop_extract(instance_of(request), request.args['image_id'])
    return {}


def copy_volumes(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    here = work()
    driver.copy_volumes(instance_of(request), request.args['copies'], here.progress, here.stop)
    return {}


def drop_copies(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.drop_copies(instance_of(request), request.args['copies'])
    return {}


def fetch_image(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    here = work()
    driver.fetch_image(instance_of(request), request.args['image'], here.progress, here.stop)
    return {}


def check_rebuild(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.check_rebuild(instance_of(request))
    return {}


def rebuild(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args = request.args
    driver.rebuild(spawn_request(request), preserve_ephemeral=bool(args.get('preserve_ephemeral')),
                   start=bool(args.get('start', True)), timeout=int(args.get('timeout', CONF.shutdown_timeout)),
                   progress=work().progress)
    return {'power_state': driver.power_state(request.key)}


def free_root(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    timeout = int(request.args.get('timeout', CONF.shutdown_timeout))
    driver.free_root(instance_of(request), request.args['device'], timeout, work().stop)
    return {}


def fill_volume(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    here = work()
    driver.fill_volume(instance_of(request), request.args['device'], request.args['image'], here.progress, here.stop)
    return {}


LONG = frozenset({'extract', 'send_image', 'copy_volumes', 'fetch_image', 'fill_volume', 'rebuild'})
VERBS: dict[str, Verb] = {'extract': extract, 'send_image': send_image, 'drop_extract': drop_extract,
                          'copy_volumes': copy_volumes, 'drop_copies': drop_copies, 'check_rebuild': check_rebuild,
                          'fetch_image': fetch_image, 'free_root': free_root, 'fill_volume': fill_volume,
                          'rebuild': rebuild}
