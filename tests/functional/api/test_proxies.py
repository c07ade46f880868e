"""The proxies to networks, volumes and bare metal: up to 2.35, and what is left of them after."""
from __future__ import annotations

import dataclasses
import uuid

import pytest

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import networks, volume_snapshots
from minicompute.network import local
from minicompute.objects import VolumeSnapshot
from tests.functional.api.client import fault

NOBODY = '00000000-0000-4000-8000-000000000000'
ENDED = [('GET', '/os-networks'), ('GET', f'/os-networks/{NOBODY}'), ('GET', '/os-tenant-networks'),
         ('GET', f'/os-tenant-networks/{NOBODY}'), ('GET', '/os-floating-ips'), ('GET', '/os-floating-ip-pools'),
         ('GET', f'/os-floating-ips/{NOBODY}'), ('DELETE', f'/os-floating-ips/{NOBODY}'),
         ('POST', '/os-floating-ips'), ('GET', '/os-security-groups'), ('POST', '/os-security-groups'),
         ('GET', f'/os-security-groups/{NOBODY}'), ('PUT', f'/os-security-groups/{NOBODY}'),
         ('DELETE', f'/os-security-groups/{NOBODY}'), ('POST', '/os-security-group-rules'),
         ('DELETE', f'/os-security-group-rules/{NOBODY}'), ('GET', '/os-volumes'), ('POST', '/os-volumes'),
         ('GET', '/os-volumes/detail'), ('GET', f'/os-volumes/{NOBODY}'), ('DELETE', f'/os-volumes/{NOBODY}'),
         ('GET', '/os-snapshots'), ('POST', '/os-snapshots'), ('GET', '/os-snapshots/detail'),
         ('GET', f'/os-snapshots/{NOBODY}'), ('DELETE', f'/os-snapshots/{NOBODY}'),
         ('GET', '/os-baremetal-nodes'), ('POST', '/os-baremetal-nodes'), ('GET', f'/os-baremetal-nodes/{NOBODY}'),
         ('DELETE', f'/os-baremetal-nodes/{NOBODY}'), ('GET', '/images'), ('GET', '/images/detail')]


def network(name: str, project: str, cidr: str, shared: bool = False) -> str:
    made = local.new_network(name=name, project_id=project, shared=shared)
    session.write(networks.insert_network, made)
    wanted = networks.with_cidr(dataclasses.replace(made, subnet_id=str(uuid.uuid4())), cidr)
    session.write(networks.set_subnet, wanted)
    return made.id


@pytest.mark.parametrize(('method', 'path'), ENDED)
def test_from_2_36_on_they_are_not_there(api, method, path):
    answer = api.call(method, path, {} if method in ('POST', 'PUT') else None, version='2.36')
    assert answer.status_int == 404 and answer.json['itemNotFound']['code'] == 404


@pytest.mark.parametrize(('method', 'path'), ENDED)
def test_up_to_2_35_and_under_v2_they_are_there(api, method, path):
    for full in (path, f'/v2{path}'):
        answer = api.call(method, full, {} if method in ('POST', 'PUT') else None, version='2.35')
        assert answer.status_int < 600 and 'is not supported on this method' not in answer.text
        assert answer.status_int != 500, answer.text


def test_networks(api, member):
    mine, shared = network('mine', 'demo', '10.5.0.0/24'), network('all', 'admin', '10.6.0.0/24', shared=True)
    network('other', 'elsewhere', '10.7.0.0/24')
    found = member.get('/os-networks', version='2.35')['networks']
    assert {one['id']: one['label'] for one in found} == {mine: 'mine', shared: 'all'}
    assert set(found[0]) == {'id', 'label', 'cidr', 'netmask', 'gateway', 'broadcast', 'dns1', 'dns2', 'cidr_v6',
                             'gateway_v6', 'netmask_v6'}
    assert all(found[0][name] is None for name in found[0] if name not in ('id', 'label'))
    shown = api.get(f'/os-networks/{mine}')['network']
    assert len(shown) == 32 and shown['label'] == 'mine' and shown['bridge'] is None
    assert fault(member.get(f'/os-networks/{NOBODY}', code=404)) == ('itemNotFound', 404, 'Network not found')
    member.get('/os-networks?no=such', version='2.1')


def test_tenant_networks(member):
    mine = network('mine', 'demo', '10.5.0.0/24')
    assert member.get('/os-tenant-networks')['networks'] == [{'id': mine, 'label': 'mine', 'cidr': 'None'}]
    assert member.get(f'/os-tenant-networks/{mine}')['network']['id'] == mine
    assert fault(member.get('/os-tenant-networks/x', code=404))[2] == 'Network not found'


def test_floating_ips(member):
    assert member.get('/os-floating-ip-pools') == {'floating_ip_pools': []}
    assert member.get('/os-floating-ips') == {'floating_ips': []}
    for body in (None, {}, {'pool': None}, {'pool': 'public'}, {'pool': 'public', 'more': 1}):
        answer = member.call('POST', '/os-floating-ips', body, version='2.35')
        assert answer.status_int == 404 and 'pool not found' in answer.text, answer.text
    assert member.call('POST', '/os-floating-ips', {'pool': 1}).status_int == 400
    assert 'ID abc' in fault(member.get('/os-floating-ips/abc', code=404))[2]
    member.delete('/os-floating-ips/abc', code=404)
    away = {'removeFloatingIp': {'address': '192.0.2.9'}}
    assert 'address 192.0.2.9' in fault(member.post(f'/servers/{NOBODY}/action', away, 404, version='2.43'))[2]
    member.post(f'/servers/{NOBODY}/action', {'addFloatingIp': {'address': '192.0.2.9'}}, 404, version='2.43')
    member.post(f'/servers/{NOBODY}/action', {'addFloatingIp': {'address': 'x'}}, 400, version='2.43')
    for name in ('addFloatingIp', 'removeFloatingIp', 'addFixedIp', 'removeFixedIp'):
        found = fault(member.post(f'/servers/{NOBODY}/action', {name: {}}, 404, version='2.44'))
        assert 'is not supported on this method' in found[2]


def test_security_groups(api, member):
    group, = member.get('/os-security-groups', version='2.35')['security_groups']
    assert (group['name'], group['tenant_id']) == ('default', 'demo')
    path = f"/os-security-groups/{group['id']}"
    assert member.get(path)['security_group'] == group
    assert member.get('/os-security-groups?limit=0')['security_groups'] == [group]     # none given is as good
    assert member.get('/os-security-groups?offset=1')['security_groups'] == []
    assert fault(member.get('/os-security-groups/1', code=400))[2] == 'Security group id should be uuid'
    member.get(f'/os-security-groups/{NOBODY}', code=404)
    body = {'security_group': {'name': 'web', 'description': 'd', 'more': 1}}
    member.post('/os-security-groups', {'security_group': {'name': 'web'}}, 400)
    web = member.post('/os-security-groups', body, 200)['security_group']
    assert web == {'id': web['id'], 'name': 'web', 'description': 'd', 'tenant_id': 'demo', 'rules': []}
    assert [one['name'] for one in member.get('/os-security-groups')['security_groups']] == ['default', 'web']
    assert member.get('/os-security-groups?limit=1&offset=1')['security_groups'] == [web]
    member.put(f"/os-security-groups/{web['id']}", {'security_group': {'name': 'w', 'description': ''}}, 200)
    assert member.get(f"/os-security-groups/{web['id']}")['security_group'] == {**web, 'name': 'w', 'description': ''}
    assert fault(member.post('/os-security-groups', {'security_group': {'name': 'default', 'description': ''}},
                             403))[0] == 'forbidden'
    member.put(path, body, 400)
    member.put(f'/os-security-groups/{NOBODY}', body, 404)
    member.delete(path, 400)
    member.delete(f'/os-security-groups/{NOBODY}', 404)
    member.delete(f"/os-security-groups/{web['id']}", 202)
    member.get(f"/os-security-groups/{web['id']}", code=404)
    rule, = group['rules']
    member.delete(f"/os-security-group-rules/{rule['id']}", 202)
    assert member.get(path)['security_group']['rules'] == []
    member.delete(f"/os-security-group-rules/{rule['id']}", 404)
    member.delete(f'/os-security-group-rules/{NOBODY}', 404)
    member.delete('/os-security-group-rules/1', 400)
    assert path.rpartition('/')[2] not in {one['id'] for one in api.get('/os-security-groups')['security_groups']}
    assert group['id'] in {one['id'] for one in api.get('/os-security-groups?all_tenants=1')['security_groups']}


def test_how_many_security_groups(member):
    CONF.set_override('max_security_groups', 2, 'local_networks')
    CONF.set_override('max_security_group_rules', 5, 'local_networks')
    body = {'security_group': {'name': 'web', 'description': ''}}
    web = member.post('/os-security-groups', body, 200, version='2.35')['security_group']['id']
    assert 'security_group' in fault(member.post('/os-security-groups', body, 403))[2]
    rule = {'parent_group_id': web, 'ip_protocol': 'tcp', 'from_port': 80, 'to_port': 80}
    member.post('/os-security-group-rules', {'security_group_rule': rule}, 200)
    assert 'already exists' in fault(member.post('/os-security-group-rules', {'security_group_rule': rule}, 400))[2]
    rule['to_port'] = 81
    refused = member.post('/os-security-group-rules', {'security_group_rule': rule}, 403)
    assert 'security_group_rule' in fault(refused)[2]


@pytest.mark.parametrize(('rule', 'shown'), [
    ({'ip_protocol': 'tcp', 'from_port': 80, 'to_port': '80', 'cidr': '10.0.0.0/8'}, ('tcp', 80, 80, '10.0.0.0/8')),
    ({'ip_protocol': 'ICMP', 'from_port': -1, 'to_port': -1}, ('icmp', -1, -1, '0.0.0.0/0')),
    ({'ip_protocol': 'icmp', 'from_port': 8, 'to_port': -1}, ('icmp', 8, None, '0.0.0.0/0')),
    ({'ip_protocol': 'tcp', 'group_id': 'own'}, ('tcp', 1, 65535, None)),
    ({'group_id': 'own'}, (None, None, None, None)),
    ({'group_id': 'own', 'ip_protocol': 'x' * 300, 'from_port': 5}, (None, None, None, None))])
def test_security_group_rules(member, rule, shown):
    own = member.post('/os-security-groups', {'security_group': {'name': 'web', 'description': ''}}, 200,
                      version='2.35')['security_group']['id']
    body = {'parent_group_id': own, **{name: own if value == 'own' else value for name, value in rule.items()}}
    made = member.post('/os-security-group-rules', {'security_group_rule': body}, 200)['security_group_rule']
    protocol, first, last, cidr = shown
    assert made == {'id': made['id'], 'parent_group_id': own, 'ip_protocol': protocol, 'from_port': first,
                    'to_port': last, 'ip_range': {'cidr': cidr} if cidr else {},
                    'group': {} if cidr else {'name': 'web', 'tenant_id': 'demo'}}
    assert member.get(f'/os-security-groups/{own}')['security_group']['rules'] == [made]


@pytest.mark.parametrize(('rule', 'code'), [
    ({'group_id': NOBODY}, 404),
    ({'parent_group_id': NOBODY, 'ip_protocol': 'tcp', 'from_port': 1, 'to_port': 2}, 404),
    ({'ip_protocol': 'tcp', 'from_port': 80, 'to_port': 22}, 400),
    ({'ip_protocol': 'tcp', 'from_port': 0, 'to_port': 22}, 400),
    ({'ip_protocol': 'udp', 'from_port': 1, 'to_port': 65536}, 400),
    ({'ip_protocol': 'tcp', 'from_port': [], 'to_port': {}}, 400),
    ({'ip_protocol': 'icmp', 'from_port': 1, 'to_port': 256}, 400),
    ({'ip_protocol': 'icmp', 'from_port': -1, 'to_port': 3}, 400),
    ({'ip_protocol': 'esp', 'from_port': 1, 'to_port': 2}, 400),
    ({'ip_protocol': 'tcp', 'from_port': 1, 'to_port': 2, 'cidr': 'all'}, 400),
    ({'ip_protocol': 'tcp', 'from_port': 1, 'to_port': 2, 'cidr': '10.0.0.0/0'}, 400),
    ({'ip_protocol': 'tcp', 'from_port': 1, 'to_port': 2, 'cidr': 'fe80::%25' + 'x' * 99 + '/64'}, 400),
    ({'ip_protocol': 'tcp', 'cidr': '10.0.0.0/8'}, 400),
    ({'ip_protocol': 'tcp', 'from_port': 1}, 400),
    ({}, 400)])
def test_bad_security_group_rules(member, rule, code):
    own = member.get('/os-security-groups', version='2.35')['security_groups'][0]['id']
    member.post('/os-security-group-rules', {'security_group_rule': {'parent_group_id': own, **rule}}, code)


def test_volumes(member, api):
    answer = member.call('POST', '/os-volumes', {'volume': {
        'size': '2', 'display_name': 'data', 'display_description': 'd', 'metadata': {'a': 'b'}}}, version='2.35')
    assert answer.status_int == 200, answer.text
    made = answer.json['volume']
    assert answer.headers['Location'].endswith(f"/v2.1/os-volumes/{made['id']}")
    created = made.pop('createdAt')
    assert created and made == {
        'id': made['id'], 'status': 'available', 'size': 2, 'availabilityZone': 'nova', 'attachments': [{}],
        'displayName': 'data', 'displayDescription': 'd', 'volumeType': None, 'snapshotId': None,
        'metadata': {'a': 'b'}}
    shown = member.get(f"/os-volumes/{made['id']}")['volume']
    assert {name: shown[name] for name in made} == made
    second = member.post('/os-volumes', {'volume': {'size': 1}})['volume']['id']
    for path in ('/os-volumes', '/os-volumes/detail'):
        assert [one['id'] for one in member.get(path)['volumes']] == [second, made['id']]
        assert [one['id'] for one in member.get(f'{path}?limit=1&offset=1')['volumes']] == [made['id']]
        assert len(member.get(f'{path}?limit=0')['volumes']) == 2
        member.get(f'{path}?offset=-1', code=400)
        assert api.get(path)['volumes'] == []
    member.delete(f'/os-volumes/{second}', 202)
    member.get(f'/os-volumes/{second}', code=404)
    member.delete(f'/os-volumes/{NOBODY}', 404)


@pytest.mark.parametrize(('asked', 'code'), [
    ({}, 400), ({'size': 0}, 400), ({'size': 1, 'more': 1}, 400), ({'size': 1, 'display_name': 1}, 400),
    ({'size': 1, 'snapshot_id': NOBODY}, 404), ({'size': 1, 'availability_zone': 'mars'}, 400),
    ({'size': 1, 'volume_type': 'gold'}, 400), ({'size': 10 ** 8}, 400)])
def test_volumes_that_cannot_be(member, asked, code):
    member.post('/os-volumes', {'volume': asked}, code, version='2.35')


def test_too_many_volumes(member, conf):
    conf.set_override('max_volumes', 0, 'local_volumes')
    assert fault(member.post('/os-volumes', {'volume': {'size': 1}}, 403))[0] == 'forbidden'


def test_snapshots(member, api):
    of = member.post('/os-volumes', {'volume': {'size': 3}})['volume']['id']
    made = [VolumeSnapshot(id=str(uuid.uuid4()), volume_id=of, project_id='demo', size=3, name=name, description='d',
                           status='available') for name in ('first', 'second')]
    for one in made:
        session.write(volume_snapshots.insert, [one])
    for path in ('/os-snapshots', '/os-snapshots/detail'):
        found = member.get(path, version='2.35')['snapshots']
        assert [one['id'] for one in found] == [made[1].id, made[0].id]
        assert [one['id'] for one in member.get(f'{path}?offset=1&limit=1')['snapshots']] == [made[0].id]
        assert api.get(path) == {'snapshots': []}
    shown = member.get(f'/os-snapshots/{made[0].id}')['snapshot']
    assert shown.pop('createdAt') and shown == {
        'id': made[0].id, 'volumeId': of, 'status': 'available', 'size': 3, 'displayName': 'first',
        'displayDescription': 'd'}
    copy = {'size': 4, 'snapshot_id': made[1].id}
    assert member.post('/os-volumes', {'volume': copy})['volume']['snapshotId'] == made[1].id
    assert 'less than' in fault(member.post('/os-volumes', {'volume': {**copy, 'size': 2}}, 400))[2]
    api.post('/os-volumes', {'volume': {**copy, 'snapshot_id': NOBODY}}, 404)
    member.delete(f'/os-snapshots/{made[0].id}', 202)
    member.get(f'/os-snapshots/{made[0].id}', code=404)
    member.delete(f'/os-snapshots/{NOBODY}', 404)
    for asked in ({}, {'volume_id': NOBODY}, {'volume_id': of, 'force': 'perhaps'}, {'volume_id': 1}):
        member.post('/os-snapshots', {'snapshot': asked}, 400)


def test_bare_metal(api, member):
    member.get('/os-baremetal-nodes', code=403)
    for path in ('/os-baremetal-nodes', f'/os-baremetal-nodes/{NOBODY}'):
        assert fault(api.get(path, code=501, version='2.35'))[0] == 'notImplemented'
    api.post('/os-baremetal-nodes', {'node': {}}, 400)
    api.delete('/os-baremetal-nodes/1', 400)
    for name in ('add_interface', 'remove_interface'):
        assert 'port-' in fault(api.post('/os-baremetal-nodes/1/action', {name: {'address': 'x'}}, 400))[2]


def test_removed_actions_of_networks(api):
    for name in ('disassociate', 'disassociate_host', 'disassociate_project', 'associate_host'):
        for version in ('2.1', '2.104'):
            assert api.call('POST', '/os-networks/1/action', {name: None}, version=version).status_int == 410
    for name in ('reserve', 'unreserve'):
        assert api.call('POST', '/os-fixed-ips/10.0.0.1/action', {name: None}, version='2.50').status_int == 410
    assert api.call('POST', '/os-networks/1/action', {'no': None}).status_int == 400
