"""The Network v2.0 application under noauth2, through the filters of api-paste.ini, and with the real SDK."""
from __future__ import annotations

import json
from typing import Any

import openstack
import pytest

from minicompute import conf as conf_module
from minicompute.context import RequestContext
from minicompute.network.local import LocalNetworks
from minicompute.wsgi import paste
from tests.functional.small import Caller, Server

SERVER = '5f0a3c55-7d53-4a39-9f2b-2b1f0d0f6f11'
NOWHERE = '00000000-0000-0000-0000-000000000000'


@pytest.fixture
def app(database: str, conf: Any) -> Any:
    conf_module.setup([], 'tests', [])
    conf.set_override('auth_strategy', 'noauth2', 'api')
    return paste.load('osapi_compute')


@pytest.fixture
def operator(app: Any) -> Caller:
    return Caller(app, '/network/v2.0')


@pytest.fixture
def alice(app: Any) -> Caller:
    return Caller(app, '/network/v2.0', token='alice:demo')


@pytest.fixture
def bob(app: Any) -> Caller:
    return Caller(app, '/network/v2.0', token='bob:other')


def network(caller: Caller, cidr: str | None = '10.1.0.0/24', **values: Any) -> dict[str, Any]:
    made: dict[str, Any] = caller('POST', '/networks', {'network': {'name': 'net', **values}}, status=201)['network']
    if cidr is not None:
        body = {'subnet': {'network_id': made['id'], 'cidr': cidr, 'ip_version': 4}}
        caller('POST', '/subnets', body, status=201)
    return made


def boot(project_id: str, network_id: str) -> Any:
    context = RequestContext(user_id='u', project_id=project_id, overwrite=False)
    return LocalNetworks().allocate(context, SERVER, project_id, 'host1', [{'id': network_id}])[0]


def test_a_network_and_its_subnet(operator: Caller) -> None:
    net = network(operator, None, name='front', mtu=1400)
    assert (net['subnets'], net['shared'], net['provider:network_type']) == ([], False, 'local')
    subnet = operator('POST', '/subnets', {'subnet': {
        'network_id': net['id'], 'cidr': '10.1.0.0/24', 'ip_version': 4, 'name': 'sub', 'gateway_ip': '10.1.0.254',
        'allocation_pools': [{'start': '10.1.0.10', 'end': '10.1.0.20'}], 'dns_nameservers': ['9.9.9.9']}},
        status=201)['subnet']
    assert operator('GET', f'/networks/{net["id"]}')['network']['subnets'] == [subnet['id']]
    assert operator('GET', f'/subnets/{subnet["id"]}')['subnet'] == subnet
    assert (subnet['gateway_ip'], subnet['dns_nameservers']) == ('10.1.0.254', ['9.9.9.9'])
    assert subnet['allocation_pools'] == [{'start': '10.1.0.10', 'end': '10.1.0.20'}]
    second = {'subnet': {'network_id': net['id'], 'cidr': '10.2.0.0/24', 'ip_version': 4}}
    assert 'one at most' in operator('POST', '/subnets', second, status=409)['NeutronError']['message']
    renamed = operator('PUT', f'/networks/{net["id"]}', {'network': {'name': 'new', 'shared': True}})['network']
    assert (renamed['name'], renamed['shared']) == ('new', True)
    operator('PUT', f'/subnets/{subnet["id"]}', {'subnet': {'name': 's2', 'dns_nameservers': []}})
    operator('DELETE', f'/subnets/{subnet["id"]}', status=204)
    operator('GET', f'/subnets/{subnet["id"]}', status=404)
    operator('DELETE', f'/networks/{net["id"]}', status=204)
    operator('DELETE', f'/networks/{net["id"]}', status=404)


@pytest.mark.parametrize(('values', 'status', 'field'), [
    ({'name': 5}, 400, 'name'), ({'name': 'x' * 256}, 400, 'name'), ({'mtu': 1}, 400, 'mtu'),
    ({'shared': 'yes'}, 400, 'shared'), ({'admin_state_up': False}, 400, 'admin_state_up'),
    ({'odd': 1}, 400, 'odd'), ({'provider:network_type': 'vlan'}, 400, 'network_type'),
    ({'provider:network_type': 'flat'}, 400, 'physical_network'), ({'description': 'x'}, 400, 'description'),
    ({'provider:physical_network': 'br0'}, 400, 'physical_network'),
    ({'provider:network_type': 'flat', 'provider:physical_network': '../x'}, 400, 'physical_network'),
    ({'project_id': 'a', 'tenant_id': 'b'}, 400, 'project_id')])
def test_wrong_networks_name_the_field(operator: Caller, values: Any, status: int, field: str) -> None:
    answer = operator('POST', '/networks', {'network': values}, status=status)['NeutronError']
    assert field in answer['message'] and answer['type'] and answer['detail'] == ''
    assert operator('GET', '/networks')['networks'] == []


@pytest.mark.parametrize(('values', 'field'), [
    ({'cidr': '10.1.0.5/24'}, 'cidr'), ({'cidr': 'x'}, 'cidr'), ({'cidr': '10.1.0.0'}, 'cidr'), ({'cidr': 5}, 'cidr'),
    ({'cidr': '10.1.0.0/31'}, 'cidr'), ({'cidr': '0.0.0.0/0'}, 'cidr'), ({'cidr': '127.0.0.0/24'}, 'cidr'),
    ({'cidr': '169.254.0.0/24'}, 'cidr'), ({'cidr': 'fd00::/64', 'ip_version': 6}, 'ip_version'),
    ({'cidr': 'fd00::/64'}, 'cidr'), ({'gateway_ip': '10.2.0.1'}, 'gateway_ip'), ({'gateway_ip': None}, 'gateway_ip'),
    ({'gateway_ip': '10.1.0.255'}, 'gateway_ip'), ({'gateway_ip': 'x'}, 'gateway_ip'),
    ({'enable_dhcp': False}, 'enable_dhcp'), ({'dns_nameservers': ['x']}, 'dns_nameservers'),
    ({'allocation_pools': [{'start': '10.1.0.9', 'end': '10.1.0.5'}]}, 'allocation_pools'),
    ({'allocation_pools': [{'start': '10.1.0.9', 'end': '10.2.0.5'}]}, 'allocation_pools'),
    ({'allocation_pools': [{'start': '10.1.0.1', 'end': '10.1.0.1'}]}, 'allocation_pools'),
    ({'allocation_pools': [{'start': '10.1.0.9'}]}, 'end'), ({'host_routes': [{}]}, 'host_routes')])
def test_wrong_subnets_name_the_field(operator: Caller, values: Any, field: str) -> None:
    net = network(operator, None)
    body = {'subnet': {'network_id': net['id'], 'cidr': '10.1.0.0/24', 'ip_version': 4, **values}}
    assert field in operator('POST', '/subnets', body, status=400)['NeutronError']['message']
    assert operator('GET', '/subnets')['subnets'] == []


def test_what_a_subnet_needs(operator: Caller) -> None:
    for body in ({'subnet': {'cidr': '10.1.0.0/24'}}, {'subnet': {'network_id': NOWHERE}}, {}, {'subnet': []}, []):
        operator('POST', '/subnets', json.dumps(body).encode(), status=400)
    operator('POST', '/subnets', {'subnet': {'network_id': NOWHERE, 'cidr': '10.1.0.0/24'}}, status=404)


def test_overlaps(operator: Caller) -> None:
    network(operator, '10.1.0.0/24')
    net = network(operator, None)
    body = {'subnet': {'network_id': net['id'], 'cidr': '10.1.0.0/16'}}
    assert 'cidr' in operator('POST', '/subnets', body, status=409)['NeutronError']['message']
    flat = {'provider:network_type': 'flat', 'provider:physical_network': 'br0'}
    network(operator, '10.1.0.0/16', **flat)      # another wire: what lies there is not our business
    assert 'br0' in operator('POST', '/networks', {'network': flat}, status=409)['NeutronError']['message']


def test_others(operator: Caller, alice: Caller, bob: Caller) -> None:
    mine = network(alice, '10.1.0.0/24')
    shared = network(operator, '10.2.0.0/24', shared=True)
    assert 'provider:network_type' not in mine
    assert {net['id'] for net in bob('GET', '/networks')['networks']} == {shared['id']}
    assert {net['id'] for net in operator('GET', '/networks')['networks']} == {mine['id'], shared['id']}
    subnet = operator('GET', '/subnets?cidr=10.1.0.0/24')['subnets'][0]
    for path in (f'/networks/{mine["id"]}', f'/subnets/{subnet["id"]}'):
        bob('GET', path, status=404)
        bob('DELETE', path, status=404)
    bob('DELETE', f'/networks/{shared["id"]}', status=403)
    bob('PUT', f'/networks/{shared["id"]}', {'network': {'name': 'x'}}, status=403)
    bob('DELETE', f'/subnets/{shared["subnets"] or bob("GET", "/subnets")["subnets"][0]["id"]}', status=403)
    for values in ({'shared': True}, {'project_id': 'demo'}, {'provider:network_type': 'local'}):
        bob('POST', '/networks', {'network': values}, status=403)
    bob('POST', '/ports', {'port': {'network_id': mine['id']}}, status=404)
    bob('GET', '/quotas/demo', status=403)


def test_lists(operator: Caller) -> None:
    for name in ('b', 'a', 'c'):
        network(operator, None, name=name)

    def names(query: str) -> list[str]:
        return [net['name'] for net in operator('GET', f'/networks?{query}')['networks']]
    assert names('') == ['b', 'a', 'c'] and names('sort_key=name&sort_dir=desc') == ['c', 'b', 'a']
    assert names('name=a&name=c') == ['a', 'c'] and names('shared=False') == ['b', 'a', 'c']
    assert names('shared=True') == names('status=DOWN') == names('tags=x') == names('provider:network_type=flat') == []
    first = operator('GET', '/networks?limit=2&fields=id&fields=name')
    assert set(first['networks'][0]) == {'id', 'name'}
    link = first['networks_links'][0]['href']
    assert [net['name'] for net in operator('GET', link.partition('v2.0')[2])['networks']] == ['c']
    for query in ('limit=x', 'sort_key=name&sort_dir=up', f'marker={NOWHERE}'):
        operator('GET', f'/networks?{query}', status=400)


def test_ports(alice: Caller, bob: Caller, operator: Caller) -> None:
    net = network(alice)
    vif = boot('demo', net['id'])
    port = alice('GET', f'/ports/{vif.id}')['port']
    assert (port['device_id'], port['status'], port['mac_address']) == (SERVER, 'ACTIVE', vif.mac_address)
    assert port['fixed_ips'][0]['ip_address'] == vif.fixed_ips[0].address
    assert operator('GET', f'/ports?device_id={SERVER}')['ports'][0]['binding:host_id'] == 'host1'
    assert bob('GET', '/ports')['ports'] == []
    bob('GET', f'/ports/{vif.id}', status=404)
    alice('DELETE', f'/ports/{vif.id}', status=409)
    alice('DELETE', f'/networks/{net["id"]}', status=409)
    alice('DELETE', f'/subnets/{port["fixed_ips"][0]["subnet_id"]}', status=409)


def test_ports_made_by_hand(alice: Caller) -> None:
    net = network(alice)
    mac = '52:54:00:12:34:56'
    asked = {'network_id': net['id'], 'fixed_ips': [{'ip_address': '10.1.0.77'}], 'mac_address': mac}
    port = alice('POST', '/ports', {'port': asked}, status=201)['port']
    assert (port['status'], port['mac_address'], port['device_id']) == ('DOWN', mac, '')
    assert alice('GET', '/ports?fixed_ips=ip_address=10.1.0.77')['ports'] == [port]
    for more, status in (({}, 409), ({'mac_address': 'fa:16:3e:00:00:01'}, 400), ({'mac_address': 'x'}, 400),
                         ({'mac_address': '01:00:5e:00:00:01'}, 400), ({'name': 'x'}, 400),
                         ({'fixed_ips': [{'ip_address': '10.2.0.1'}]}, 409),
                         ({'fixed_ips': [{'subnet_id': NOWHERE}], 'mac_address': 'fa:16:3e:00:00:01'}, 400)):
        alice('POST', '/ports', {'port': {**asked, **more}}, status=400 if '10.2' in str(more) else status)
    alice('DELETE', f'/ports/{port["id"]}', status=204)
    bare = network(alice, None)
    error = alice('POST', '/ports', {'port': {'network_id': bare['id']}}, status=400)['NeutronError']
    assert error['type'] == 'NetworkRequiresSubnet'


def test_what_is_always_the_same(app: Any, operator: Caller) -> None:
    assert {found['alias'] for found in operator('GET', '/extensions')['extensions']} >= {'security-group', 'provider'}
    operator('GET', '/extensions/net-mtu')
    operator('GET', '/extensions/router', status=404)
    operator('GET', '/extensions/security-group')
    assert operator('GET', '/quotas/demo')['quota']['network'] == -1
    for path in ('/network', '/network/v2.0'):
        assert Caller(app, '')('GET', path)['versions'][0]['links'][0]['href'].endswith('/network/v2.0/')
    operator('GET', '/routers', status=404)
    operator('PUT', '/networks', status=405)


def test_below_the_compute_endpoint(app: Any, operator: Caller) -> None:
    """Where novaclient looks when it has OS_ENDPOINT_OVERRIDE only."""
    net = network(operator)
    for prefix in ('/v2.1', '/v2.1/admin'):
        assert Caller(app, prefix)('GET', '/v2.0/networks?name=net')['networks'][0]['id'] == net['id']
        assert Caller(app, prefix)('GET', '/v2.0/security-group-rules')['security_group_rules'] is not None


def test_the_sdk(app: Any) -> None:
    with Server(app) as url, openstack.connect(auth_type='none', auth={},
                                               network_endpoint_override=f'{url}/network') as cloud:
        net = cloud.network.create_network(name='one')
        subnet = cloud.network.create_subnet(network_id=net.id, name='sub', cidr='10.1.0.0/24', ip_version=4)
        assert cloud.network.find_network('one').subnet_ids == [subnet.id]
        assert [found.name for found in cloud.network.subnets(network_id=net.id)] == ['sub']
        with pytest.raises(openstack.exceptions.ConflictException, match='one at most'):
            cloud.network.create_subnet(network_id=net.id, cidr='10.2.0.0/24', ip_version=4)
        port = cloud.network.create_port(network_id=net.id)
        assert cloud.network.get_port(port.id).fixed_ips[0]['subnet_id'] == subnet.id
        cloud.network.delete_port(port)
        cloud.network.delete_subnet(subnet)
        cloud.network.delete_network(net)
        assert list(cloud.network.networks()) == []
