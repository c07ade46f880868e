"""From libvirt's events to power states.

An event is taken for a doorbell: the state that is told is the one that the domain has when somebody
looks, so that an old event never overrules a newer state.  The same state is not told twice, and nothing is
told while a verb of ours works on the domain: whoever asked for the verb knows.
"""
from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator

import libvirt
from oslo_log import log as logging

from minicompute import exception
from minicompute.objects import PowerState
from minicompute.virt.driver import PowerListener
from minicompute.virt.libvirt import guest
from minicompute.virt.libvirt.host import Host

LOG = logging.getLogger(__name__)

POLL = 0.2


class Events:
    """Passes changes of `host` on to `listener`, in order, in a thread of its own."""

    def __init__(self, host: Host, listener: PowerListener) -> None:
        self._host = host
        self._listener = listener
        self._told: dict[str, int] = {}
        self._busy: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def start(self) -> None:
        for domain, _ in guest.everyone(self._host):
            self._told[domain.uuid] = domain.power_state
        threading.Thread(target=self._run, name='power-states', daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    @contextlib.contextmanager
    def quiet(self, uuid: str) -> Iterator[None]:
        """While a verb of ours changes this domain. What it comes to is known afterwards, not told."""
        with self._lock:
            self._busy[uuid] += 1
        try:
            yield
        finally:
            state = self._state(uuid)
            with self._lock:
                self._busy[uuid] -= 1
                if not self._busy[uuid]:
                    del self._busy[uuid]
                self._remember(uuid, state)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                change = self._host.changes.get_nowait()
            except queue.Empty:
                time.sleep(POLL)
                continue
            try:
                self._handle(change)
            except Exception:
                LOG.exception('Change %s of a domain could not be told', change)

    def _handle(self, change: tuple[str, int, int] | None) -> None:
        if change is None:
            self._compare_all()
        elif change[0]:
            self._look(change[0], self._state(change[0]))
        else:
            self._reconnect()

    def _reconnect(self) -> None:
        """libvirtd has closed the connection: wait for it as long as it takes."""
        while not self._stop.is_set():
            try:
                self._host.connection(patience=0)
                return
            except exception.Unavailable:
                time.sleep(1)

    def _compare_all(self) -> None:
        """After a connection is new: what changed while nobody listened."""
        states = {domain.uuid: domain.power_state for domain, _ in guest.everyone(self._host)}
        for uuid in self._told.keys() | states.keys():
            self._look(uuid, states.get(uuid))

    def _state(self, uuid: str) -> int | None:
        try:
            return guest.find(self._host, uuid).power_state()
        except exception.DomainNotFound:
            return None
        except (exception.Unavailable, libvirt.libvirtError) as error:
            LOG.debug('State of %s: %s', uuid, error)
            return self._told.get(uuid)

    def _look(self, uuid: str, state: int | None) -> None:
        with self._lock:
            known = self._told.get(uuid)
            if uuid in self._busy or state == known:
                return
            self._remember(uuid, state)
        # A domain that somebody removed has stopped; one that we never saw is not news of a change.
        if known is not None or state is not None:
            self._listener(uuid, PowerState.SHUTDOWN if state is None else state)

    def _remember(self, uuid: str, state: int | None) -> None:
        if state is None:
            self._told.pop(uuid, None)
        else:
            self._told[uuid] = state
