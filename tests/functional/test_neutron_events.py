"""Many events of Neutron at once, and a Neutron that does not answer when it is asked what they mean."""
from __future__ import annotations

import uuid as uuidlib
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_db import exception as db_exc

from minicompute.compute.api import external_events
from minicompute.conductor import debts
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.objects import Instance
from tests.functional.cloud import Cloud
from tests.functional.neutron_server import Fault, Neutron

SILENT = 503


@pytest.fixture
def cloud(database: str, neutron: Neutron) -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.stop()


@pytest.fixture
def servers(cloud: Cloud, neutron: Neutron) -> list[str]:
    """Two, whose ports have each got a floating address since."""
    net = neutron.network(name='front')
    ids = [cloud.wait(cloud.boot(networks=[{'uuid': net}])['id'])['id'] for _ in range(2)]
    for number, (port, _) in enumerate(sorted(neutron.held().items(), key=lambda item: ids.index(item[1]))):
        neutron.floating(port, f'203.0.113.{number}')
    return ids


def tell(cloud: Cloud, *uuids: str, expect: int = 200) -> list[int]:
    """-> the codes of the events"""
    answer = cloud.api('POST', '/os-server-external-events', {'events': [
        {'name': 'network-changed', 'server_uuid': uuid, 'tag': 'x'} for uuid in uuids]}, expect=expect)
    return [event['code'] for event in answer['events']]


def floating(uuid: str) -> list[str]:
    with session.read() as conn:
        return [one for card in instances.get(conn, uuid).network_info for ip in card.fixed_ips
                for one in ip.floating_ips]


def test_a_server_is_looked_at_once(cloud: Cloud, neutron: Neutron, servers: list[str]) -> None:
    before = neutron.asked('GET', f'device_id={servers[0]}')
    assert tell(cloud, *[servers[0]] * 5, str(uuidlib.uuid4()), expect=207) == [200] * 5 + [404]
    assert neutron.asked('GET', f'device_id={servers[0]}') == before + 1
    assert floating(servers[0]) == ['203.0.113.0']


def test_what_neutron_does_not_say_now_it_says_later(cloud: Cloud, neutron: Neutron, servers: list[str]) -> None:
    neutron.faults.append(Fault('GET', '/ports', SILENT, times=None))
    before = neutron.asked('GET', '/ports')
    assert tell(cloud, *servers) == [200, 200]
    tries = neutron.asked('GET', '/ports') - before
    assert tell(cloud, servers[0]) == [200] and neutron.asked('GET', '/ports') - before == 2 * tries, 'one was enough'
    assert debts.pay() == 0 and floating(servers[0]) == []
    neutron.faults.clear()
    assert debts.pay() == 2
    assert [floating(uuid) for uuid in servers] == [['203.0.113.0'], ['203.0.113.1']]


def test_its_sender_waits_for_no_more_than_so_long(cloud: Cloud, neutron: Neutron, servers: list[str],
                                                  monkeypatch: Any) -> None:
    monkeypatch.setattr(external_events, 'PATIENCE', -1.0)
    before = len(neutron.server.seen)
    assert tell(cloud, *servers) == [200, 200]
    assert len(neutron.server.seen) == before
    assert debts.pay() == 2 and floating(servers[1]) == ['203.0.113.1']


def test_a_card_that_neutron_has_lost_keeps_no_other_from_the_truth(cloud: Cloud, neutron: Neutron) -> None:
    """Its port was deleted, and the event that says so never came."""
    net = neutron.network(name='front')
    uuid = str(cloud.wait(cloud.boot(networks=[{'uuid': net}, {'uuid': net}])['id'])['id'])
    with session.read() as conn:
        gone, stays = (card.id for card in instances.get(conn, uuid).network_info)
    del neutron.ports[gone]
    neutron.floating(stays, '203.0.113.7')
    assert tell(cloud, uuid) == [200] and floating(uuid) == ['203.0.113.7']
    with session.read() as conn:
        assert [card.id for card in instances.get(conn, uuid).network_info] == [gone, stays]


def test_an_error_of_ours_keeps_no_other_event(cloud: Cloud, neutron: Neutron, servers: list[str],
                                               monkeypatch: Any) -> None:
    real = external_events.network_cards.follow

    def follow(conn: Any, seen: Instance, *args: Any, **more: Any) -> bool:
        if seen.uuid == servers[0]:
            raise ZeroDivisionError
        return real(conn, seen, *args, **more)
    monkeypatch.setattr(external_events.network_cards, 'follow', follow)
    assert tell(cloud, *servers) == [200, 200]
    assert floating(servers[1]) == ['203.0.113.1']


def test_a_group_that_is_added_as_neutron_falls_silent(cloud: Cloud, neutron: Neutron, servers: list[str]) -> None:
    """It is added, and that is the answer; the record follows."""
    neutron.group('web')
    real = neutron.answer

    def then_silent(method: str, path: str, headers: Any, body: bytes) -> Any:
        answer = real(method, path, headers, body)
        if method == 'PUT':
            neutron.faults.append(Fault('*', '/', SILENT, times=None))
        return answer
    neutron.server.answer = then_silent
    cloud.api('POST', f'/servers/{servers[0]}/action', {'addSecurityGroup': {'name': 'web'}}, expect=202)
    neutron.server.answer = real
    neutron.faults.clear()
    assert debts.pay() == 1
    assert cloud.show(servers[0])['security_groups'] == [{'name': 'web'}]


def test_two_apis_owe_the_same_at_one_moment(cloud: Cloud, monkeypatch: Any) -> None:
    """Each has looked and found nothing owed; the second row is refused, and the batch of events goes on."""
    def both(conn: Any, *args: Any) -> None:
        raise db_exc.DBDuplicateEntry
    monkeypatch.setattr(external_events.owed, 'add_debt', both)
    one = Instance(uuid='00000000-0000-4000-8000-000000000001', project_id='p', user_id='u')
    external_events._owe_refresh(one, 'silence')
