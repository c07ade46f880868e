"""What ports and networks of Neutron cannot be for a server, with the codes of Nova: nothing is left of the request."""
from __future__ import annotations

import uuid as uuidlib
from typing import Any

import pytest

from minicompute.conductor import debts
from minicompute.db import session
from minicompute.db.api import owed
from tests.functional.cloud import Cloud
from tests.functional.neutron_server import Fault, Neutron
from tests.functional.test_neutron import attach, boot, cloud, quiet, record, refused, tell

__all__ = ['cloud']

BANDWIDTH = {'request_groups': [{'id': str(uuidlib.uuid4()), 'required': ['CUSTOM_PHYSNET_X'],
                                 'resources': {'NET_BW_EGR_KILOBIT_PER_SEC': 1000}}], 'same_subtree': []}
#: before the extension port-resource-request-groups
OLD_BANDWIDTH = {'required': ['CUSTOM_PHYSNET_X'], 'resources': {'NET_BW_IGR_KILOBIT_PER_SEC': 1000}}


@pytest.mark.parametrize('wanted', [BANDWIDTH, OLD_BANDWIDTH], ids=['groups', 'old'])
def test_a_port_that_wants_a_guarantee(cloud: Cloud, neutron: Neutron, wanted: Any) -> None:
    net = neutron.network()
    neutron.extensions.append('port-resource-request')
    port = neutron.port(net, resource_request=wanted)
    assert 'bandwidth' in refused(cloud, [{'port': port}], 400)
    uuid = boot(cloud, net)['id']
    assert 'bandwidth' in attach(cloud, uuid, 400, port_id=port)
    quiet(cloud)
    assert neutron.ports[port]['device_id'] == ''


def test_a_port_whose_policy_guarantees_nothing(cloud: Cloud, neutron: Neutron) -> None:
    neutron.extensions.append('port-resource-request')
    net = neutron.network()
    port = neutron.port(net, resource_request={'request_groups': [], 'same_subtree': []})
    other = neutron.port(net, resource_request=None)
    cloud.wait(cloud.boot(networks=[{'port': port}, {'port': other}])['id'])


def test_a_network_whose_ports_are_guaranteed(cloud: Cloud, neutron: Neutron) -> None:
    """Only a port of it tells. It is taken back."""
    net, plain = neutron.network(guarantees=BANDWIDTH), neutron.network()
    failed = cloud.wait(cloud.boot(networks=[{'uuid': net}])['id'], 'ERROR')
    assert 'QoS policies' in failed['fault']['message'] and not neutron.ports
    uuid = boot(cloud, plain)['id']
    assert 'QoS policies' in attach(cloud, uuid, 400, net_id=net)
    quiet(cloud)
    assert list(neutron.held().values()) == [uuid] and len(neutron.ports) == 1


@pytest.mark.parametrize('facts, said', [
    ({'binding:vnic_type': 'direct'}, 'binding:vnic_type direct'),
    ({'binding:vnic_type': 'macvtap'}, 'binding:vnic_type macvtap'), ({'device_profile': 'fpga'}, 'device_profile')])
def test_a_port_for_hardware(cloud: Cloud, neutron: Neutron, facts: Any, said: str) -> None:
    net = neutron.network()
    port = neutron.port(net, **facts)
    assert said in refused(cloud, [{'port': port}], 400)
    assert said in attach(cloud, boot(cloud, net)['id'], 400, port_id=port)


def test_a_port_with_another_servers_name(cloud: Cloud, neutron: Neutron) -> None:
    """The name of the server is known when its build takes the port."""
    net = neutron.network()
    port, same = neutron.port(net, dns_name='other'), neutron.port(net, dns_name='VM')
    failed = cloud.wait(cloud.boot(networks=[{'port': port}])['id'], 'ERROR')
    assert 'dns_name' in failed['fault']['message'] and not neutron.held()
    assert neutron.ports[port]['dns_name'] == 'other'
    cloud.wait(cloud.boot(networks=[{'port': same}])['id'])


def test_codes_of_an_attachment(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    uuid, other = boot(cloud, net)['id'], neutron.network('other')
    taken = record(uuid).network_info[0].fixed_ips[0].address
    nowhere = str(uuidlib.uuid4())
    own = neutron.network(subnet=False)
    for expect, said, body in (
            (409, 'already in use', {'net_id': net, 'fixed_ips': [{'ip_address': taken}]}),
            (404, 'could not be found', {'net_id': nowhere}), (404, 'could not be found', {'port_id': nowhere}),
            (400, 'not of project', {'port_id': neutron.port(other, 'other')}),
            (400, 'requires a subnet', {'net_id': own}),
            (400, 'requires a FixedIP', {'port_id': neutron.port(net, fixed_ips=[])}),
            (400, 'not a valid IP', {'net_id': net, 'fixed_ips': [{'ip_address': '192.0.2.1'}]})):
        assert said in attach(cloud, uuid, expect, **body), body
        quiet(cloud)
    assert [card.active for card in record(uuid).network_info] == [True]


def test_an_address_that_somebody_takes_in_between(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    uuid = boot(cloud, net)['id']
    addresses, other = neutron._addresses, neutron.port(net)

    def gone(network: Any, asked: Any) -> Any:
        """The look has found it free; the making does not."""
        neutron.ports[other]['fixed_ips'] = [{'subnet_id': network['subnets'][0], **asked[0]}]
        return addresses(network, asked)
    neutron._addresses = gone       # type: ignore[method-assign]
    assert 'already' in attach(cloud, uuid, 409, net_id=net, fixed_ips=[{'ip_address': '10.10.0.99'}])
    quiet(cloud)
    assert len(record(uuid).network_info) == 1 == len(neutron.held())


def test_an_address_for_a_new_server_that_is_none_of_the_network(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    failed = cloud.wait(cloud.boot(networks=[{'uuid': net, 'fixed_ip': '192.0.2.1'}])['id'], 'ERROR')
    assert 'not a valid IP' in failed['fault']['message'] and not neutron.ports


def test_a_quota_that_is_used_up_in_between(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    neutron.faults.append(Fault('POST', '/ports', 409))
    failed = cloud.wait(cloud.boot(networks=[{'uuid': net}])['id'], 'ERROR')
    assert failed['fault']['message'] and not neutron.ports


def test_the_tag_and_the_mtu_of_a_card(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network(mtu=1400)
    uuid = cloud.wait(cloud.boot(networks=[{'uuid': net, 'tag': 'front'}])['id'])['id']
    (card,) = record(uuid).network_info
    assert (card.mtu, card.tag) == (1400, 'front')
    neutron.tables['networks'][net]['mtu'] = 9000
    tell(cloud, 'network-changed', uuid, card.id)
    (card,) = record(uuid).network_info
    assert (card.mtu, card.tag) == (9000, 'front'), 'Neutron knows no tags of ours'
    shown = cloud.api('GET', f'/servers/{uuid}/os-interface', version='2.70')['interfaceAttachments']
    assert [one['tag'] for one in shown] == ['front']


def test_a_card_that_is_deleted_while_its_host_is_away(cloud: Cloud, neutron: Neutron) -> None:
    uuid = boot(cloud, neutron.network(), neutron.network(name='two'))['id']
    gone = record(uuid).network_info[0].id
    host = record(uuid).host
    service = next(one for one in cloud.api('GET', '/os-services?binary=nova-compute')['services']
                   if one['host'] == host)
    cloud.api('PUT', f"/os-services/{service['id']}", {'forced_down': True})
    del neutron.ports[gone]
    tell(cloud, 'network-vif-deleted', uuid, gone)
    cloud.until(lambda: gone not in {card.id for card in record(uuid).network_info}, 'the record to follow')
    tell(cloud, 'network-vif-deleted', uuid, gone)      # what is gone is told twice
    quiet(cloud)


def test_a_delete_ends_whatever_is_refused(cloud: Cloud, neutron: Neutron) -> None:
    """What is left is owed; the other ports go at once."""
    uuid = boot(cloud, neutron.network(), neutron.network(name='two'))['id']
    bad, good = (card.id for card in record(uuid).network_info)
    neutron.faults.append(Fault('DELETE', f'/ports/{bad}', 409, times=None))
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    cloud.wait_gone(uuid)
    assert bad in neutron.ports and good not in neutron.ports
    assert debts.pay() == 0
    neutron.faults.clear()
    with session.read() as conn:
        (row,) = owed.of_neighbours(conn, 10)
    assert row.verb == f'ports {uuid}' and row.data['refused'] == 1
    session.write(owed.make_due, row)
    assert debts.pay() == 1 and not neutron.ports
