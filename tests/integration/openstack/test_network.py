"""A guest on a network of the real Neutron, by the unmodified openstacksdk, as a plain user.

The lab that runs is used (OPENSTACK_HOME, by default run/openstack, says where), or one is brought up.
"""
from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import openstack
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
HOME = pathlib.Path(os.environ.get('OPENSTACK_HOME') or ROOT / 'run' / 'openstack')
PATIENCE = 120.0

pytestmark = pytest.mark.usefixtures('lab')


def until(look: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        if found := look():
            return found
        assert time.monotonic() < end, f'waited {PATIENCE} s for {what}'
        time.sleep(0.5)


def connect(name: str) -> Any:
    os.environ['OS_CLIENT_CONFIG_FILE'] = str(HOME / 'clouds.yaml')
    return openstack.connect(cloud=name)


@pytest.fixture(scope='module')
def admin() -> Any:
    return connect('admin')


@pytest.fixture(scope='module')
def demo() -> Any:
    return connect('demo')


@pytest.fixture
def tidy() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def boot(demo: Any, tidy: contextlib.ExitStack, **more: Any) -> Any:
    """-> a server that runs, with the key of the lab."""
    if demo.compute.find_keypair('network-test') is None:
        public = (HOME / 'demo_key.pub').read_text()
        demo.compute.create_keypair(name='network-test', public_key=public)
    server = demo.compute.create_server(
        name=f'net-{uuid.uuid4().hex[:8]}', flavor_id=demo.compute.find_flavor('m1.nano').id,
        image_id=demo.image.find_image('minicompute-guest').id, key_name='network-test', **more)

    def gone() -> None:
        demo.compute.delete_server(server, ignore_missing=True)
        until(lambda: demo.compute.find_server(server.id, ignore_missing=True) is None, 'the server to go')
    tidy.callback(gone)

    def look() -> Any:
        now = demo.compute.get_server(server.id)
        assert now.status != 'ERROR', now.fault
        return now if now.status == 'ACTIVE' else None
    return until(look, 'the server to run')


def demo_net(demo: Any) -> str:
    return str(demo.network.find_network('demo').id)


def answers(address: str) -> bool:
    try:
        socket.create_connection((address, 22), 2).close()
    except OSError:
        return False
    return True


def ssh(address: str, command: str) -> str | None:
    done = subprocess.run(
        ['ssh', '-i', str(HOME / 'demo_key'), '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null',
         '-o', 'ConnectTimeout=5', f'root@{address}', command], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def test_a_guest_has_its_address_its_metadata_and_ssh(admin: Any, demo: Any, tidy: contextlib.ExitStack) -> None:
    server = boot(demo, tidy, networks=[{'uuid': demo_net(demo)}])
    port = next(iter(demo.network.ports(device_id=server.id)))
    assert admin.network.get_port(port.id).status == 'ACTIVE', 'it was not started before its port was ready'
    fixed = port.fixed_ips[0]['ip_address']
    assert [one['addr'] for one in server.addresses['demo']] == [fixed]
    console = until(lambda: (lambda text: text if 'minicompute-guest: up' in text else '')(
        demo.compute.get_server_console_output(server.id)['output']), 'the guest to be up')
    assert f'addresses={fixed}/24' in console and 'source=metadata-service' in console

    floating = demo.network.create_ip(floating_network_id=demo.network.find_network('public').id, port_id=port.id)
    tidy.callback(demo.network.delete_ip, floating.id)
    address = floating.floating_ip_address
    until(lambda: address in [one['addr'] for one in demo.compute.get_server(server.id).addresses['demo']],
          'the floating address in the answer')
    assert not answers(address), 'the group default lets nothing in'

    group = demo.network.create_security_group(name=f'ssh-{uuid.uuid4().hex[:8]}')
    tidy.callback(demo.network.delete_security_group, group.id)
    tidy.callback(demo.compute.remove_security_group_from_server, server, group)
    demo.network.create_security_group_rule(security_group_id=group.id, direction='ingress', protocol='tcp',
                                            port_range_min=22, port_range_max=22, ethertype='IPv4')
    demo.compute.add_security_group_to_server(server, group)
    assert group.name in [one['name'] for one in demo.compute.get_server(server.id).security_groups]
    until(lambda: answers(address), 'the group to open the port')
    assert fixed in until(lambda: ssh(address, 'ip -4 addr show'), 'ssh')


def test_a_card_comes_and_goes(admin: Any, demo: Any, tidy: contextlib.ExitStack) -> None:
    net = demo_net(demo)
    server = boot(demo, tidy, networks=[{'uuid': net}])
    card = demo.compute.create_server_interface(server.id, net_id=net)
    until(lambda: admin.network.get_port(card.port_id).status == 'ACTIVE', 'the second port')
    until(lambda: [one.port_state for one in demo.compute.server_interfaces(server.id)] == ['ACTIVE'] * 2,
          'both cards in our answer')
    demo.compute.delete_server_interface(card.port_id, server=server.id)
    until(lambda: not list(admin.network.ports(id=card.port_id)), 'the second port to go')
    until(lambda: len(list(demo.compute.server_interfaces(server.id))) == 1, 'our record to follow')


def test_a_users_port_stays(admin: Any, demo: Any, tidy: contextlib.ExitStack) -> None:
    own = demo.network.create_port(network_id=demo_net(demo), name='own')
    tidy.callback(demo.network.delete_port, own.id)
    with contextlib.ExitStack() as inner:
        server = boot(demo, inner, networks=[{'port': own.id}])
        assert admin.network.get_port(own.id).device_id == server.id
    left = admin.network.get_port(own.id)
    assert (left.device_id, left.binding_host_id, left.status) == ('', '', 'DOWN')


def test_another_project_has_nothing_of_it(demo: Any, tidy: contextlib.ExitStack) -> None:
    other = connect('other')
    net = demo.network.create_network(name='private')
    tidy.callback(demo.network.delete_network, net.id)
    subnet = demo.network.create_subnet(network_id=net.id, cidr='10.99.0.0/24', ip_version=4)
    tidy.callback(demo.network.delete_subnet, subnet.id)
    with pytest.raises(openstack.exceptions.BadRequestException, match='could not be found'):
        other.compute.create_server(name='x', flavor_id=other.compute.find_flavor('m1.nano').id,
                                    image_id=other.image.find_image('minicompute-guest').id,
                                    networks=[{'uuid': net.id}])
