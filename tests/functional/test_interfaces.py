"""Network cards come to servers and go: REST, queue, flows, ports, the host."""
from __future__ import annotations

import threading
import uuid as uuidlib
from collections.abc import Callable
from typing import Any

import pytest

from minicompute.db import session
from minicompute.db.api import instances
from minicompute.db.api import networks as db
from minicompute.objects import Instance
from minicompute.virt.fake import FakeDriver
from tests.functional.beginnings import lan
from tests.functional.cloud import Cloud


@pytest.fixture
def server(cloud: Cloud) -> str:
    return str(cloud.wait(cloud.boot()['id'])['id'])


def record(uuid: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, uuid)


def plugged(cloud: Cloud, uuid: str) -> set[str]:
    driver: Any = cloud.services[str(record(uuid).host)].manager.driver   # type: ignore[attr-defined]
    return {name.removeprefix('vif.') for name in driver.plugged(uuid) if name.startswith('vif.')}


def cards(cloud: Cloud, uuid: str) -> dict[str, str]:
    """{port: state}"""
    found = cloud.api('GET', f'/servers/{uuid}/os-interface')['interfaceAttachments']
    return {card['port_id']: card['port_state'] for card in found}


def attach(cloud: Cloud, uuid: str, expect: int = 200, **body: Any) -> Any:
    answer = cloud.api('POST', f'/servers/{uuid}/os-interface', {'interfaceAttachment': body}, expect=expect)
    return answer['interfaceAttachment'] if expect == 200 else answer


def settle(cloud: Cloud, uuid: str, look: Callable[[], bool]) -> None:
    cloud.until(look, 'the devices')
    cloud.until(lambda: 'locks' not in cloud.leaks(), 'the end of the actions')
    assert not cloud.leaks()


def free_port(**changes: Any) -> str:
    """A port that a user made."""
    request = db.PortRequest(id=str(uuidlib.uuid4()), network_id=lan(), project_id='demo', **changes)
    return session.write(db.allocate_ports, [request])[0].id


def test_a_card_comes_and_goes(cloud: Cloud, server: str) -> None:
    card = attach(cloud, server, net_id=lan(), fixed_ips=[{'ip_address': '10.3.0.9'}], tag='blue')
    assert (card['net_id'], card['tag']) == (lan(), 'blue')
    assert [ip['ip_address'] for ip in card['fixed_ips']] == ['10.3.0.9']
    port = card['port_id']
    settle(cloud, server, lambda: cards(cloud, server) == {port: 'ACTIVE'})
    assert plugged(cloud, server) == {port}
    assert cloud.show(server)['addresses']['lan'][0]['addr'] == '10.3.0.9'
    shown = cloud.api('GET', f'/servers/{server}/os-interface/{port}')['interfaceAttachment']
    assert shown == {**card, 'port_state': 'ACTIVE'}
    assert 'tag' not in cloud.api('GET', f'/servers/{server}/os-interface/{port}', version='2.69')[
        'interfaceAttachment']

    cloud.api('DELETE', f'/servers/{server}/os-interface/{port}', expect=202)
    settle(cloud, server, lambda: cards(cloud, server) == {})
    assert plugged(cloud, server) == set() and cloud.show(server)['addresses'] == {}
    with session.read() as conn:
        assert db.list_ports(conn, {'id': [port]}) == []


def test_many_at_once_all_come(cloud: Cloud, server: str) -> None:
    net = lan()
    ports = [attach(cloud, server, net_id=net)['port_id'] for _ in range(5)]
    settle(cloud, server, lambda: cards(cloud, server) == dict.fromkeys(ports, 'ACTIVE'))
    assert [card.id for card in record(server).network_info] == ports and plugged(cloud, server) == set(ports)


def test_a_port_made_by_hand_stays(cloud: Cloud, server: str) -> None:
    port = free_port()
    assert attach(cloud, server, port_id=port)['port_id'] == port
    assert 'in use' in attach(cloud, server, expect=409, port_id=port)['conflictingRequest']['message']
    settle(cloud, server, lambda: cards(cloud, server) == {port: 'ACTIVE'})
    cloud.api('DELETE', f'/servers/{server}/os-interface/{port}', expect=202)
    settle(cloud, server, lambda: cards(cloud, server) == {})
    with session.read() as conn:
        (left,) = db.list_ports(conn, {'id': [port]})
    assert left.instance_uuid is None and left.host is None


def test_nothing_asked_for_is_the_only_network(cloud: Cloud, server: str) -> None:
    assert 'none are available' in attach(cloud, server, expect=400)['badRequest']['message']
    net = lan()
    assert attach(cloud, server)['net_id'] == net
    cloud.api('POST', f'/servers/{server}/os-interface', {}, expect=200)
    settle(cloud, server, lambda: list(cards(cloud, server).values()) == ['ACTIVE'] * 2)


def test_refusals(cloud: Cloud, server: str) -> None:
    net, nowhere = lan(), str(uuidlib.uuid4())
    first = attach(cloud, server, net_id=net, fixed_ips=[{'ip_address': '10.3.0.9'}])['port_id']
    for body, code in (
            ({'net_id': nowhere}, 404), ({'port_id': nowhere}, 404), ({'net_id': net, 'port_id': nowhere}, 400),
            ({'fixed_ips': [{'ip_address': '10.3.0.8'}]}, 400), ({'net_id': 'x'}, 400),
            ({'net_id': net, 'fixed_ips': [{'ip_address': '10.4.0.8'}]}, 400),
            ({'net_id': net, 'fixed_ips': [{'ip_address': '10.3.0.9'}]}, 409), ({'tag': 'a,b'}, 400),
            ({'more': 1}, 400)):
        attach(cloud, server, expect=code, **body)
    for method, code in (('GET', 404), ('DELETE', 404)):
        assert cloud.request(method, f'/servers/{server}/os-interface/{nowhere}').status_int == code
    assert cloud.request('POST', f'/servers/{server}/os-interface', {'interfaceAttachment': {'tag': 'x'}},
                         version='2.48').status_int == 400
    settle(cloud, server, lambda: cards(cloud, server) == {first: 'ACTIVE'})


def test_a_host_that_cannot_leaves_nothing(cloud: Cloud, server: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('no slot is left')
    FakeDriver.faults['attach_interface.after'] = refuse
    kept = free_port()
    attach(cloud, server, net_id=lan())
    attach(cloud, server, port_id=kept)
    settle(cloud, server, lambda: cards(cloud, server) == {})
    assert plugged(cloud, server) == set()
    with session.read() as conn:
        assert [port.id for port in db.list_ports(conn)] == [kept]
    actions = cloud.api('GET', f'/servers/{server}/os-instance-actions')['instanceActions']
    assert [one['message'] for one in actions if one['action'] == 'attach_interface'] == ['RuntimeError'] * 2
    assert cloud.show(server)['status'] == 'ACTIVE' and 'fault' not in cloud.show(server)


def test_a_card_that_the_guest_keeps_stays_attached(cloud: Cloud, server: str) -> None:
    port = attach(cloud, server, net_id=lan())['port_id']
    settle(cloud, server, lambda: cards(cloud, server) == {port: 'ACTIVE'})

    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('the guest is busy')
    FakeDriver.faults['detach_interface'] = refuse
    cloud.api('DELETE', f'/servers/{server}/os-interface/{port}', expect=202)
    cloud.until(lambda: 'locks' not in cloud.leaks(), 'the end of the detachment')
    assert cards(cloud, server) == {port: 'ACTIVE'} and plugged(cloud, server) == {port}


def test_a_delete_wins_over_a_queue(cloud: Cloud, server: str) -> None:
    """The first attachment is at its host, others wait behind it."""
    gate, there = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        there.set()
        gate.wait(60)
    FakeDriver.faults['attach_interface'] = hold
    net = lan()
    for _ in range(3):
        attach(cloud, server, net_id=net)
    assert there.wait(60)
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    attach(cloud, server, expect=409, net_id=net)
    gate.set()
    cloud.wait_gone(server)
    cloud.until(lambda: not cloud.leaks(), 'all to be given back')
    with session.read() as conn:
        assert db.list_ports(conn) == []


def test_not_while_something_else_is_done(cloud: Cloud, server: str) -> None:
    net = lan()
    session.write(instances.update, server, {'task_state': 'rebooting'})
    attach(cloud, server, expect=409, net_id=net)
    session.write(instances.update, server, {'task_state': None, 'vm_state': 'shelved_offloaded'})
    attach(cloud, server, expect=409, net_id=net)
    with session.read() as conn:
        assert db.list_ports(conn) == []
