"""A server moves while it is off. Which verb runs at which end: virt/interface/moves.py."""
from __future__ import annotations

import copy
from typing import Any

from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.conf import CONF
from minicompute.objects import Instance, StepRequest
from minicompute.virt.driver import ComputeDriver


def prepare_move(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args, mine = request.args, work()
    return {'dest': driver.prepare_move(
        instance_of(request), args['source'], args.get('image'), mine.progress, mine.stop)}


def open_move(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    return {'facts': driver.open_move(instance_of(request))}


def leave(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args = request.args
    timeout = int(args.get('timeout', CONF.shutdown_timeout))
    return driver.leave(instance_of(request), args['flavor'], args['dest'], timeout)


def send_disks(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    mine = work()
    return dict(driver.send_disks(instance_of(request), request.args['dest'], mine.progress, mine.stop))


def arrive(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    instance = _to_be(request)
    driver.arrive(instance, start=bool(request.args['start']))
    return {'power_state': driver.power_state(instance.uuid)}


def check_move(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    return driver.check_move(_to_be(request), running=bool(request.args['running']))


def depart(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.depart(instance_of(request), request.args.get('owner'))
    return {}


def drop_move(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.drop_move(instance_of(request), request.args['source'], disks=bool(request.args['disks']))
    return {}


def _to_be(request: StepRequest) -> Instance:
    """The server as it will be here: the records say so only once the move has succeeded."""
    instance = copy.copy(instance_of(request))
    if request.args.get('flavor') is not None:
        instance.flavor = request.args['flavor']
    return instance


LONG = frozenset({'prepare_move', 'prepare_move_or_next', 'send_disks'})
VERBS: dict[str, Verb] = {
    'prepare_move': prepare_move, 'prepare_move_or_next': prepare_move, 'open_move': open_move, 'leave': leave,
    'send_disks': send_disks, 'arrive': arrive, 'check_move': check_move, 'depart': depart, 'drop_move': drop_move}
