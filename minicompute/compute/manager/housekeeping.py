"""What a compute does unasked: heartbeats, power states, and the comparison with the records."""
from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import oslo_messaging as messaging
from oslo_log import log as logging

from minicompute import exception, rpc
from minicompute.compute.guard import Guard
from minicompute.conductor.rpcapi import ConductorAPI
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.objects import ComputeNode, Instance, PowerState, VMState
from minicompute.service import Periodic, wait_for
from minicompute.virt.driver import ComputeDriver

LOG = logging.getLogger(__name__)

#: seconds that a domain is left to settle before its new state is told
SETTLE = 1.0
#: an inventory that stays the same is told again after so many `update_resources_interval`: nothing needs it
#: to be, but what should be there and is not, whatever the reason, is there again then
REPEAT = 10
#: each so many heartbeats one goes to every conductor. One that hangs takes its share of the messages all the same
#: until the broker gives it up, and as each has its turn that share may be all that some host says.
TO_ALL = 3
#: seconds between two lists of what lies here, which the conductor compares with the records
PRESENT = 20.0


def is_for_all(beat: int) -> bool:
    """Whether every conductor hears the heartbeat of this number, counted from 1. It names the host and no more: what
    the host has is for one of them to write."""
    return beat % TO_ALL == 0


class Known:
    """The servers that a sweep leaves alone: those of the records, and those that something was asked for
    since the records were read, which may just be coming into being."""

    def __init__(self, recorded: set[str], fresh: Callable[[str], bool]) -> None:
        self._recorded, self._fresh = recorded, fresh

    def __contains__(self, uuid: object) -> bool:
        return uuid in self._recorded or self._fresh(str(uuid))


class Housekeeping:
    def __init__(self, host: str, driver: ComputeDriver, guard: Guard, conductor: ConductorAPI) -> None:
        self._host, self._driver, self._guard, self._conductor = host, driver, guard, conductor
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        #: when the inventory was looked at, and when told (monotonic), and what was told
        self._looked_at = self._told_at = float('-inf')
        self._told: int | None = None
        self._beats = itertools.count(1)

    def periodics(self) -> list[Periodic]:
        out = [Periodic(self.heartbeat, CONF.report_interval, at_once=True), Periodic(self.tell_changes, SETTLE),
               Periodic(self.tell_present, PRESENT)]
        if CONF.sync_power_state_interval:
            out.append(Periodic(self.sync_power_states, CONF.sync_power_state_interval))
        if CONF.image_cache.manager_interval > 0:
            out.append(Periodic(self.clean_up, CONF.image_cache.manager_interval))
        return out

    # -- start -------------------------------------------------------------

    def say_hello(self) -> None:
        """Compare what runs here with the records before any work is taken."""
        node = self.inventory()
        # The first call of a fresh cloud may find no queue yet: a short wait first, a long one for a full host.
        patience = itertools.chain((2, 4, 8, 16), itertools.repeat(60))
        answer = wait_for(lambda: self._conductor.hello(admin_context(), node, next(patience)), 'the conductor')
        self.welcomed(node, answer)

    def welcomed(self, node: ComputeNode, answer: dict[str, Any]) -> None:
        """The conductor has taken `node` down, and answered what `ConductorAPI.hello` says."""
        self._looked_at = self._told_at = time.monotonic()
        self._told = _mark(node)
        self._reconcile({i.uuid: i for i in answer['instances']}, set(answer['busy']), set(answer['owed']),
                        answer.get('homes', {}))

    def say_started(self) -> None:
        rpc.quiet(lambda: self._conductor.started(admin_context(), self._host),
                  'The conductors were not told of the start')

    def _reconcile(self, mine: dict[str, Instance], busy: set[str], owed: set[str], homes: dict[str, str]) -> None:
        states: dict[str, int] = {}
        strangers: dict[str, str] = {}
        for domain in self._driver.domains():
            if not domain.ours and not (domain.uuid in mine and self._driver.adopt_foreign(mine[domain.uuid])):
                continue
            if domain.uuid in mine:
                states[domain.uuid] = domain.power_state
            elif domain.uuid not in busy | owed:
                strangers[domain.uuid] = domain.name
        removed = self._remove_domains(strangers)
        if removed:
            rpc.quiet(lambda: self._conductor.removed(admin_context(), self._host, removed), 'The removal was not told')
        # No work has been taken yet: nothing can have been asked for since the records were read.
        self._pay(sorted(owed - set(mine) - busy), homes, time.monotonic())
        self._start_again(mine, states, busy)
        if states:
            rpc.quiet(lambda: self._conductor.power_states(admin_context(), self._host, states),
                      'The power states were not told')

    def _remove_domains(self, strangers: dict[str, str]) -> list[str]:
        """{uuid: name} of what by the records is not of this host. -> what is removed. What they never knew stays: they
        may be older than it is, as after a restore, and nobody could bring it back."""
        if not strangers:
            return []
        answer = rpc.quiet(lambda: self._conductor.unknown(admin_context(), sorted(strangers)),
                           'Whether the records know what else is here is not known')
        unknown, removed = set(strangers if answer is None else answer), []
        for uuid, name in strangers.items():
            if uuid in unknown:
                LOG.warning('Domain %s (%s) is in no record: left as it is', name, uuid)
                continue
            LOG.warning('Domain %s (%s) is not ours any more: removed', name, uuid)
            # Its disks may be shared with the host where it lives: who has looked at the records removes them.
            if self._remove(uuid, destroy_disks=False):
                removed.append(uuid)
        return removed

    def pay(self, owed: list[str]) -> None:
        """Remove what was left here while this host was away, as a conductor saw it, which may have slept since: it
        is asked again. What fails is asked for again."""
        asked_at = time.monotonic()
        answer = rpc.quiet(lambda: self._conductor.servers(admin_context(), self._host),
                           'Whether it is still to be removed is not known')
        if answer:
            still = set(answer['owed']) - {i.uuid for i in answer['instances']} - set(answer['busy'])
            self._pay(sorted(still.intersection(owed)), answer.get('homes', {}), asked_at)

    def _pay(self, owed: list[str], homes: dict[str, str], asked_at: float) -> None:
        """What these servers left here goes unless something was asked for it since."""
        paid = []
        for uuid in owed:
            with self._guard.alone(uuid, asked_at) as free:
                if free and self._remove(uuid, homes.get(uuid)):
                    paid.append(uuid)
        if paid:
            LOG.warning('Removed what these servers had left here: %s', ', '.join(paid))
            rpc.quiet(lambda: self._conductor.paid(admin_context(), self._host, paid), 'The clean-up was not told')

    def _remove(self, uuid: str, home: str | None = None, *, destroy_disks: bool = True) -> bool:
        """`home`: the host where the server lives, if anywhere: it may have its disks in our directory."""
        try:
            self._driver.destroy(Instance(uuid=uuid, project_id='', user_id='', host=home or self._host),
                                 destroy_disks=destroy_disks)
        except Exception:
            LOG.exception('What is left of %s cannot be removed', uuid)
            return False
        return True

    def _start_again(self, mine: dict[str, Instance], states: dict[str, int], busy: set[str]) -> None:
        """After a reboot of the host: what ran runs again, when the operator wants that."""
        if not CONF.resume_guests_state_on_host_boot:
            return
        for uuid, instance in mine.items():
            ran = instance.vm_state in (VMState.ACTIVE, VMState.RESCUED)
            if ran and uuid not in busy and states.get(uuid) == PowerState.SHUTDOWN:
                try:
                    self._driver.power_on(instance)
                    states[uuid] = PowerState.RUNNING
                except Exception:
                    LOG.exception('Instance %s could not be started again', uuid)

    # -- while it runs -----------------------------------------------------

    def inventory(self) -> ComputeNode:
        """What the host has, as it is told."""
        return self._with_uptime(self._driver.inventory())

    def _with_uptime(self, node: ComputeNode) -> ComputeNode:
        node.host = self._host
        try:
            node.uptime = self._driver.uptime()
        except exception.NotImplementedHere:
            node.uptime = None
        return node

    def heartbeat(self) -> None:
        if is_for_all(next(self._beats)):
            rpc.outbox.put(rpc.CONDUCTOR, 'heartbeats', self._host, server=rpc.ALL)
        else:
            rpc.outbox.put(rpc.CONDUCTOR, 'heartbeats', self.pulse())

    def pulse(self) -> dict[str, Any] | str:
        """What a heartbeat carries: the host's name, and what it has when the conductor may not know that."""
        now = time.monotonic()
        if now - self._looked_at < CONF.update_resources_interval:
            return self._host
        node = self._driver.inventory()
        self._looked_at, mark = now, _mark(node)
        if mark == self._told and now - self._told_at < REPEAT * CONF.update_resources_interval:
            return self._host
        # A cast may be lost: what is new is told again at the next look.
        self._told, self._told_at = mark, now if mark == self._told else float('-inf')
        return {'host': self._host, 'node': self._with_uptime(node)}

    def tell_inventory(self) -> None:
        self._looked_at, self._told = float('-inf'), None

    def power_changed(self, uuid: str, state: int) -> None:
        """The driver's listener. What is told is the state once it has settled, not the event's."""
        with self._lock:
            self._changed.add(uuid)

    def tell_changes(self) -> None:
        with self._lock:
            changed, self._changed = self._changed, set()
        if not changed:
            return
        asked_at = time.monotonic()
        busy, states, gone = set(self._guard.busy()), {}, set()
        for uuid in changed - busy:
            try:
                states[uuid] = self._driver.power_state(uuid)
            except exception.DomainNotFound:
                gone.add(uuid)
        with self._lock:
            self._changed |= changed & busy
        if states:
            self._tell(states)
        if gone:
            self._tell_gone(gone, asked_at)

    def _tell_gone(self, gone: set[str], asked_at: float) -> None:
        """Somebody has undefined these domains. A server whose disks are here is off: its next start makes it another
        domain. What has neither is not for us to judge: it was deleted, or went elsewhere, or is lost."""
        for uuid in sorted(gone & self._driver.holdings().undefined):
            with self._guard.alone(uuid, asked_at) as free:
                if free:
                    LOG.warning('Instance %s has no domain any more, but its disks: it is off', uuid)
                    self._tell({uuid: PowerState.SHUTDOWN})

    def sync_power_states(self) -> None:
        busy = set(self._guard.busy())
        states = {d.uuid: d.power_state for d in self._driver.domains() if d.ours and d.uuid not in busy}
        if states:
            self._tell(states)

    def _tell(self, states: dict[str, int]) -> None:
        try:
            self._conductor.power_states(admin_context(), self._host, states)
        except messaging.MessagingException:
            with self._lock:
                self._changed |= set(states)
            raise

    def tell_present(self) -> None:
        """What lies here: the conductor says what of it is not ours, and knows what should be here and is not."""
        began, said = time.monotonic(), self.holdings()
        rpc.outbox.put(rpc.CONDUCTOR, 'present', said)
        if alone := self._driver.connected() - set(said['uuids']):
            strangers = rpc.quiet(lambda: self._conductor.strangers(admin_context(), self._host, sorted(alone)),
                                  'Whether their volumes are to be disconnected is not known')
            self._disconnect(alone.intersection(strangers or ()), began)

    def _disconnect(self, uuids: set[str], began: float) -> None:
        """Nothing else is here of these servers, wherever they live: they need no volumes here."""
        for uuid in sorted(uuids):
            with self._guard.alone(uuid, began) as free:
                if free:
                    LOG.warning('Volumes of instance %s are connected here for nobody', uuid)
                    self._driver.disconnect(uuid)

    def holdings(self) -> dict[str, Any]:
        has = self._driver.holdings()
        return {'host': self._host, 'uuids': sorted(has.present), 'undefined': sorted(has.undefined),
                'diskless': sorted(has.diskless)}

    def look_again(self, uuids: list[str]) -> None:
        """A conductor has it that these run here, and we said that they have no domain."""
        with self._lock:
            self._changed.update(uuids)

    def remove_strangers(self, homes: dict[str, str | None]) -> None:
        """{server: where it lives, None: nowhere}, as a conductor saw it, which may have slept since: it is asked
        again. The disks of one that lives elsewhere stay: only its domain goes."""
        asked_at = time.monotonic()
        answer = rpc.quiet(lambda: self._conductor.strangers(admin_context(), self._host, sorted(homes)),
                           'Whether they are ours is not known')
        for uuid, home in (answer or {}).items():
            with self._guard.alone(uuid, asked_at) as free:
                if free:
                    LOG.warning('Instance %s is not ours (%s): removed', uuid,
                                f'it lives on {home}' if home else 'it is gone')
                    self._remove(uuid, home, destroy_disks=home is None)

    def clean_up(self) -> None:
        """Remove unused images, and what servers that are gone have left."""
        began = time.monotonic()
        answer = self._conductor.servers(admin_context(), self._host)
        recorded = {i.uuid for i in answer['instances']} | set(answer['busy'])
        present, connected = self._driver.holdings().present, self._driver.connected()
        doubtful, abandoned = (present | connected) - recorded, self._driver.abandoned() - recorded
        strangers = self._conductor.strangers(admin_context(), self._host, sorted(doubtful)) if doubtful else {}
        gone = self._conductor.deleted(admin_context(), sorted(abandoned)) if abandoned else []
        # What lives elsewhere, or is under way, is not for a sweep: its disks may be all that there is of it.
        spared = {uuid for uuid in doubtful if strangers.get(uuid, '') is not None}
        known = Known(recorded | spared, lambda uuid: self._guard.asked_since(began, uuid))
        minimum = CONF.image_cache.remove_unused_original_minimum_age_seconds
        for line in self._driver.sweep(known, minimum, set(gone)):
            LOG.info('%s', line)
        self._disconnect(connected & strangers.keys() - present, began)
        self._guard.forget(recorded)


def _mark(node: ComputeNode) -> int:
    """Equal for inventories that say the same. How long the host is up, and how loaded, always differs."""
    return hash(orjson.dumps(dataclasses.replace(node, uptime=None, host='')))
