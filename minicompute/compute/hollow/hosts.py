"""Many computes in one process: each has its own name, inventory, queue, guard and fake domains; the threads,
the connections and the clock are shared.

A hollow host is a `ComputeManager` like any other, so what it does with a request is what a compute does. Only
what a compute does unasked is done here for all in turn: no thread waits for a host, and what many have to say
in the same moment is one message.
"""
from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import oslo_messaging as messaging

from minicompute import rpc
from minicompute.compute.hollow import listener
from minicompute.compute.manager import housekeeping
from minicompute.compute.manager.manager import ComputeManager, Pools
from minicompute.conductor.rpcapi import ConductorAPI
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.objects import ComputeNode
from minicompute.service import Manager, Periodic, wait_for
from minicompute.virt.fake import FakeDriver

#: hosts that one message speaks for
SLICE = 500
#: builds at a time in this process, and other steps
BUILDS, STEPS = 32, 16


def slices(hosts: Sequence[str], seconds: int) -> list[list[str]]:
    """The hosts in groups of at most `SLICE`, whose turn is one after the other within `seconds`: but not more
    groups than seconds, or a process would wake more often than once a second."""
    count = max(1, min(seconds, math.ceil(len(hosts) / SLICE)))
    return [list(hosts[number::count]) for number in range(count)]


class HollowHosts(Manager):
    """The computes `hosts` of this process. `up` is called once all take messages."""

    def __init__(self, hosts: Sequence[str], up: Callable[[], None] = lambda: None) -> None:
        self._up = up
        self._api, self._pools = ConductorAPI(), Pools(BUILDS, STEPS)
        self.managers = {host: ComputeManager(host, FakeDriver(host), self._pools, self._api) for host in hosts}
        groups = slices(hosts, CONF.report_interval)
        rounds = ((number, group) for number in itertools.count(1) for group in groups)
        self._turns, self._turn_seconds = rounds, CONF.report_interval / len(groups)
        self._lock = threading.Lock()
        self._moved: set[str] = set()

    # -- the daemon --------------------------------------------------------

    def server(self, topic: str, host: str) -> Any:
        def endpoints_of(name: str) -> list[Any]:
            return self.managers[name].endpoints() if name in self.managers else []
        return listener.server(topic, host, list(self.managers), endpoints_of)

    def start(self) -> None:
        """Each compares itself with the records before any work is taken."""
        hosts = list(self.managers)
        for start in range(0, len(hosts), SLICE):
            for host in hosts[start:start + SLICE]:
                self.managers[host].driver.start(self._listener(host))
            self._say_hello(hosts[start:start + SLICE])

    def ready(self) -> None:
        rpc.quiet(lambda: self._api.all_started(admin_context(), list(self.managers)),
                  'The conductors were not told of the start')
        self._up()

    def stop(self) -> None:
        self._pools.close()

    def periodics(self) -> list[Periodic]:
        out = [Periodic(self.heartbeat, self._turn_seconds, at_once=True),
               Periodic(self.tell_changes, housekeeping.SETTLE),
               Periodic(self.tell_present, housekeeping.PRESENT)]
        if CONF.sync_power_state_interval:
            out.append(Periodic(self.sync_power_states, CONF.sync_power_state_interval))
        if CONF.image_cache.manager_interval > 0:
            out.append(Periodic(self.clean_up, CONF.image_cache.manager_interval))
        return out

    # -- start -------------------------------------------------------------

    def _say_hello(self, hosts: list[str]) -> None:
        nodes: list[ComputeNode] = [self.managers[host].housekeeping.inventory() for host in hosts]
        patience = itertools.chain((5, 10, 20), itertools.repeat(60))
        answers = wait_for(lambda: self._api.hellos(admin_context(), nodes, next(patience)), 'the conductor')
        for node in nodes:
            self.managers[node.host].housekeeping.welcomed(node, answers[node.host])

    def _listener(self, host: str) -> Callable[[str, int], None]:
        def moved(uuid: str, state: int) -> None:
            self.managers[host].housekeeping.power_changed(uuid, state)
            with self._lock:
                self._moved.add(host)
        return moved

    # -- while they run ----------------------------------------------------

    def heartbeat(self) -> None:
        """Of those whose turn it is."""
        number, group = next(self._turns)
        if housekeeping.is_for_all(number):
            rpc.outbox.put_all(rpc.CONDUCTOR, 'heartbeats', group, server=rpc.ALL)
        else:
            rpc.outbox.put_all(rpc.CONDUCTOR, 'heartbeats', [
                self.managers[host].housekeeping.pulse() for host in group])

    def tell_changes(self) -> None:
        with self._lock:
            moved, self._moved = self._moved, set()
        for host in moved:
            try:
                self.managers[host].housekeeping.tell_changes()
            except messaging.MessagingException:
                with self._lock:
                    self._moved |= moved
                raise

    def tell_present(self) -> None:
        for manager in self._used():
            manager.housekeeping.tell_present()

    def sync_power_states(self) -> None:
        for manager in self._used():
            manager.housekeeping.sync_power_states()

    def clean_up(self) -> None:
        for manager in self._used():
            manager.housekeeping.clean_up()

    def _used(self) -> Iterator[ComputeManager]:
        """A host that never had a server has nothing to compare with the records."""
        return (manager for manager in self.managers.values() if manager.guard.asked_ever() or manager.driver.domains())
