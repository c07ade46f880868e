"""Whether this conductor may judge who is down: only when its own wire has been whole for long enough.

When the broker is away no heartbeat arrives, and every host looks dead.  So a conductor sends itself a
message through the broker; while that does not come back, and for one `service_down_time` after it does
again or we started (computes need time to reconnect), nobody is declared down and no build fails for want of hosts.
"""
from __future__ import annotations

import threading
import time

from minicompute import rpc
from minicompute.conf import CONF

INTERVAL = 1.0
#: an echo that is this late means that the wire was cut
LATE = 5.0


class Wire:
    def __init__(self, host: str) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._heard = time.monotonic()
        #: since when the wire is whole. A start counts as its mending: after a power cut the computes come up
        #: with us, and what they reported last is old.
        self._since = time.monotonic()
        self._pending = False

    def send(self) -> None:
        """Each second: one message to myself, unless the last is still under way."""
        with self._lock:
            if self._pending and time.monotonic() - self._heard < 10 * LATE:
                return
            self._pending = True
        rpc.outbox.put(rpc.CONDUCTOR, 'echo', time.monotonic(), server=self._host)

    def heard(self) -> None:
        now = time.monotonic()
        with self._lock:
            if now - self._heard > LATE:
                self._since = now
            self._heard, self._pending = now, False

    def cut(self) -> None:
        """What is heard cannot be written: as if nothing were heard."""
        with self._lock:
            self._since = time.monotonic()

    def steady(self) -> bool:
        """Whether a host that has not reported is to blame, and not the wire."""
        now = time.monotonic()
        with self._lock:
            return now - self._heard <= LATE and now - self._since > CONF.service_down_time
