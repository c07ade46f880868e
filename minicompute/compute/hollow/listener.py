"""The RPC server of many hosts: one connection, one poller, one pool of threads.

oslo.messaging makes a connection, two threads and three queues for each server, which a process can afford
once, not some thousand times.  Its AMQP driver can do better, only its public face cannot say so: a connection
takes any number of consumers.  So the listener here is the driver's own, on one connection, with one consumer
for the queue `compute.<host>` of each host: the queue, the exchange and the messages are those of any compute.

What is not declared: a queue for the topic alone and one for its fanout, which nobody casts `compute` messages
to.  The parts of oslo.messaging that this stands on and that are not public are named in docs/adr/0012; the
integration tests run them against a real RabbitMQ.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import oslo_messaging as messaging
from oslo_messaging._drivers import amqpdriver, base, common
from oslo_messaging.dispatcher import DispatcherBase
from oslo_messaging.rpc.server import RPCServer

from minicompute import concurrency, rpc

#: host name -> the endpoints that its messages are for
EndpointsOf = Callable[[str], list[Any]]


class HostsListener(amqpdriver.RpcAMQPListener):    # type: ignore[misc]
    """Remembers of each message which host's queue it came from, as `incoming.host`."""

    def for_host(self, host: str) -> Callable[[Any], None]:
        """-> what the driver calls with the messages of one queue, always in the poller's thread."""
        def take(message: Any) -> None:
            before = len(self.incoming)
            self(message)
            for incoming in self.incoming[before:]:    # none when the message is a double
                incoming.host = host
        return take


class HostsDispatcher(DispatcherBase):    # type: ignore[misc]
    """Gives a message to the endpoints of its host. Nothing is kept for a host that hears nothing."""

    def __init__(self, endpoints_of: EndpointsOf) -> None:
        self._endpoints_of = endpoints_of

    def dispatch(self, incoming: Any) -> Any:
        inner = messaging.RPCDispatcher([*self._endpoints_of(incoming.host), rpc.Listener()], rpc.Serializer(),
                                        messaging.DefaultRPCAccessPolicy)
        return inner.dispatch(incoming)


class HostsServer(RPCServer):    # type: ignore[misc]
    """Started and stopped like any server; `start` returns once all queues are there."""

    def __init__(self, transport: Any, target: messaging.Target, hosts: Sequence[str],
                 endpoints_of: EndpointsOf) -> None:
        super().__init__(transport, target, HostsDispatcher(endpoints_of), executor=concurrency.rpc_executor())
        self._hosts = hosts

    def _create_listener(self) -> Any:
        driver = self.transport._driver
        connection = driver._get_connection(common.PURPOSE_LISTEN)
        try:
            listener = HostsListener(driver, connection)
            for host in [*self._hosts, self._target.server]:
                connection.declare_topic_consumer(exchange_name=driver._get_exchange(self._target),
                                                  topic=f'{self._target.topic}.{host}',
                                                  callback=listener.for_host(host))
        except BaseException:
            connection.close()
            raise
        return base.PollStyleListenerAdapter(listener, 1, None)


class OneByOne:
    """For transports without AMQP (tests in one process): a server for each host."""

    def __init__(self, topic: str, hosts: Sequence[str], endpoints_of: EndpointsOf) -> None:
        self._servers = [rpc.server(topic, host, endpoints_of(host)) for host in hosts]

    def start(self) -> None:
        for server in self._servers:
            server.start()

    def stop(self) -> None:
        for server in self._servers:
            server.stop()

    def wait(self) -> None:
        for server in self._servers:
            server.wait()


def server(topic: str, name: str, hosts: Sequence[str], endpoints_of: EndpointsOf) -> Any:
    """A server that hears what is sent to each of `hosts` under `topic`, and what wakes `name`, the whole."""
    transport = rpc.transport()
    if not isinstance(transport._driver, amqpdriver.AMQPDriverBase):
        return OneByOne(topic, hosts, endpoints_of)
    return HostsServer(transport, messaging.Target(topic=topic, server=name), hosts, endpoints_of)
