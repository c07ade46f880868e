"""The wire: one transport, one serializer, clients, servers and the outbox.

AMQP is a doorbell: a message may be lost, doubled or late, and nothing may depend on it.  What must be
answered at once is a `call`; what only announces something goes through the `Outbox`, which never blocks
its caller and sends what gathered for one receiver as one message.
"""
from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import oslo_messaging as messaging
from oslo_log import log as logging

from minicompute import concurrency, metrics
from minicompute.conf import CONF
from minicompute.context import RequestContext, admin_context
from minicompute.objects import from_primitive, to_primitive

LOG = logging.getLogger(__name__)

CONDUCTOR, SCHEDULER, COMPUTE = 'conductor', 'scheduler', 'compute'
#: in the place of a server's name in the outbox: each server of the topic
ALL = '*'
#: the major moves when a message is no longer understood by the version before
VERSION = '1.0'

#: handlers of one server that run at a time, unless [DEFAULT] executor_thread_pool_size says more: most of them
#: only put something into a queue, and oslo.messaging's 64 threads cost more memory than they save time
THREADS = 16

_transport: messaging.RPCTransport | None = None
_lock = threading.Lock()


class Serializer(messaging.Serializer):
    """Records and contexts to primitives and back."""

    def serialize_entity(self, ctxt: Any, entity: Any) -> Any:
        return to_primitive(entity)

    def deserialize_entity(self, ctxt: Any, entity: Any) -> Any:
        return from_primitive(entity)

    def serialize_context(self, ctxt: RequestContext) -> dict[str, Any]:
        return ctxt.to_dict()

    def deserialize_context(self, ctxt: dict[str, Any]) -> RequestContext:
        return RequestContext.from_dict(ctxt)


def transport() -> messaging.RPCTransport:
    """The transport of this process, made at first use (after a fork)."""
    global _transport
    if _transport is None:
        with _lock:
            if _transport is None:
                _transport = messaging.get_rpc_transport(CONF)
    return _transport


def cleanup() -> None:
    global _transport
    with _lock:
        if _transport is not None:
            _transport.cleanup()
        _transport = None


class Client:
    """What the rpcapi classes stand on: one topic, any or one named server of it."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._client: Any = None

    def _prepare(self, server: str | None, **options: Any) -> Any:
        if self._client is None:
            target = messaging.Target(topic=self._topic, version=VERSION)
            self._client = messaging.get_rpc_client(transport(), target, serializer=Serializer())
        return self._client.prepare(server=server, **options)

    def call(self, context: RequestContext, method: str, *, server: str | None = None,
             timeout: float | None = None, **kwargs: Any) -> Any:
        """Ask and wait. Raises MessagingTimeout, or what the other side raised (RemoteError)."""
        began = time.perf_counter()
        try:
            return self._prepare(server, timeout=timeout).call(context, method, **kwargs)
        finally:
            metrics.observe('rpc_seconds', time.perf_counter() - began, self._topic, method)

    def cast(self, context: RequestContext, method: str, *, server: str | None = None,
             fanout: bool = False, **kwargs: Any) -> None:
        """Tell, once. Raises MessageDeliveryFailure when the broker is away."""
        self._prepare(server, fanout=fanout or None, retry=0).cast(context, method, **kwargs)


class Endpoint:
    """The methods of a manager that the wire may call, and no others. Each takes the context first."""

    target = messaging.Target(version=VERSION)

    def __init__(self, manager: Any, *names: str) -> None:
        for name in names:
            setattr(self, name, getattr(manager, name))


class Listener:
    """What every server answers besides its manager's methods."""

    target = messaging.Target(version=VERSION)

    def wake(self, context: RequestContext) -> None:
        """Nothing: that a message came is what was wanted."""


def server(topic: str, host: str, endpoints: list[Any]) -> Any:
    """A server of `topic` named `host`; the caller starts and stops it."""
    target = messaging.Target(topic=topic, server=host)
    made = messaging.get_rpc_server(transport(), target, [*endpoints, Listener()],
                                    executor=concurrency.rpc_executor(), serializer=Serializer(),
                                    access_policy=messaging.DefaultRPCAccessPolicy)
    CONF.set_default('executor_thread_pool_size', THREADS)   # an option since the server was made
    return made


def wake(topic: str, host: str) -> None:
    """Send the server something."""
    Client(topic).cast(admin_context(), 'wake', server=host)


class Outbox:
    """Sends in the background: `put` returns at once, and all items for one (topic, server, method) that
    gathered meanwhile travel as one list. While the broker is away items wait, the oldest are dropped
    past `bound`: each has a sweep behind it that finds what was not announced."""

    def __init__(self, bound: int = 20000, most: int = 200) -> None:
        self._queue: queue.Queue[tuple[str, str | None, str, list[Any]] | None] = queue.Queue()
        self._bound, self._most = bound, most
        self._clients: dict[str, Client] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def put(self, topic: str, method: str, item: Any, server: str | None = None) -> None:
        self.put_all(topic, method, [item], server)

    def put_all(self, topic: str, method: str, items: list[Any], server: str | None = None) -> None:
        """Items that travel together, whatever gathers beside them."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name='outbox', daemon=True)
                    thread.start()    # before anybody sees it, who may want to join it
                    self._thread = thread
        self._queue.put((topic, server, method, items))

    def close(self, timeout: float = 2.0) -> None:
        """Send what is there, then end."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join(timeout)

    def _gather(self) -> tuple[dict[tuple[str, str | None, str], list[Any]], bool]:
        groups: dict[tuple[str, str | None, str], list[Any]] = defaultdict(list)
        first = self._queue.get()
        taken, entry = 0, first
        while True:
            if entry is None:
                return groups, True
            groups[entry[:3]].extend(entry[3])
            taken += len(entry[3])
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return groups, False
            if taken >= self._most:
                self._queue.put(entry)
                return groups, False

    def _run(self) -> None:
        ended = False
        while not ended:
            groups, ended = self._gather()
            for (topic, name, method), items in groups.items():
                self._send(topic, name, method, items)

    def _send(self, topic: str, name: str | None, method: str, items: list[Any]) -> None:
        client = self._clients.setdefault(topic, Client(topic))
        delay = 0.2
        while True:
            try:
                if name == ALL:
                    client.cast(admin_context(), method, fanout=True, items=items)
                else:
                    client.cast(admin_context(), method, server=name, items=items)
                return
            except messaging.MessagingException as error:
                if self._queue.qsize() > self._bound:
                    LOG.warning('%d messages for %s are dropped, the sweep will find them: %s',
                                len(items), topic, error)
                    return
                LOG.warning('The message broker does not answer (%s); again in %.1f s', error, delay)
                time.sleep(delay)
                delay = min(delay * 2, 5.0)
            except Exception:
                LOG.exception('A message for %s could not be sent', topic)
                return


outbox = Outbox()


def quiet(call: Callable[[], Any], what: str) -> Any:
    """A call whose failure is only worth a line: -> its answer, or None."""
    try:
        return call()
    except (messaging.MessagingException, messaging.RemoteError) as error:
        LOG.warning('%s: %s', what, error)
        return None
