"""What was notified: oslo.messaging's test driver, and Nova's own definition of its payloads."""
from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import oslo_messaging as messaging
import pytest
from oslo_messaging.notify import _impl_test

from minicompute import notifications
from minicompute.conf import CONF

UNIT = pathlib.Path(__file__).parents[1] / 'unit' / 'notifications'
#: {payload: {'version', 'fields': {name: type, with a ? if it may be null}}}, read from Nova 34's objects
NOVA = json.loads((UNIT / 'payloads_of_nova.json').read_text())
#: Nova leaves this one out as well
NEVER = {'RequestSpecPayload': {'image_meta'}}


class Notified:
    """Messages, in their order. `all()` waits for the sender; of what a thread has just committed it is not told
    before that thread has ended: stop who works first."""

    def all(self) -> list[dict[str, Any]]:
        notifications.stop()        # sends what waits
        told = [message for _, message, _, _ in _impl_test.NOTIFICATIONS]
        notifications.start()
        return told

    def contexts(self) -> list[dict[str, Any]]:
        return [context for context, _, _, _ in _impl_test.NOTIFICATIONS]

    def of(self, uuid: str) -> list[dict[str, Any]]:
        return [one for one in self.all() if data(one).get('uuid', data(one).get('instance_uuid')) == uuid]

    def clear(self) -> None:
        self.all()
        _impl_test.reset()


def data(message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = message['payload']['nova_object.data']
    return found


@pytest.fixture
def notified(database: str) -> Iterator[Notified]:
    messaging.get_rpc_transport(CONF, url='fake://')
    CONF.set_override('transport_url', 'fake://')
    notifications.wanted()      # registers the options
    CONF.set_override('driver', ['test'], 'oslo_messaging_notifications')
    _impl_test.reset()
    notifications.start()
    yield Notified()
    notifications.stop()
    _impl_test.reset()
    CONF.clear_override('driver', 'oslo_messaging_notifications')


def check(message: dict[str, Any]) -> None:
    """The envelope and each object in it are as Nova defines them."""
    assert set(message) == {'message_id', 'publisher_id', 'event_type', 'priority', 'payload', 'timestamp'}
    assert re.fullmatch(r'nova-(api|compute|conductor|scheduler):\S+', message['publisher_id']), message
    # Nova has no name for it: an action that it does not tell of, or a phase that it has not.
    action, phase = message['event_type'].split('.')[1], message['event_type'].split('.')[2:]
    assert action in NOVA['']['actions'] and phase in ([], ['start'], ['end'], ['error']), message['event_type']
    assert (message['priority'] == 'ERROR') == (phase == ['error']), message
    check_object(message['payload'])


def check_object(one: dict[str, Any]) -> None:
    name, values = one['nova_object.name'], one['nova_object.data']
    known = NOVA[name]
    assert one['nova_object.namespace'] == 'nova' and one['nova_object.version'] == known['version'], one
    if name == 'ImageMetaPropsPayload':
        assert set(values) <= set(known['fields'])
        return
    assert set(values) == set(known['fields']) - NEVER.get(name, set()), name
    for field, value in values.items():
        kind = known['fields'][field]
        assert value is not None or kind.endswith('?'), f'{name}.{field} is null'
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and 'nova_object.name' in inner:
                check_object(inner)
        if value is not None:
            check_value(f'{name}.{field}', kind.rstrip('?'), value)


TYPES: dict[str, Any] = {
    'StringField': str, 'UUIDField': str, 'IntegerField': int, 'BooleanField': bool, 'FloatField': (int, float),
    'DictOfStringsField': dict, 'ListOfStringsField': list, 'ListOfObjectsField': list, 'ObjectField': dict}


def check_value(where: str, kind: str, value: Any) -> None:
    assert isinstance(value, TYPES.get(kind, object)), f'{where}: {value!r} is no {kind}'
    if kind == 'UUIDField':
        assert re.fullmatch(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', value), f'{where}: {value}'
    if kind == 'DateTimeField':
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', value), f'{where}: {value}'
    if kind == 'DictOfStringsField':
        assert all(isinstance(text, str) for pair in value.items() for text in pair), where
