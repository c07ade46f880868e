"""A daemon: its endpoints, its periodic tasks, its heartbeat, and how it leaves.

One process, native threads or greenlets; SIGTERM drains (no new messages, the work under way gets
`graceful_shutdown_timeout` seconds), kill -9 needs no farewell.
"""
from __future__ import annotations

import os
import random
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from minicompute import exception, health, metrics, rpc
from minicompute.conf import CONF

LOG = logging.getLogger(__name__)

#: seconds between two messages to a listener that is to stop
WAKE_INTERVAL = 0.3


class Periodic:
    """Calls `task` each `interval` seconds in a thread of its own; a failure costs a log line."""

    def __init__(self, task: Callable[[], Any], interval: float, *, at_once: bool = False) -> None:
        self._task, self._interval, self._at_once = task, interval, at_once
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f'periodic-{task.__name__}', daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        # Daemons that start together must not all ask the database in the same instant for ever.
        wait = 0.0 if self._at_once else self._interval * random.uniform(0.3, 1)
        failing = False
        while not self._ended.wait(wait):
            wait = self._interval
            try:
                self._task()
                if failing:
                    LOG.info('%s works again', self._task.__name__)
                failing = False
            except Exception as error:
                if failing:
                    LOG.warning('%s fails still: %s', self._task.__name__, error)
                else:
                    LOG.exception('%s failed; it is tried again', self._task.__name__)
                failing = True


class Manager:
    """What a role does in its daemon."""

    def endpoints(self) -> list[Any]:
        """Objects whose public methods others may call."""
        return [self]

    def server(self, topic: str, host: str) -> Any:
        """What takes the messages; the service starts and stops it."""
        return rpc.server(topic, host, self.endpoints())

    def start(self) -> None:
        """Before messages are taken."""

    def ready(self) -> None:
        """Once messages are taken."""

    def stop(self) -> None:
        """After the last message."""

    def periodics(self) -> list[Periodic]:
        return []


class Service:
    """A manager in a daemon. `database` false: a compute, which reports through the conductor."""

    def __init__(self, binary: str, topic: str, manager: Manager, *, database: bool = True,
                 host: str | None = None) -> None:
        self.binary, self.topic, self.manager, self._database = binary, topic, manager, database
        self.host = host or CONF.host
        self._periodics: list[Periodic] = []
        self._server: Any = None
        self._started = False

    def start(self) -> None:
        began = time.monotonic()
        if self._database:
            from minicompute import notifications

            notifications.start()
            wait_for(self.heartbeat, 'the database')
        self._server = self.manager.server(self.topic, self.host)
        self.manager.start()
        wait_for(self._server.start, 'the message broker')
        self.manager.ready()
        if self._database:
            self._periodics.append(Periodic(self.heartbeat, CONF.report_interval))
        self._periodics += self.manager.periodics()
        for periodic in self._periodics:
            periodic.start()
        LOG.info('%s is ready on %s after %.1f s', self.binary, self.host, time.monotonic() - began)

    def heartbeat(self) -> None:
        # Here, so that a compute need not have SQLAlchemy in its memory.
        from minicompute import servicegroup
        from minicompute.db import session

        session.write(servicegroup.report, self.host, self.binary, self.topic)

    def stop(self) -> None:
        for periodic in self._periodics:
            periodic.stop()
        if self._server is not None:
            self._stop_listening()
            self._server.wait()
        self.manager.stop()
        if self._database:
            from minicompute import notifications

            notifications.stop()
        rpc.outbox.close()

    def _stop_listening(self) -> None:
        """A listener of oslo.messaging looks up when its poll ends, which takes 5 s when nothing comes: something
        comes."""
        stopping = threading.Thread(target=self._server.stop, name='stop', daemon=True)
        stopping.start()
        while stopping.is_alive():
            rpc.quiet(lambda: rpc.wake(self.topic, self.host), 'Waking the listener')
            stopping.join(WAKE_INTERVAL)

    def run(self) -> None:
        """Start, wait for SIGTERM or SIGINT, leave. The entry points call this."""
        # A pipe, not an Event: a handler that runs while its own thread holds the Event's lock would wait for ever.
        bell, ring = os.pipe()

        def on_signal(*_: Any) -> None:
            if not self._started:
                raise SystemExit(0)   # it waits for a part that is not there; nothing is under way yet
            os.write(ring, b'.')
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        # First of all: a daemon that waits for its database says so there.
        stop_telling = metrics.start(_metrics_port(self.topic), health.Doctor(database=self._database))
        self.start()
        self._started = True
        select.select([bell], [], [])
        LOG.info('%s leaves', self.binary)
        stop_telling()
        # A handler that hangs must not keep us: after the grace we are gone.
        threading.Thread(target=_leave_anyway, daemon=True).start()
        self.stop()


def _metrics_port(topic: str) -> int:
    conf = CONF.metrics
    ports = {rpc.CONDUCTOR: conf.conductor_port, rpc.SCHEDULER: conf.scheduler_port, rpc.COMPUTE: conf.compute_port}
    return int(ports.get(topic, 0))


def _leave_anyway() -> None:
    time.sleep(CONF.graceful_shutdown_timeout)
    os._exit(0)


def wait_for(attempt: Callable[[], Any], what: str) -> Any:
    """Call `attempt` until it does not raise: a daemon waits for its database, it does not die of it.
    Raises ConfigurationError at once, because waiting mends no configuration."""
    delay = 0.5
    while True:
        try:
            return attempt()
        except exception.ConfigurationError:
            raise
        except Exception as error:
            LOG.error('%s does not answer: %s. Waiting %.0f s.', what.capitalize(),
                      ' '.join(str(error).split())[:300], delay)
            time.sleep(delay)
            delay = min(delay * 2, 10)
