"""Messages of oslo.messaging's in-process transport arrive at once.

Its listeners look for messages 20 times a second: a server that is built takes five messages, and each waited for the
next look, while the looks of all listeners that nobody wrote to took a good part of a processor.
"""
from __future__ import annotations

import threading
import time
import weakref
from collections import defaultdict
from typing import Any

from oslo_messaging._drivers import base, impl_fake

#: topic -> who listens to it
_listening: defaultdict[str, weakref.WeakSet[Listener]] = defaultdict(weakref.WeakSet)
_lock = threading.Lock()
_delivered = impl_fake.FakeExchange.deliver_message


class Listener(impl_fake.FakeListener):     # type: ignore[misc]
    """Sleeps until one of its topics has a message, or it is to stop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bell = threading.Event()
        with _lock:
            for target in self._targets:
                _listening[target.topic].add(self)

    @base.batch_poll_helper     # type: ignore[untyped-decorator]
    def poll(self, timeout: float | None = None) -> Any:
        end = None if timeout is None else time.monotonic() + timeout
        while not self._stopped.is_set():
            self.bell.clear()
            for target in self._targets:
                exchange = self._exchange_manager.get_exchange(target.exchange)
                context, message, reply_to, requeue = exchange.poll(target, self._pool)
                if message is not None:
                    return impl_fake.FakeIncomingMessage(context, message, reply_to, requeue)
            if self._stopped.is_set():
                break
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.bell.wait(left)
        return None

    def stop(self) -> None:
        super().stop()
        self.bell.set()


def _deliver(exchange: Any, topic: str, *args: Any, **kwargs: Any) -> None:
    _delivered(exchange, topic, *args, **kwargs)
    with _lock:
        woken = list(_listening[topic])
    for listener in woken:
        listener.bell.set()


def install() -> None:
    """For all transports that are made from now on."""
    impl_fake.FakeListener = Listener
    impl_fake.FakeExchange.deliver_message = _deliver
