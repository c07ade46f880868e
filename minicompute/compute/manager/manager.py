"""The compute daemon: runs steps under the guard, answers questions, reports, and reconciles."""
from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from oslo_log import log as logging

from minicompute import crash, exception, metrics, rpc
from minicompute.compute.guard import Guard
from minicompute.compute.manager import consoles, late, progress, verbs
from minicompute.compute.manager.firewalls import Firewalls
from minicompute.compute.manager.housekeeping import Housekeeping
from minicompute.compute.manager.image_caching import ImageCaching
from minicompute.compute.manager.metadata import MetadataProxy
from minicompute.compute.manager.volume_copies import VolumeCopies
from minicompute.conductor import rpcapi as conductor
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import Console, Instance, PowerState, StepReport, StepRequest
from minicompute.service import Manager, Periodic
from minicompute.utils import utcnow
from minicompute.virt import driver as virt

LOG = logging.getLogger(__name__)

#: threads for everything but builds: power, deletes
QUICK_THREADS = 16


class Pools:
    """The threads that steps run in: builds, and everything else."""

    def __init__(self, builds: int, quick: int = QUICK_THREADS) -> None:
        self.builds = ThreadPoolExecutor(builds, thread_name_prefix='build')
        self.quick = ThreadPoolExecutor(quick, thread_name_prefix='step')

    def close(self) -> None:
        """Let what is under way end, so that its report is sent; what waits is asked for again. (The service bounds
        it: it leaves after the grace, whatever runs.)"""
        for pool in (self.builds, self.quick):
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in (self.builds, self.quick):
            pool.shutdown(wait=True)


class ComputeManager(Manager):
    """One host. `driver` is given by tests; `pools` and `api`, too, by hollow hosts, which share them among
    the many in one process."""

    def __init__(self, host: str | None = None, driver: virt.ComputeDriver | None = None,
                 pools: Pools | None = None, api: conductor.ConductorAPI | None = None) -> None:
        self.host = host or CONF.host
        self.driver = driver or virt.load()
        #: whether builds failed here since the last good one
        self._failing = False
        self._pools = pools or Pools(CONF.max_concurrent_builds or 1000)
        path = os.path.join(CONF.state_path, 'fences', self.host)
        self.guard = Guard(path, self._submit, self._run, conductor.report)
        self._images = ImageCaching(self.host, self.driver, self._pools.builds.submit)
        self._copies = VolumeCopies(self.host, self.driver, self._pools.builds.submit)
        self.metadata = MetadataProxy(self.driver)
        self._conductor = api = api or conductor.ConductorAPI()
        self.housekeeping = Housekeeping(self.host, self.driver, self.guard, api)
        self.firewalls = Firewalls(self.host, self.driver, api)

    # -- the daemon --------------------------------------------------------

    def endpoints(self) -> list[Any]:
        return [rpc.Endpoint(self, 'run_steps', 'pay', 'remove_strangers', 'look_again', 'holdings',
                             'tell_inventory', 'live_order', 'console_output', 'console', 'diagnostics',
                             'cache_images', 'refresh_security_rules', 'copy_volumes')]

    def start(self) -> None:
        self.driver.start(self.housekeeping.power_changed)
        self.housekeeping.say_hello()

    def ready(self) -> None:
        self.housekeeping.say_started()

    def stop(self) -> None:
        self.metadata.stop()
        self._pools.close()
        self.driver.stop()

    def periodics(self) -> list[Periodic]:
        return self.housekeeping.periodics() + self.metadata.periodics() + self.firewalls.periodics()

    # -- what flows ask ----------------------------------------------------

    def run_steps(self, context: RequestContext, items: list[StepRequest]) -> None:
        """Begin each; what comes of it is reported to the conductor that asked."""
        for request in items:
            try:
                self.guard.admit(request)
            except Exception:    # the others of this message are asked for as well
                LOG.exception('%s of %s cannot be begun; it is asked again', request.verb, request.key)

    def _submit(self, request: StepRequest, work: Any) -> None:
        (self._pools.builds if request.verb in verbs.LONG else self._pools.quick).submit(work)

    def _run(self, request: StepRequest) -> StepReport:
        began = utcnow()
        report = StepReport(action_id=request.action_id, generation=request.generation, step=request.step,
                            host=self.host, started_at=began)
        verb = verbs.VERBS.get(request.verb)
        try:
            if verb is None:
                raise exception.VerbUnknown(verb=request.verb)
            late.check(self._conductor, self.host, request)
            if crash.armed:
                crash.point('compute', request.place, 'before', request.key)
            with (verbs.stoppable(lambda: self.guard.overtaken(request.key)),
                  progress.reporting(self.host, request)):
                report.result = verb(self.driver, request)
            if crash.armed:
                crash.point('compute', request.place, 'after', request.key)
            self.firewalls.note(request)
            if request.verb == 'spawn' and self._failing:
                self._failing, report.result['recovered'] = False, True
        except Exception as error:
            report.error = verbs.failure(request.verb, error)
            self._failing = self._failing or report.error['kind'] == 'reschedule'
            level = LOG.warning if isinstance(error, exception.ComputeException) else LOG.exception
            level('%s of %s failed: %s', request.verb, request.key, error)
        report.finished_at = utcnow()
        metrics.observe('verb_seconds', (report.finished_at - began).total_seconds(), request.verb,
                        'Error' if report.error else 'Success')
        return report

    def pay(self, context: RequestContext, items: list[list[str]]) -> None:
        """Remove what servers left here that were deleted while this host was away."""
        self.housekeeping.pay(sorted({uuid for uuids in items for uuid in uuids}))

    def remove_strangers(self, context: RequestContext, items: list[dict[str, str | None]]) -> None:
        """{server: where it lives}: the records say that what lies here of them is nobody's."""
        for homes in items:
            self.housekeeping.remove_strangers(homes)

    def look_again(self, context: RequestContext, items: list[list[str]]) -> None:
        """Servers that should run here, and had no domain when we told what lies here."""
        self.housekeeping.look_again([uuid for uuids in items for uuid in uuids])

    def cache_images(self, context: RequestContext, items: list[dict[str, Any]]) -> None:
        """{'id' of the request, 'image'}: have it here before a server needs it."""
        for item in items:
            self._images.admit(item['id'], item['image'])

    def refresh_security_rules(self, context: RequestContext, items: list[str]) -> None:
        """Security groups of cards of this host have changed."""
        self.firewalls.changed()

    def copy_volumes(self, context: RequestContext, items: list[dict[str, Any]]) -> None:
        """{'id' of a snapshot, 'device': its volume, which no server has}."""
        for item in items:
            self._copies.admit(item['id'], item['device'])

    def tell_inventory(self, context: RequestContext, items: list[str]) -> None:
        """The records have no inventory of this host: tell it with the next heartbeat."""
        self.housekeeping.tell_inventory()

    def live_order(self, context: RequestContext, items: list[list[str]]) -> None:
        """(server, 'abort' or 'force_complete'): a word to a copy that goes on."""
        for uuid, order in items:
            try:
                self.driver.live_order(uuid, order)
            except Exception:
                LOG.exception('%s of the live migration of %s is tried again', order, uuid)

    # -- what the API asks -------------------------------------------------

    def holdings(self, context: RequestContext) -> dict[str, Any]:
        """What lies here, as conductors are told it."""
        return self.housekeeping.holdings()

    def console_output(self, context: RequestContext, instance: Instance, length: int | None) -> str:
        return self.driver.console_output(instance, length)

    def console(self, context: RequestContext, instance: Instance, protocol: str, console_type: str) -> Console:
        """Where a proxy finds a console of the server. Raises as `consoles.place`."""
        return consoles.place(self.driver, instance, protocol, console_type)

    def diagnostics(self, context: RequestContext, instance: Instance, old: bool) -> dict[str, Any]:
        """What a server uses that runs: the document of 2.48, or an `old` one. Raises InstanceInvalidState."""
        state = self.driver.power_state(instance.uuid)
        if state != PowerState.RUNNING:
            raise exception.InstanceInvalidState(method='get_diagnostics', instance_uuid=instance.uuid,
                                                 attr='power state', state=PowerState.NAMES.get(state, str(state)))
        return self.driver.old_diagnostics(instance) if old else self.driver.diagnostics(instance)
