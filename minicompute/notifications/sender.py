"""The way to the broker: a queue with a bound, and one thread that nobody waits for.

A broker that does not answer costs notifications, never an action: what does not fit into the queue is dropped, counted
and named in the log. A series needs no room: it is sent while nothing else waits, and read as it is sent.
"""
from __future__ import annotations

import collections
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import oslo_messaging as messaging
from oslo_log import log as logging

from minicompute import metrics
from minicompute.conf import CONF
from minicompute.notifications.listener import Message, Series

LOG = logging.getLogger(__name__)

#: messages that wait for the broker, at most
BOUND = 5000
#: seconds between two lines about what was dropped
SAY_AGAIN = 30.0


class Caller:
    """Who asked, in the shape of a context that oslo.messaging may send: no roles, no token."""

    def __init__(self, message: Message) -> None:
        asker = message.asker
        self._said = {'user_id': asker.user_id, 'project_id': asker.project_id, 'request_id': asker.request_id}

    def redacted_copy(self) -> Caller:
        return self

    def to_dict(self) -> dict[str, Any]:
        return dict(self._said)


class Serializer(messaging.NoOpSerializer):
    def serialize_context(self, ctxt: Any) -> dict[str, Any]:
        said: dict[str, Any] = ctxt.to_dict() if isinstance(ctxt, Caller) else {}
        return said


class Sender:
    """`put` never blocks. The transport is made by the thread, at the first message: after a fork, and not at all
    where nothing is told."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._waiting: collections.deque[Message] = collections.deque()
        self._series: collections.deque[tuple[str, Iterator[Message]]] = collections.deque()
        self._ready = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._sending = False
        self._dropped, self._said = 0, 0.0

    def put(self, messages: Sequence[Message | Series]) -> None:
        single = [one for one in messages if isinstance(one, Message)]
        with self._ready:
            room = max(0, self._bound - len(self._waiting))
            self._waiting.extend(single[:room])
            self._drop(len(single) - room)
            self._series.extend((one.what, one.messages()) for one in messages if isinstance(one, Series))
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._run, name='notifications', daemon=True)
                self._thread.start()
            self._ready.notify_all()

    def _drop(self, count: int) -> None:
        if count <= 0:
            return
        metrics.count('notifications', count, 'dropped')
        self._dropped += count
        if time.monotonic() - self._said > SAY_AGAIN:
            self._said = time.monotonic()
            LOG.warning('%d notifications were dropped so far: the broker takes no more, and %d wait for it',
                        self._dropped, len(self._waiting))

    def close(self, timeout: float = 2.0) -> None:
        """Send what is there, then end. What the broker does not take in this time is lost."""
        with self._ready:
            self._closing = True
            self._ready.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
            with self._ready:
                if lost := len(self._waiting) + self._sending:
                    LOG.warning('%d notifications were not sent: this daemon leaves', lost)
                for what, _ in self._series:
                    LOG.warning('Not all of %s was sent: this daemon leaves', what)

    def _run(self) -> None:
        notifier, transport = None, None
        while (message := self._next()) is not None:
            try:
                if notifier is None:
                    transport, notifier = _connect()
                send(notifier, message)
                metrics.count('notifications', 1, 'sent')
            except Exception:
                metrics.count('notifications', 1, 'failed')
                LOG.exception('The notification %s could not be sent', message.event_type)
        if transport is not None:
            transport.cleanup()

    def _next(self) -> Message | None:
        while True:
            with self._ready:
                self._sending = False
                while not self._waiting and not self._series and not self._closing:
                    self._ready.wait()
                self._sending = bool(self._waiting)
                if self._waiting or not self._series:
                    return self._waiting.popleft() if self._waiting else None
                what, series = self._series[0]
            message = _read(what, series)   # may wait for the database: `put` must not
            with self._ready:
                if message is not None:
                    self._sending = True
                    return message
                self._series.popleft()


def _read(what: str, series: Iterator[Message]) -> Message | None:
    try:
        return next(series, None)
    except Exception:
        metrics.count('notifications', 1, 'failed')
        LOG.exception('The rest of %s cannot be read, and is not sent', what)
        return None


def _connect() -> tuple[Any, Any]:
    transport = messaging.get_notification_transport(CONF)
    return transport, messaging.Notifier(transport, serializer=Serializer(),
                                         topics=CONF.notifications.versioned_notifications_topics)


def send(notifier: Any, message: Message) -> None:
    level = 'error' if message.failed else CONF.notifications.default_level.lower()
    tell = getattr(notifier.prepare(publisher_id=message.publisher), level)
    tell(Caller(message), message.event_type, message.build())
