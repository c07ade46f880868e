"""A server moves while it runs, or from a host that is lost. Which verb runs at which end: virt/interface/live.py."""
from __future__ import annotations

import dataclasses
import time
from typing import Any

from oslo_log import log as logging

from minicompute import rpc
from minicompute.compute.manager import progress
from minicompute.compute.manager.verbs import build
from minicompute.compute.manager.verbs.base import Verb, instance_of, work
from minicompute.conductor.rpcapi import ConductorAPI
from minicompute.context import admin_context
from minicompute.objects import StepRequest
from minicompute.virt.driver import ComputeDriver
from minicompute.virt.interface import live

LOG = logging.getLogger(__name__)

#: seconds between two looks for an order that no message brought
LOOK = 5.0
#: seconds between two looks for a guest that is neither here nor gone
WAIT = 1.0


def live_offer(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    return driver.live_offer(instance_of(request))


def live_accept(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args = request.args
    return driver.live_accept(instance_of(request), args['offer'], args.get('block'), args.get('over_commit'))


def live_prepare(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    asked = build.spawn_request(request)
    if request.args.get('cards'):       # as this host plugs them, while those of the record are the source's
        asked.instance = dataclasses.replace(asked.instance, network_info=request.args['cards'])
    return driver.live_prepare(asked, request.args['offer'], bool(request.args['shared']))


def live_rollback(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    args = request.args
    driver.live_rollback(instance_of(request), shared=bool(args['shared']), force=bool(args['force']),
                         stale=bool(args.get('stale')))
    return {}


class _Watch:
    """Tells how far the copy is, and passes orders on to it: those of an undo that waits, and those that were left
    with the records while their message was lost."""

    def __init__(self, driver: ComputeDriver, request: StepRequest) -> None:
        self._driver, self._request = driver, request
        self._tell, self._stop = progress.current(), work().stop
        self._look_at = time.monotonic() + LOOK

    def __call__(self, numbers: dict[str, int]) -> None:
        total = numbers.get('memory_total', 0) + numbers.get('disk_total', 0)
        done = numbers.get('memory_processed', 0) + numbers.get('disk_processed', 0)
        self._tell('memory', min(99, 100 * done // total) if total else None, **numbers)
        order = live.ABORT if self._stop() else self._order()
        if order:
            self._driver.live_order(self._request.key, order)

    def _order(self) -> str | None:
        now = time.monotonic()
        if now < self._look_at:
            return None
        self._look_at = now + LOOK
        return rpc.quiet(lambda: ConductorAPI().move_order(admin_context(), self._request.args['migration']),
                         'Nobody says whether the copy is to be ended')


def live_migrate(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    """Raises nothing: once a copy may have begun, a failure says nothing of where the guest is."""
    try:
        outcome, why = driver.live_migrate(instance_of(request), request.args['there'], _Watch(driver, request))
    except Exception as error:
        LOG.exception('The live migration of %s broke off; both hosts are asked how it ended', request.key)
        outcome, why = live.UNKNOWN, str(error) or type(error).__name__
    return {'outcome': outcome, 'why': why[:2000]}


def live_find(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    """Waits while a copy goes on."""
    stopped = work().stop
    while (where := driver.live_find(request.key)) in (live.INCOMING, live.OUTGOING) and not stopped():
        time.sleep(WAIT)
    return {'where': where}


def live_keep(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    return {'where': driver.live_keep(instance_of(request))}


def live_finish(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    """The guest runs here, whatever else is wrong: that is said, not raised."""
    try:
        facts = driver.live_finish(instance_of(request))
        return {**facts, 'power_state': driver.power_state(request.key)}
    except Exception as error:
        LOG.exception('Instance %s is here, but not as it should be', request.key)
        return {'deviations': [str(error) or type(error).__name__]}


def live_leave(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    try:
        driver.live_leave(instance_of(request), shared=bool(request.args['shared']))
        return {}
    except Exception as error:
        LOG.exception('Something of instance %s is left here', request.key)
        return {'left': str(error) or type(error).__name__}


# -- a lost host ---------------------------------------------------------------

def evacuate_look(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    said = bool(request.args.get('said'))
    return {'shared': driver.sees_disks_of(instance_of(request), request.args['source'], said=said)}


def evacuate_make(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    """A server that is to be stopped is built and cut off: what lies on its disks is as a boot would find it."""
    instance, args = instance_of(request), request.args
    if args['shared']:
        driver.adopt(instance, args['source'], start=bool(args['start']))
    else:
        driver.spawn(build.spawn_request(request), progress.current())
        if not args['start']:
            driver.power_off(instance, 0)
    return {'power_state': driver.power_state(instance.uuid)}


def evacuate_unmake(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    instance = instance_of(request)
    if request.args['shared']:
        driver.give_back(instance, request.args['source'])
    else:
        driver.destroy(instance)
    return {}


def evacuate_take_over(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    driver.take_over(instance_of(request))
    return {}


def evacuate_clean(driver: ComputeDriver, request: StepRequest) -> dict[str, Any]:
    try:
        driver.destroy(instance_of(request))
        return {}
    except Exception as error:
        LOG.exception('Something of instance %s is left here', request.key)
        return {'left': str(error) or type(error).__name__}


LONG = frozenset({'live_prepare', 'live_migrate', 'live_find', 'evacuate_make'})
VERBS: dict[str, Verb] = {
    'live_offer': live_offer, 'live_accept': live_accept, 'live_accept_or_next': live_accept,
    'live_prepare': live_prepare, 'live_rollback': live_rollback, 'live_migrate': live_migrate, 'live_find': live_find,
    'live_keep': live_keep, 'live_finish': live_finish, 'live_leave': live_leave, 'evacuate_look': evacuate_look,
    'evacuate_make': evacuate_make, 'evacuate_unmake': evacuate_unmake, 'evacuate_take_over': evacuate_take_over,
    'evacuate_clean': evacuate_clean}
