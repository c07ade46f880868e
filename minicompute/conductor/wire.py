"""Whether this conductor may judge who is down: only when its own wire has been whole for long enough.

When the broker is away no heartbeat arrives, and every host looks dead.  So a conductor sends itself a
message through the broker; while that does not come back, and for one `service_down_time` after it does
again or we started (computes need time to reconnect), nobody is declared down and no build fails for want of hosts.
The same when the database takes no writes, as behind a daemon that froze with a lock in its hands: what is
heard then waits, and what is written is old for every host.
"""
from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from minicompute import rpc
from minicompute.conf import CONF

INTERVAL = 1.0
#: an echo, or a write of what was heard, that is this late means that the wire was cut
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
        #: since when what was heard is being written
        self._writing: float | None = None

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

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Around the write of what is heard. One that takes long is a cut: from then on, and from its end as well,
        because what others heard waits behind the same lock."""
        with self._lock:
            self._writing = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            with self._lock:
                if now - self._writing > LATE:
                    self._since = now
                self._writing = None

    def steady(self) -> bool:
        """Whether a host that has not reported is to blame, and not the wire. Ask after the records were read: what
        keeps them from being written may have begun meanwhile."""
        now = time.monotonic()
        with self._lock:
            if self._writing is not None and now - self._writing > LATE:
                return False
            return now - self._heard <= LATE and now - self._since > CONF.service_down_time
