"""What the cards of a host's servers may be sent and may send, kept as the records say it."""
from __future__ import annotations

import threading
import time
from typing import Any

from minicompute.conductor.rpcapi import ConductorAPI
from minicompute.context import admin_context
from minicompute.objects import StepRequest
from minicompute.service import Periodic
from minicompute.virt.driver import ComputeDriver

#: seconds that changes gather
SETTLE = 0.5
#: seconds between two looks of a host that filters something: what a lost message would have said is there then
LOOK = 60.0
#: the same for a host that filters nothing
SELDOM = 600.0
#: the same when it could not be asked, or libvirt not be told
AGAIN = 10.0


class Firewalls:
    def __init__(self, host: str, driver: ComputeDriver, conductor: ConductorAPI) -> None:
        self._host, self._driver, self._conductor = host, driver, conductor
        self._changed = threading.Event()
        #: when to look again though nobody says that anything has changed (monotonic): at once after a start
        self._due = 0.0

    def periodics(self) -> list[Periodic]:
        return [Periodic(self.keep, SETTLE)]

    def changed(self) -> None:
        self._changed.set()

    def note(self, request: StepRequest) -> None:
        """A server whose record names a filter has come, or goes on, here; the record may be older than the rules."""
        instance = request.instance
        if instance is not None and any('firewall' in vif.details for vif in instance.network_info):
            self._changed.set()

    def keep(self) -> None:
        now = time.monotonic()
        if not self._changed.is_set() and now < self._due:
            return
        self._changed.clear()
        self._due = now + AGAIN
        cards: dict[str, Any] = self._conductor.firewalls(admin_context(), self._host)
        self._due = now + (LOOK if self._driver.keep_firewalls(cards) else SELDOM)
