"""Neighbours that a daemon has to know: asked beside its start, which none of them holds up."""
from __future__ import annotations

import threading
from collections.abc import Callable

from oslo_log import log as logging

from minicompute import exception

LOG = logging.getLogger(__name__)

#: seconds between two questions to a neighbour that has not said yet that it is what we need
INTERVAL = 60.0


class Greeting:
    """Asks, in a thread of its own, until the answer is good. What is wrong is logged whenever it is something else
    than before: requests and flows that need the neighbour say so as well."""

    def __init__(self, greet: Callable[[], None], interval: float = INTERVAL) -> None:
        self._greet, self._interval = greet, interval
        self._thread = threading.Thread(target=self._run, name='greeting', daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def join(self, seconds: float) -> bool:
        """Whether it has come to an end."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wrong = None
        while (now := self._ask()) is not None:
            if now != wrong:
                LOG.error('%s. What needs it fails or waits until that is mended, all else works. It is asked again '
                          'each %.0f s.', now, self._interval)
            wrong = now
            if self._ended.wait(self._interval):
                return
        if wrong is not None:
            LOG.info('Mended: %s', wrong)

    def _ask(self) -> str | None:
        """-> what is wrong"""
        try:
            self._greet()
        except exception.ComputeException as error:
            return str(error).rstrip('.')
        except Exception as error:
            LOG.exception('A neighbour cannot be asked')
            return f'{type(error).__name__}: {error}'
        return None
