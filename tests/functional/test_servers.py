"""Create, show, change: what is written, rung and shown through the whole WSGI stack."""
from __future__ import annotations

import base64
import uuid

import pytest

from minicompute.db import session
from minicompute.db.api import aggregates, instances
from tests.functional.api.client import Client, fault
from tests.functional.servers_fixtures import *  # noqa: F403
from tests.functional.servers_fixtures import actions_of, compute_service, instance, make_image, place

VERSIONS = ('2.1', '2.3', '2.9', '2.16', '2.19', '2.26', '2.47', '2.63', '2.71', '2.73', '2.75', '2.90', '2.96',
            '2.98', '2.100', '2.104')
KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqGPPQ0oeTNPC9rVuCMWKRWPMRqcqFGFIxZdPyzMWKW me'


# -- what a create writes ------------------------------------------------------------

def test_create_writes_one_server_and_its_action(world, rung):
    answer = world.member.call('POST', '/servers', world.body(
        name='Web 1.example', metadata={'a': 'b'}, tags=['x', 'y', 'x'], description='d', accessIPv4='10.0.0.1',
        user_data=base64.b64encode(b'#!/bin/sh').decode(), config_drive=True, adminPass='secret'), '2.96')
    assert answer.status_int == 202
    server = answer.json['server']
    assert answer.headers['Location'] == f'http://localhost/v2.1/servers/{server["id"]}'
    assert server['adminPass'] == 'secret' and server['security_groups'] == [{'name': 'default'}]
    made = instance(server['id'])
    assert (made.vm_state, made.task_state, made.power_state, made.host) == ('building', 'scheduling', 0, None)
    assert made.display_name == 'Web 1.example' and made.hostname == 'web-1-example'
    assert made.tags == ['x', 'y'] and made.metadata == {'a': 'b'} and made.config_drive is True
    assert made.reservation_id.startswith('r-') and len(made.reservation_id) == 10
    assert made.root_device_name == '/dev/vda' and made.image_properties['base_image_ref'] == world.image
    assert [(d.source_type, d.destination_type, d.boot_index, d.image_id) for d in made.block_devices] == [
        ('image', 'local', 0, world.image)]
    action, = actions_of()
    assert (action.action, action.flow, action.step, action.state) == ('create', 'build', 'schedule', 'running')
    assert action.busy == server['id'] and action.data['group'] == [server['id']]
    assert action.data['image']['id'] == world.image and action.data['kernel'] is None
    assert action.data['secret'] == {'admin_password': 'secret', 'files': {}}
    assert rung == [('conductor', 'ring', action.id, None)]


def test_the_request_is_kept(world, api):
    hints = {'group': api.post('/os-server-groups', {'server_group': {
        'name': 'g', 'policy': 'anti-affinity', 'rules': {'max_server_per_host': 2}}}, version='2.64')['server_group'][
        'id'], 'same_host': str(uuid.uuid4())}
    operator = {**world.body(availability_zone='nova:h1:n1'), 'os:scheduler_hints': hints}
    identity = api.post('/servers', operator, code=202, version='2.104')['server']['id']
    with session.read() as conn:
        spec = instances.specs(conn, [identity])[identity]
    assert (spec.availability_zone, spec.force_host, spec.force_node) == ('nova', 'h1', 'n1')
    assert spec.scheduler_hints == hints and spec.group.policy == 'anti-affinity'
    assert spec.requested_networks == [{'mode': 'none'}] and spec.num_instances == 1
    shown = api.get(f'/servers/{identity}', version='2.100')['server']
    assert shown['scheduler_hints'] == {name: [value] for name, value in hints.items()}
    assert shown['server_groups'] == [hints['group']]
    assert shown['pinned_availability_zone'] == 'nova'
    group = api.get(f'/os-server-groups/{hints["group"]}', version='2.64')['server_group']
    assert group['members'] == [identity]


def test_many_at_once(world, rung, count_queries):
    with count_queries() as seen:
        world.boot(name='n', min_count=3, max_count=5, version='2.96')
    assert len(seen) <= 14      # three for the first server of a project, two for the clock of a server's database
    found = actions_of()
    leader, *others = found
    assert len(found) == 5 and [a.state for a in found] == ['running', *['queued'] * 4]
    assert leader.data['group'] == [a.instance_uuid for a in found]
    assert {a.after for a in others} == {leader.id} and all('group' not in a.data for a in others)
    assert {a.busy for a in found} == set(leader.data['group'])
    servers = [instance(identity) for identity in leader.data['group']]
    assert [s.display_name for s in servers] == [f'n-{n}' for n in range(1, 6)]
    assert [s.hostname for s in servers] == [f'n-{n}' for n in range(1, 6)]
    assert [s.launch_index for s in servers] == list(range(5)) and len({s.reservation_id for s in servers}) == 1
    assert rung == [('conductor', 'ring', leader.id, None)]


def test_a_reservation(world):
    answer = world.member.post('/servers', world.body(return_reservation_id=True, min_count=2), code=202,
                               version='2.104')
    found = world.member.get(f'/servers?reservation_id={answer["reservation_id"]}')['servers']
    assert len(found) == 2 and list(answer) == ['reservation_id']


def test_a_kernel_and_a_ramdisk(world):
    kernel, ramdisk = (make_image(disk_format=kind, container_format=kind) for kind in ('aki', 'ari'))
    image = make_image(properties={'kernel_id': kernel, 'ramdisk_id': ramdisk})
    made = instance(world.boot(imageRef=image))
    assert (made.kernel_id, made.ramdisk_id) == (kernel, ramdisk)
    assert [actions_of()[0].data[part]['id'] for part in ('image', 'kernel', 'ramdisk')] == [image, kernel, ramdisk]


def test_disks_of_the_flavor(world, api):
    api.post('/flavors', {'flavor': {'name': 'big', 'id': '2', 'ram': 64, 'vcpus': 1, 'disk': 1, 'swap': 128,
                                     'OS-FLV-EXT-DATA:ephemeral': 10}})
    made = instance(world.boot(flavorRef='http://x/flavors/2'))
    assert [(d.source_type, d.guest_format, d.volume_size) for d in made.block_devices] == [
        ('image', None, None), ('blank', None, 10), ('blank', 'swap', 128)]
    made = instance(world.boot(flavorRef=2, block_device_mapping_v2=[
        {'source_type': 'image', 'uuid': world.image, 'boot_index': 0, 'destination_type': 'local', 'tag': 'root'},
        {'source_type': 'blank', 'destination_type': 'local', 'volume_size': 4, 'boot_index': -1},
        {'source_type': 'blank', 'destination_type': 'local', 'volume_size': '6', 'guest_format': 'ext4'},
        {'source_type': 'blank', 'destination_type': 'local', 'volume_size': 64, 'guest_format': 'swap'}]))
    assert [(d.boot_index, d.guest_format, d.volume_size, d.tag) for d in made.block_devices] == [
        (0, None, None, 'root'), (None, None, 4, None), (None, 'ext4', 6, None), (None, 'swap', 64, None)]


def test_disk_config(world):
    assert world.member.post('/servers', world.body(**{'OS-DCF:diskConfig': 'AUTO'}), code=202,
                             version='2.104')['server']['OS-DCF:diskConfig'] == 'AUTO'
    automatic = make_image(properties={'auto_disk_config': 'true'})
    assert instance(world.boot(imageRef=automatic)).auto_disk_config is True
    fixed = make_image(properties={'auto_disk_config': 'disabled'})
    answer = world.member.post('/servers', world.body(imageRef=fixed, **{'OS-DCF:diskConfig': 'AUTO'}), code=400,
                               version='2.104')
    assert 'automatic disk resize disabled' in fault(answer)[2]


def test_a_keypair_and_a_zone(world, member):
    member.post('/os-keypairs', {'keypair': {'name': 'k', 'public_key': KEY}})
    aggregate = session.write(aggregates.create, 'a', 'z1')
    session.write(aggregates.add_host, aggregate.id, 'h1')
    made = instance(world.boot(key_name='k', availability_zone='z1'))
    assert (made.key_name, made.key_data, made.availability_zone) == ('k', KEY, 'z1')


def test_personality_ends_at_2_57(world):
    files = [{'path': '/etc/motd', 'contents': base64.b64encode(b'hi').decode()}]
    world.refuse(personality=files, version='2.57')
    assert 'content exceeds maximum' in world.refuse(403, personality=[
        {'path': '/a', 'contents': base64.b64encode(b'x' * 20000).decode()}], version='2.56')
    assert 'limit exceeded' in world.refuse(403, personality=[
        {'path': f'/{n}', 'contents': ''} for n in range(6)], version='2.56')
    world.boot(personality=files, version='2.56')
    assert actions_of()[0].data['secret']['files'] == {'/etc/motd': files[0]['contents']}


# -- what is refused -----------------------------------------------------------------

def test_what_is_named_must_be_there(world):
    assert world.refuse(imageRef=str(uuid.uuid4())) == 'Can not find requested image'
    assert world.refuse(imageRef='') == 'Invalid imageRef provided.'
    assert world.refuse(imageRef=None) == 'Missing imageRef attribute'
    assert world.refuse(flavorRef='99') == 'Flavor 99 could not be found.'
    assert world.refuse(key_name='nope') == 'Invalid key_name provided.'
    assert world.refuse(availability_zone='mars') == 'The requested availability zone is not available'
    group = str(uuid.uuid4())
    assert world.refuse(hints={'group': group}) == f'Instance group {group} could not be found.'
    network = str(uuid.uuid4())
    assert world.refuse(networks=[{'uuid': network}]) == f'Network {network} could not be found.'
    assert 'security_group' in world.refuse(security_groups=[{'name': 'web'}])


def test_an_image_must_fit(world, api):
    assert 'is not active' in world.refuse(imageRef=make_image(data=None))
    assert "Flavor's memory is too small" in world.refuse(imageRef=make_image(min_ram=65))
    assert 'minimum size is 2 GiB' in world.refuse(imageRef=make_image(min_disk=2))
    assert 'could not be found' in world.refuse(imageRef=make_image(properties={'kernel_id': str(uuid.uuid4())}))
    api.post('/flavors', {'flavor': {'name': 'none', 'id': '0', 'ram': 64, 'vcpus': 1, 'disk': 0}})
    assert 'zero disk' in world.refuse(403, flavorRef='0')
    world.boot(client=api, flavorRef='0')


@pytest.mark.parametrize('changes, field', [
    ({'name': ''}, 'name'), ({'name': 'a' * 256}, 'name'), ({'imageRef': 'x'}, 'imageRef'),
    ({'flavorRef': ''}, 'flavorRef'), ({'min_count': 0}, 'min_count'), ({'max_count': 'x'}, 'max_count'),
    ({'metadata': {'a' * 256: 'b'}}, 'a' * 256), ({'metadata': {'a': 1}}, 'a'), ({'user_data': 'a'}, 'user_data'),
    ({'networks': 'all'}, 'networks'), ({'accessIPv4': 'fe80::1'}, 'accessIPv4'),
    ({'accessIPv6': '10.0.0.1'}, 'accessIPv6'), ({'tags': ['a/b']}, 'tags[0]'), ({'tags': ['a'] * 51}, 'tags'),
    ({'config_drive': 'perhaps'}, 'config_drive'), ({'hostname': '-a'}, 'hostname'),
    ({'OS-DCF:diskConfig': 'BOTH'}, 'OS-DCF:diskConfig'), ({'description': 'a' * 256}, 'description'),
    ({'trusted_image_certificates': []}, 'trusted_image_certificates'),
    ({'block_device_mapping_v2': [{'boot_index': 'x'}]}, 'boot_index'),
    ({'block_device_mapping_v2': [{'volume_size': 2 ** 40}]}, 'volume_size')])
def test_a_bad_field_is_named(world, changes, field):
    assert field in world.refuse(**changes)


def test_fields_that_their_version_does_not_have(world):
    for field, first, value in (('description', '2.19', 'd'), ('tags', '2.52', ['a']), ('hostname', '2.90', 'abc'),
                                ('trusted_image_certificates', '2.63', ['c'])):
        before = f'2.{int(first[2:]) - 1}'
        networks = 'none' if int(first[2:]) > 37 else None
        assert field in world.refuse(version=before, networks=networks, **{field: value})
        world.boot(version=first, networks=networks, **{field: value})
        clear()
    assert "'networks' is a required property" in world.refuse(networks=None, version='2.37')
    world.refuse(networks='none', version='2.36')
    world.refuse(host='h1', version='2.73')
    world.refuse(hostname='a.example', version='2.93')
    world.boot(hostname='a.example', version='2.94')


def clear():
    from minicompute.db.models import instance_actions
    session.write(lambda conn: conn.execute(instance_actions.delete()))


def test_counts(world):
    assert world.refuse(min_count=3, max_count=2) == 'min_count must be <= max_count'
    assert 'single hostname' in world.refuse(min_count=2, hostname='abc')
    fixed = [{'uuid': str(uuid.uuid4()), 'fixed_ip': '10.0.0.5'}]
    assert 'max_count' in world.refuse(min_count=2, networks=fixed)


def test_networks(world):
    network, port = str(uuid.uuid4()), str(uuid.uuid4())
    assert 'cannot be used with port' in world.refuse(networks=[{'port': port, 'fixed_ip': '10.0.0.1'}])
    assert "neither 'uuid' nor 'port'" in world.refuse(networks=[{'fixed_ip': '10.0.0.1'}])
    assert 'not in proper format' in world.refuse(networks=[{'uuid': 'x'}], version='2.36')
    world.refuse(networks=[{'uuid': network, 'tag': 'a'}], version='2.41')
    assert 'could not be found' in world.refuse(networks=[{'uuid': network, 'tag': 'a'}], version='2.42')


@pytest.mark.parametrize('devices, why', [
    ([{'source_type': 'volume', 'uuid': 'v', 'boot_index': 0}], 'failed to get volume v'),
    ([{'source_type': 'blank', 'destination_type': 'volume'}], 'non-zero size'),
    ([{'source_type': 'image', 'uuid': 'i', 'destination_type': 'local', 'boot_index': 1}], 'Mapping image to local'),
    ([{'source_type': 'image', 'destination_type': 'local', 'boot_index': 0}], 'needs a uuid'),
    ([{'source_type': 'blank', 'destination_type': 'local', 'volume_size': 1}], 'Ephemeral disks requested'),
    ([{'source_type': 'blank', 'destination_type': 'local', 'guest_format': 'swap'}], 'Swap drive requested'),
    ([{'destination_type': 'local'}], 'source_type is missing')])
def test_devices_that_cannot_be(world, devices, why):
    assert why in world.refuse(block_device_mapping_v2=devices)


def test_the_first_form_of_devices(world):
    assert 'failed to get volume' in world.refuse(block_device_mapping=[{'volume_id': str(uuid.uuid4())}])
    assert 'different block_device_mapping' in world.refuse(
        block_device_mapping=[{'volume_id': str(uuid.uuid4())}], block_device_mapping_v2=[{'source_type': 'blank'}])


def test_quota(world, override):
    override('quota', instances=3)
    override('quota', cores=2)
    assert world.refuse(403, min_count=3) == ('Quota exceeded for cores: Requested 3, but already used 0 of 2 cores')
    assert world.refuse(403, min_count=4) == (
        'Quota exceeded for cores, instances: Requested 4, 4, but already used 0, 0 of 2, 3 cores, instances')
    world.boot(min_count=1, max_count=5)      # as many as there is room for
    assert len(actions_of()) == 2
    answer = world.member.post('/servers', world.body(), code=403, version='2.104')
    assert 'already used 2 of 2 cores' in fault(answer)[2]
    override('quota', metadata_items=1)
    answer = world.member.post('/servers', world.body(metadata={'a': 'b', 'c': 'd'}), code=403, version='2.104')
    assert fault(answer)[2] == 'Maximum number of metadata items exceeds 1'


def test_policy(world, reader):
    assert 'servers:create' in world.refuse(403, client=reader)
    assert 'forced_host' in world.refuse(403, availability_zone='nova:h1')
    assert 'requested_destination' in world.refuse(403, host='h1')


def test_the_host_of_2_74(world, api):
    assert world.refuse(client=api, host='h1') == 'Compute host h1 could not be found.'
    for more in ({'host': 'h1'}, {'hypervisor_hostname': 'n1'}, {'host': 'h1', 'imageRef': ''}):
        for zone in ('nova:h2', 'nova::n2', ':h1'):
            said = world.refuse(client=api, availability_zone=zone, **more)
            assert said.startswith('availability_zone: it names a host or a node'), 'before what it names is looked up'


# -- how a server is shown -----------------------------------------------------------

def test_every_version_keeps_its_answer(world, api, member, count_queries):
    """The answers are checked against the schemas by the stack."""
    identity = world.built(address='10.0.0.9', fault={'code': 500, 'message': 'm', 'details': 'd'})
    compute_service()
    for version in VERSIONS:
        for client in (api, member):
            with count_queries() as seen:
                client.get('/servers/detail?all_tenants=1' if client is api else '/servers/detail', version=version)
            assert len(seen) <= 4
            shown = client.get(f'/servers/{identity}', version=version)['server']
            assert shown['status'] == 'ACTIVE' and shown['progress'] == 0 and 'fault' not in shown
            changed = client.put(f'/servers/{identity}', {'server': {'name': 'x'}}, version=version)['server']
            assert ('config_drive' in changed) == (int(version[2:]) >= 75)


def test_what_an_operator_sees(world, api, member):
    identity = world.built(address='10.0.0.9')
    compute_service()
    shown = api.get(f'/servers/{identity}', version='2.104')['server']
    assert shown['OS-EXT-SRV-ATTR:host'] == 'c1' and shown['host_status'] == 'UP'
    assert shown['OS-EXT-SRV-ATTR:instance_name'] == instance(identity).name
    assert shown['addresses'] == {'private': [{
        'version': 4, 'addr': '10.0.0.9', 'OS-EXT-IPS:type': 'fixed',
        'OS-EXT-IPS-MAC:mac_addr': 'fa:16:3e:00:00:01'}]}
    theirs = member.get(f'/servers/{identity}', version='2.104')['server']
    assert 'host_status' not in theirs and 'OS-EXT-SRV-ATTR:host' not in theirs
    assert theirs['hostId'] == shown['hostId'] != '' and theirs['OS-EXT-SRV-ATTR:hostname'] == 'vm'
    assert theirs['flavor'] == {'vcpus': 1, 'ram': 64, 'disk': 1, 'ephemeral': 0, 'swap': 0,
                                'original_name': 'tiny', 'extra_specs': {}}
    assert theirs['image']['properties'] == {}
    assert member.get(f'/servers/{identity}')['server']['flavor']['id'] == '1'


@pytest.mark.parametrize('service, status', [
    ({}, 'UP'), ({'forced_down': True}, 'DOWN'), ({'disabled': True}, 'MAINTENANCE'),
    ({'last_seen_up': None}, 'UNKNOWN'), (None, 'UNKNOWN')])
def test_host_status(world, api, service, status):
    identity = world.built()
    if service is not None:
        compute_service(**service)
    assert api.get(f'/servers/{identity}', version='2.16')['server']['host_status'] == status


def test_a_fault_is_shown_in_error_only(world, api, member):
    reason = {'code': 500, 'message': 'No valid host was found.', 'details': 'Traceback',
              'created': '2026-01-01T00:00:00Z'}
    identity = place(world.boot(), vm_state='error', fault=reason)
    assert api.get(f'/servers/{identity}')['server']['fault'] == reason
    theirs = member.get(f'/servers/{identity}')['server']
    assert theirs['status'] == 'ERROR' and 'details' not in theirs['fault']


def test_servers_of_others_are_not_there(world, app, api):
    identity = world.built()
    other = Client(app, user='eve', project='other')
    for method, path, body in (('GET', '', None), ('DELETE', '', None), ('PUT', '', {'server': {'name': 'x'}}),
                               ('POST', '/action', {'os-stop': None}), ('GET', '/metadata', None),
                               ('GET', '/ips', None), ('PUT', '/metadata', {'metadata': {}})):
        answer = other.call(method, f'/servers/{identity}{path}', body)
        assert answer.status_int == 404
        assert fault(answer.json)[2] == f'Instance {identity} could not be found.'
    assert other.get('/servers')['servers'] == []
    assert other.get('/servers?all_tenants=1', code=403)
    api.get(f'/servers/{identity}')


def test_update(world, member, reader, api):
    identity = world.built()
    shown = member.put(f'/servers/{identity}', {'server': {
        'name': 'new', 'description': None, 'hostname': 'h.example', 'accessIPv4': '', 'accessIPv6': 'fe80::1',
        'OS-DCF:diskConfig': 'AUTO'}}, version='2.94')['server']
    assert shown['name'] == 'new' and shown['OS-EXT-SRV-ATTR:hostname'] == 'h.example'
    assert shown['accessIPv6'] == 'fe80::1' and shown['OS-DCF:diskConfig'] == 'AUTO'
    reader.put(f'/servers/{identity}', {'server': {'name': 'x'}}, code=403)
    member.put(f'/servers/{identity}', {'server': {'name': ''}}, code=400)
    member.put(f'/servers/{identity}', {'server': {'hostname': 'abc'}}, code=400, version='2.89')
    member.put(f'/servers/{uuid.uuid4()}', {'server': {'name': 'x'}}, code=404)


def test_pinning(world, member):
    identity = world.built()
    path = f'/servers/{identity}'
    member.put(path, {'server': {'pinned_availability_zone': 'nova'}}, code=400, version='2.103')
    shown = member.put(path, {'server': {'pinned_availability_zone': 'nova'}}, version='2.104')['server']
    assert shown['pinned_availability_zone'] == 'nova'
    member.put(path, {'server': {'pinned_availability_zone': 'mars', 'name': 'half done'}}, code=409, version='2.104')
    assert member.get(path)['server']['name'] != 'half done'
    shown = member.put(path, {'server': {'pinned_availability_zone': None}}, version='2.104')['server']
    assert shown['pinned_availability_zone'] is None


def test_of_several_faults_the_one_that_nova_tells(world, reader):
    both = {'block_device_mapping': [{'volume_id': str(uuid.uuid4())}],
            'block_device_mapping_v2': [{'source_type': 'blank', 'destination_type': 'local'}]}
    assert 'min_count' in world.refuse(client=reader, min_count=2, max_count=1)
    assert 'servers:create ' in world.refuse(403, client=reader, imageRef='', availability_zone='a:b:c:d', **both)
    assert 'forced_host' in world.refuse(403, availability_zone='nova:c1', imageRef='', **both)
    assert 'availability_zone' in world.refuse(400, availability_zone='a:b:c:d', host='c1', **both)
    assert 'requested_destination' in world.refuse(403, host='c1', **both)
    assert 'syntaxes' in world.refuse(400, imageRef='', **both)


def test_the_legacy_api_drops_unknown_keys(world):
    body = world.body(name=' spaced ', hello=1, networks=None)
    identity = world.member.post('/v2/servers', {**body, 'more': 1}, code=202)['server']['id']
    assert instance(identity).display_name == 'spaced'
