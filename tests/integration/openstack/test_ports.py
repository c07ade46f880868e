"""What a user asks of ports, kept by the real Neutron: address, tag, MTU, quota, and a port deleted there."""
from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import openstack
import pytest

from tests.integration.openstack.conftest import Lab
from tests.integration.openstack.test_network import boot, connect, demo_net, until

ADDRESS, MTU = '10.96.7.77', 1400
#: the guest says what its metadata says of its devices, and how large its packets may be
SCRIPT = '''#!/bin/sh
echo "port-test: mtu=$(cat /sys/class/net/eth0/mtu)" > /dev/console
echo "port-test: $(wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json | base64 | tr -d '\\n')" \\
    > /dev/console
'''


@pytest.fixture(scope='module')
def admin(lab: Lab) -> Any:
    return connect('admin')


@pytest.fixture(scope='module')
def demo(lab: Lab) -> Any:
    return connect('demo')


@pytest.fixture
def tidy() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def small_net(cloud: Any, tidy: contextlib.ExitStack) -> Any:
    net = cloud.network.create_network(name='small', mtu=MTU)
    tidy.callback(cloud.network.delete_network, net.id)
    subnet = cloud.network.create_subnet(network_id=net.id, cidr='10.96.7.0/24', ip_version=4)
    tidy.callback(cloud.network.delete_subnet, subnet.id)
    return net


def test_a_card_is_as_it_was_asked_for(lab: Lab, demo: Any, tidy: contextlib.ExitStack) -> None:
    """Its address, its tag in the metadata, and the network's MTU in the domain and in the guest."""
    net = small_net(demo, tidy)
    server = boot(demo, tidy, networks=[{'uuid': net.id, 'fixed_ip': ADDRESS, 'tag': 'front'}],
                  user_data=base64.b64encode(SCRIPT.encode()).decode())
    (port,) = demo.network.ports(device_id=server.id)
    assert [one['ip_address'] for one in port.fixed_ips] == [ADDRESS]
    assert [one['addr'] for one in server.addresses['small']] == [ADDRESS]
    assert f"<mtu size='{MTU}'/>" in lab.domain(server.id)

    def said() -> Any:
        text = demo.compute.get_server_console_output(server.id)['output']
        return text if re.search(r'port-test: [\w+/=]{40,}', text) else None
    text = until(said, 'the guest to read its metadata')
    assert f'addresses={ADDRESS}/24' in text and f'port-test: mtu={MTU}' in text
    found = re.search(r'port-test: ([\w+/=]{40,})', text)
    assert found
    (device,) = json.loads(base64.b64decode(found[1]))['devices']
    assert (device['type'], device['mac'], device['tags']) == ('nic', port.mac_address, ['front'])


@contextlib.contextmanager
def quota_of_ports(admin: Any, project: str, count: int) -> Iterator[None]:
    admin.network.update_quota(project, port=count)
    try:
        yield
    finally:
        admin.network.delete_quota(project)


def test_no_more_ports_than_the_quota(admin: Any, tidy: contextlib.ExitStack) -> None:
    other = connect('other')
    facts = {'flavor_id': other.compute.find_flavor('m1.nano').id, 'name': 'beyond',
             'image_id': other.image.find_image('minicompute-guest').id}
    net = demo_net(other)
    have = len(list(other.network.ports(project_id=other.current_project_id)))
    with quota_of_ports(admin, other.current_project_id, have):
        with pytest.raises(openstack.exceptions.ForbiddenException, match='Maximum number of ports exceeded'):
            other.compute.create_server(networks=[{'uuid': net}], **facts)
    with quota_of_ports(admin, other.current_project_id, have + 1):
        server = boot(other, tidy, networks=[{'uuid': net}])
        with pytest.raises(openstack.exceptions.ForbiddenException, match=r"Quota exceeded for resources: \['port'\]"):
            other.compute.create_server_interface(server.id, net_id=net)
    assert len(list(other.network.ports(device_id=server.id))) == 1
    assert 'beyond' not in [one.name for one in other.compute.servers()]


def test_a_port_that_is_deleted_in_neutron(lab: Lab, admin: Any, demo: Any, tidy: contextlib.ExitStack) -> None:
    """`network-vif-deleted`: the card goes out of the guest, and out of our answers. (Neutron lets no user do it.)"""
    net = demo_net(demo)
    server = boot(demo, tidy, networks=[{'uuid': net}])
    (first,) = demo.network.ports(device_id=server.id)
    card = demo.compute.create_server_interface(server.id, net_id=net)
    until(lambda: card.mac_addr in lab.domain(server.id), 'the second card to be there')
    until(lambda: demo.compute.get_server(server.id).task_state is None, 'the server to rest')
    admin.network.delete_port(card.port_id)
    until(lambda: [one.port_id for one in demo.compute.server_interfaces(server.id)] == [first.id],
          'our record to follow')
    until(lambda: card.mac_addr not in lab.domain(server.id), 'the card to go')
    assert first.mac_address in lab.domain(server.id)
    assert len(demo.compute.get_server(server.id).addresses['demo']) == 1
