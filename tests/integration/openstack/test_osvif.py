"""Cards of Neutron's on the real kernel and a real Open vSwitch, on bridges of our own."""
from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.objects import VIF
from minicompute.virt.libvirt import osvif
from tests.integration.openstack.conftest import Lab

SERVER = '00000000-0000-4000-8000-0000000000aa'
SOCKET = '/run/openvswitch/db.sock'
PORT = '0fa10000-1111-4222-8333-444444444444'


def card(kind: str, bridge: str, **details: Any) -> VIF:
    return VIF(id=PORT, network_id='6d1f7a4e-0000-4000-8000-000000000001', network_name='n', kind=kind, mtu=1400,
               mac_address='fa:16:3e:00:00:01', details={'bridge': bridge, 'datapath_type': 'netdev', **details})


def switch(*words: str) -> str:
    done = subprocess.run(['ovs-vsctl', f'--db=unix:{SOCKET}', '--timeout=10', *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def there(name: str) -> bool:
    return os.path.exists(f'/sys/class/net/{name}')


@pytest.fixture
def bridge(lab: Lab) -> Iterator[str]:
    yield 'mc-test-br'
    switch('--if-exists', 'del-br', 'mc-test-br')


def test_the_bridge_of_a_trunk_comes_and_goes(bridge: str) -> None:
    one = card('ovs', 'tbr-mctest')
    for _ in range(2):
        osvif.plug(one, SERVER)
        assert 'tbr-mctest' in switch('list-br').split()
    for _ in range(2):
        osvif.unplug(one, SERVER)
        assert 'tbr-mctest' not in switch('list-br').split()


def test_a_card_behind_a_linux_bridge(bridge: str) -> None:
    one = card('ovs', bridge, ovs_hybrid_plug=True)
    here, upper = osvif.bridge(one), ('qvo' + PORT)[:14]
    for _ in range(2):
        osvif.plug(one, SERVER)
        assert switch('list-ports', bridge) == upper and there(here)
        assert PORT in switch('get', 'Interface', upper, 'external_ids:iface-id')
    switch('del-port', bridge, upper)       # a plug that was killed half-way
    osvif.plug(one, SERVER)
    assert switch('list-ports', bridge) == upper
    for _ in range(2):
        osvif.unplug(one, SERVER)
        assert not there(here) and not there(upper) and not switch('list-ports', bridge)


def test_the_bridge_of_an_agent_that_comes_later() -> None:
    name = 'brqmctest0000'
    one = card('bridge', name)
    try:
        racers = [threading.Thread(target=osvif.plug, args=(one, SERVER)) for _ in range(4)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        osvif.plug(one, SERVER)
        with open(f'/sys/class/net/{name}/mtu', encoding='ascii') as mtu:
            assert there(f'{name}/bridge') and mtu.read().strip() == '1400'
        osvif.unplug(one, SERVER)
        assert there(name), 'it is the agent who removes it'
    finally:
        with contextlib.suppress(OSError):
            subprocess.run(['ip', 'link', 'delete', name], capture_output=True)
