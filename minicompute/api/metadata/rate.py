"""How often a server may ask: one that asks in a loop must not keep the others from being answered."""
from __future__ import annotations

import threading
import time
from collections import OrderedDict

#: servers that are remembered; who asked longest ago is forgotten, with a full bucket
MOST = 10000
#: seconds whose requests may come at once
BURST = 4.0


class Rate:
    """A bucket a server. `take` by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, rate: float) -> float:
        """-> 0 when the request is within `rate` a second, else the seconds after which one is."""
        if not rate:
            return 0.0
        full, now = max(1.0, rate * BURST), time.monotonic()
        with self._lock:
            left, at = self._buckets.pop(key, (full, now))
            left = min(full, left + (now - at) * rate)
            self._buckets[key] = (max(0.0, left - 1) if left >= 1 else left, now)
            if len(self._buckets) > MOST:
                self._buckets.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / rate
