"""How far a long step is, told to the conductor while it goes on.

    driver.spawn(request, progress.current())       in a verb; `current()` is a `virt.driver.Progress`

What is told is a message like a heartbeat: it may be lost, and the next one says more.  A server is told of once
a second at most, whatever the driver calls.
"""
from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from minicompute.conductor import rpcapi as conductor
from minicompute.objects import StepProgress, StepRequest

#: seconds between two messages of one step
INTERVAL = 1.0

_here = threading.local()


class Reporter:
    """Tells how far one step is. May be called by any thread."""

    def __init__(self, host: str, request: StepRequest | None) -> None:
        self._host, self._request = host, request
        self._told_at = time.monotonic()     # what takes less than a second tells nothing

    def __call__(self, stage: str, percent: int | None = None, **numbers: int) -> None:
        """`numbers`: columns of the migration that the step belongs to (bytes)."""
        request, now = self._request, time.monotonic()
        if request is None or now - self._told_at < INTERVAL:
            return
        self._told_at = now
        bounded = None if percent is None else max(0, min(100, int(percent)))
        conductor.progress(StepProgress(
            action_id=request.action_id, generation=request.generation, step=request.step, host=self._host,
            stage=stage[:32], percent=bounded, numbers=numbers), request.reply_to)


@contextlib.contextmanager
def reporting(host: str, request: StepRequest) -> Iterator[None]:
    """While the verb of `request` runs in this thread."""
    _here.reporter = Reporter(host, request)
    try:
        yield
    finally:
        _here.reporter = None


def current() -> Reporter:
    """What the verb that runs in this thread tells its progress to; it may hand it to other threads."""
    return getattr(_here, 'reporter', None) or Reporter('', None)
