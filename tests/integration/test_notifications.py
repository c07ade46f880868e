"""Notifications through a RabbitMQ of their own: as Nova's consumers read them, and when nobody takes them."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import oslo_messaging as messaging
import pytest
from oslo_config import cfg

from tests.functional.notified import check, data
from tests.integration.stack import PATIENCE, Broker, Stack, wait_for
from tests.integration.test_beyond import image

SETTINGS = {'notifications': {'notify_on_state_change': 'vm_state'}}


class Ear:
    """A consumer by oslo.messaging, as Ceilometer, Masakari or Watcher are."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def info(self, context: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> None:
        self.heard.append({'publisher_id': publisher_id, 'event_type': event_type, 'payload': payload,
                           'priority': 'ERROR' if event_type.endswith('.error') else 'INFO', **metadata})

    error = info

    def of(self, uuid: str) -> list[str]:
        return [one['event_type'] for one in self.heard if data(one).get('uuid') == uuid]


@pytest.fixture
def listen() -> Iterator[Any]:
    """listen(broker) -> Ear"""
    servers = []

    def make(broker: Broker) -> Ear:
        ear, conf = Ear(), cfg.ConfigOpts()
        conf([])
        transport = messaging.get_notification_transport(conf, url=broker.url())
        server = messaging.get_notification_listener(
            transport, [messaging.Target(topic='versioned_notifications')], [ear], executor='threading')
        server.start()
        servers.append((server, transport))
        return ear
    yield make
    for server, transport in servers:
        server.stop()
        server.wait()
        transport.cleanup()


def stack_with(make_stack: Any, broker: Broker, own: Broker) -> Stack:
    made: Stack = make_stack(broker, settings={**SETTINGS, 'oslo_messaging_notifications': {
        'driver': 'messagingv2', 'transport_url': own.url()}})
    return made


def test_a_life_is_heard(make_stack: Any, broker: Broker, own_broker: Broker, listen: Any) -> None:
    ear = listen(own_broker)
    stack = stack_with(make_stack, broker, own_broker)
    uuid = stack.api.boot('web', stack.api.flavor(), image(stack))['id']
    stack.api.wait_status(uuid, 'ACTIVE')
    stack.api.ok('POST', f'/servers/{uuid}/action', {'pause': None})
    stack.api.wait_status(uuid, 'PAUSED')
    stack.api.ok('DELETE', f'/servers/{uuid}')
    # Of several daemons: what one said first may be heard last. `flavor`: the API tells, too.
    wanted = {f'instance.{verb}.{end}' for verb in ('create', 'pause', 'delete') for end in ('start', 'end')}
    wait_for(lambda: wanted | {'flavor.create', 'service.create'} <= {one['event_type'] for one in ear.heard}, PATIENCE,
             'all of its life')
    told = [event for event in ear.of(uuid) if event != 'instance.update']
    assert wanted <= set(told), told
    assert len(told) == len(set(told)), 'each once'
    for one in ear.heard:
        check({name: one[name] for name in ('message_id', 'publisher_id', 'event_type', 'priority', 'payload',
                                            'timestamp')})


def test_nobody_waits_for_it(make_stack: Any, broker: Broker, own_broker: Broker, listen: Any) -> None:
    """Its broker is away: servers come and go as ever. When it is back, what waited is sent."""
    stack = stack_with(make_stack, broker, own_broker)
    flavor, its_image = stack.api.flavor(), image(stack)
    own_broker.kill()
    uuid = stack.api.boot('web', flavor, its_image)['id']
    stack.api.wait_status(uuid, 'ACTIVE')
    stack.api.ok('POST', f'/servers/{uuid}/action', {'pause': None})
    stack.api.wait_status(uuid, 'PAUSED')
    own_broker.start()
    ear = listen(own_broker)
    wait_for(lambda: 'instance.pause.end' in ear.of(uuid), PATIENCE, 'what waited')
    own_broker.kill()
    stack.terminate('conductor')     # and who leaves leaves


def test_the_broker_of_rpc_is_enough(make_stack: Any, broker: Broker) -> None:
    """Without a transport_url of its own."""
    stack: Stack = make_stack(broker, settings={'oslo_messaging_notifications': {'driver': 'messagingv2'}})
    stack.api.flavor('gold')
    conf = cfg.ConfigOpts()
    conf([])
    ear, transport = Ear(), messaging.get_notification_transport(conf, url=broker.url(stack.tag))
    server = messaging.get_notification_listener(transport, [messaging.Target(topic='versioned_notifications')], [ear],
                                                 executor='threading')
    server.start()
    try:
        wait_for(lambda: 'flavor.create' in {one['event_type'] for one in ear.heard}, PATIENCE, 'the flavor')
    finally:
        server.stop()
        server.wait()
        transport.cleanup()
