"""Which keys the answers about a server have, at each microversion, for the operator and for a user; and which keys
the bodies of create, update and rebuild take.

The tables say what each microversion of Nova's added (or took away), in the order in which it did.
"""
from __future__ import annotations

import uuid

import pytest

from minicompute import exception
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack.compute.schemas import servers as bodies
from minicompute.api.openstack.compute.schemas import servers_rebuild
from minicompute.db import session
from minicompute.db.models import block_device_mappings
from tests.functional.servers_fixtures import *  # noqa: F403
from tests.functional.servers_fixtures import compute_service, place

pytestmark = pytest.mark.generic     # long, and the same on every database
ALL = range(1, 105)
ATTR, USAGE, STATE = 'OS-EXT-SRV-ATTR:', 'OS-SRV-USG:', 'OS-EXT-STS:'
#: every answer of an active server
CORE = set('''id name status tenant_id user_id metadata hostId image flavor created updated addresses accessIPv4
    accessIPv6 links OS-DCF:diskConfig progress'''.split())
#: show and detail always; update and rebuild from 2.75 on
FULL = {'OS-EXT-AZ:availability_zone', 'config_drive', 'key_name', f'{USAGE}launched_at', f'{USAGE}terminated_at',
        f'{STATE}task_state', f'{STATE}vm_state', f'{STATE}power_state', 'os-extended-volumes:volumes_attached',
        'security_groups'}
BOTH = {9: 'locked', 19: 'description', 26: 'tags', 63: 'trusted_image_certificates', 73: 'locked_reason',
        90: f'{ATTR}hostname', 96: 'pinned_availability_zone', 100: 'scheduler_hints'}
OF_ADMIN = {1: {f'{ATTR}host', f'{ATTR}hypervisor_hostname', f'{ATTR}instance_name'},
            3: {f'{ATTR}{name}' for name in ('hostname', 'reservation_id', 'kernel_id', 'ramdisk_id', 'launch_index',
                                             'root_device_name', 'user_data')},
            16: {'host_status'}}
FLAVOR = {'vcpus', 'ram', 'disk', 'ephemeral', 'swap', 'original_name', 'extra_specs'}


def keys(view, minor, admin):
    found = set(CORE)
    if view in ('show', 'detail') or minor >= 75:
        found |= FULL
        if admin:
            found |= {name for since, names in OF_ADMIN.items() if minor >= since for name in names}
    found |= {name for since, name in BOTH.items() if minor >= since}
    if view != 'detail' and minor >= 71:
        found.add('server_groups')
    if view == 'rebuild':
        found |= {'adminPass', *(['key_name'] if minor >= 54 else []), *(['user_data'] if minor >= 57 else [])}
        found.discard(f'{ATTR}user_data')
    return found


def check(shown, view, minor, admin):
    where = f'{view} at 2.{minor} for {"admin" if admin else "a user"}'
    wanted = keys(view, minor, admin)
    assert shown.keys() == wanted, f'{where}: lacks {wanted - shown.keys()}, has {shown.keys() - wanted}'
    assert shown['flavor'].keys() == (FLAVOR if minor >= 47 else {'id', 'links'}), where
    assert shown['image'].keys() == {'id', 'links', *(['properties'] if minor >= 98 else [])}, where
    full = view in ('show', 'detail') or minor >= 75
    (card,), = shown['addresses'].values()
    assert card.keys() == {'version', 'addr', *(['OS-EXT-IPS:type', 'OS-EXT-IPS-MAC:mac_addr'] if full else [])}, where
    if full:
        (volume,) = shown['os-extended-volumes:volumes_attached']
        assert volume.keys() == {'id', *(['delete_on_termination'] if minor >= 3 else [])}, where


@pytest.fixture
def server(world):
    compute_service()
    identity = world.built(address='10.0.0.5')
    session.write(lambda conn: conn.execute(block_device_mappings.insert().values(
        uuid=str(uuid.uuid4()), instance_uuid=identity, volume_id=str(uuid.uuid4()), source_type='volume',
        destination_type='volume', delete_on_termination=False, no_device=False)))
    return identity


@pytest.mark.parametrize('admin', [True, False], ids=['admin', 'user'])
def test_show_and_lists(server, api, member, admin):
    client, all_of = (api, '?all_tenants=1') if admin else (member, '')
    for minor in ALL:
        version = f'2.{minor}'
        check(client.get(f'/servers/{server}', version=version)['server'], 'show', minor, admin)
        (shown,) = client.get(f'/servers/detail{all_of}', version=version)['servers']
        check(shown, 'detail', minor, admin)
        (brief,) = client.get(f'/servers{all_of}', version=version)['servers']
        assert brief.keys() == {'id', 'name', 'links'}


@pytest.mark.parametrize('admin', [True, False], ids=['admin', 'user'])
def test_update(server, api, member, admin):
    for minor in ALL:
        shown = (api if admin else member).put(f'/servers/{server}', {'server': {'name': 'n'}}, version=f'2.{minor}')
        check(shown['server'], 'update', minor, admin)


@pytest.mark.parametrize('admin', [True, False], ids=['admin', 'user'])
def test_rebuild(server, world, api, member, admin):
    for minor in ALL:
        place(server, address='10.0.0.5')
        answer = (api if admin else member).post(f'/servers/{server}/action', {'rebuild': {'imageRef': world.image}},
                                                 code=202, version=f'2.{minor}')
        check(answer['server'], 'rebuild', minor, admin)


def test_create(world, member, override):
    override('quota', instances=-1, cores=-1, ram=-1)
    for minor in ALL:
        networks = 'none' if minor >= 37 else []
        for more, wanted in (({}, {'id', 'links', 'OS-DCF:diskConfig', 'security_groups', 'adminPass'}),
                             ({'return_reservation_id': True}, {'reservation_id'})):
            body = world.body(networks=networks, **more)
            answer = member.post('/servers', body, code=202, version=f'2.{minor}')
            assert answer.get('server', answer).keys() == wanted, f'2.{minor}'


def test_states_decide(server, api, member):
    """A fault where something failed, progress where something goes on, addresses once it is built."""
    fault = {'code': 500, 'message': 'm', 'details': 'd', 'created': '2026-01-01T00:00:00Z'}
    place(server, vm_state='error', fault=fault)
    for client, details in ((api, True), (member, False)):
        shown = client.get(f'/servers/{server}', version='2.1')['server']
        assert 'progress' not in shown
        assert shown['fault'].keys() == {'code', 'message', 'created', *(['details'] if details else [])}
    place(server, vm_state='building', task_state='networking', address='10.0.0.5', host=None)
    shown = api.get(f'/servers/{server}', version='2.104')['server']
    assert shown['addresses'] == {} and shown['host_status'] == '' and 'progress' in shown
    place(server, vm_state='stopped')
    assert 'progress' not in member.get(f'/servers/{server}', version='2.104')['server']


# -- bodies ---------------------------------------------------------------------------------------

CERTIFICATES, TAG = ['x'], 'card'
#: key -> (a value, first microversion, last one)
CREATE = {
    'adminPass': ('x', 1, 104), 'metadata': ({'a': 'b'}, 1, 104), 'networks': ([], 1, 104),
    'accessIPv4': ('10.0.0.1', 1, 104), 'accessIPv6': ('::1', 1, 104), 'personality': ([], 1, 56),
    'availability_zone': ('z', 1, 104), 'config_drive': (True, 1, 104), 'block_device_mapping': ([], 1, 104),
    'block_device_mapping_v2': ([], 1, 104), 'key_name': ('k', 1, 104), 'min_count': (1, 1, 104),
    'max_count': ('2', 1, 104), 'return_reservation_id': (True, 1, 104), 'security_groups': ([{'name': 'x'}], 1, 104),
    'user_data': ('YQ==', 1, 104), 'OS-DCF:diskConfig': ('AUTO', 1, 104), 'description': ('d', 19, 104),
    'tags': (['a'], 52, 104), 'trusted_image_certificates': (CERTIFICATES, 63, 104), 'host': ('h', 74, 104),
    'hypervisor_hostname': ('h', 74, 104), 'hostname': ('name', 90, 104), 'pinned_availability_zone': ('z', 105, 105),
    'locked': (True, 105, 105), 'image': ('x', 105, 105)}
UPDATE = {
    'name': ('n', 1, 104), 'OS-DCF:diskConfig': ('MANUAL', 1, 104), 'accessIPv4': ('10.0.0.1', 1, 104),
    'accessIPv6': ('', 1, 104), 'description': (None, 19, 104), 'hostname': ('name', 90, 104),
    'pinned_availability_zone': (None, 104, 104), 'metadata': ({}, 105, 105), 'tags': ([], 105, 105)}
REBUILD = {
    'name': ('n', 1, 104), 'adminPass': ('x', 1, 104), 'metadata': ({}, 1, 104), 'preserve_ephemeral': (True, 1, 104),
    'OS-DCF:diskConfig': ('AUTO', 1, 104), 'accessIPv4': ('', 1, 104), 'accessIPv6': ('::1', 1, 104),
    'personality': ([], 1, 56), 'description': ('d', 19, 104), 'key_name': (None, 54, 104),
    'user_data': (None, 57, 104),
    'trusted_image_certificates': (CERTIFICATES, 63, 104), 'hostname': ('name', 90, 104), 'tags': ([], 105, 105)}
UUID = str(uuid.uuid4())


def refusal(schemas, body, minor):
    """What the schema says against the body; None when it takes it."""
    try:
        schemas.check_body(body, versions.parse(f'2.{minor}'))
    except exception.Invalid as error:
        return error.message
    return None


@pytest.mark.parametrize(('schemas', 'name', 'basis', 'table'), [
    (bodies.create, 'server', {'name': 'n', 'flavorRef': '1', 'imageRef': UUID}, CREATE),
    (bodies.update, 'server', {}, UPDATE), (servers_rebuild.rebuild, 'rebuild', {'imageRef': UUID}, REBUILD)],
    ids=['create', 'update', 'rebuild'])
def test_which_keys_a_body_takes(schemas, name, basis, table):
    for key, (value, first, last) in table.items():
        for minor in ALL:
            body = {**basis, **({'networks': 'none'} if table is CREATE and minor >= 37 else {}), key: value}
            said = refusal(schemas, {name: body}, minor)
            if first <= minor <= last:
                assert said is None, f'{key} at 2.{minor}: {said}'
            else:
                assert said and key in said, f'{key} at 2.{minor} was taken'
            assert refusal(schemas, {name: {**body, 'nope': 1}}, minor), f'2.{minor}'


def test_networks_are_asked_for_from_2_37():
    basis = {'name': 'n', 'flavorRef': '1'}
    for minor in ALL:
        assert (refusal(bodies.create, {'server': basis}, minor) is None) == (minor < 37)
        for mode in ('auto', 'none'):
            assert (refusal(bodies.create, {'server': {**basis, 'networks': mode}}, minor) is None) == (minor >= 37)
        named = {'server': {**basis, 'networks': [{'uuid': 'not-a-uuid'}]}}
        assert (refusal(bodies.create, named, minor) is None) == (minor < 37)


def test_tags_of_devices_came_went_and_came():
    for minor in ALL:
        cards = {'name': 'n', 'flavorRef': '1', 'networks': [{'port': UUID, 'tag': TAG}]}
        assert (refusal(bodies.create, {'server': cards}, minor) is None) == (32 <= minor <= 36 or minor >= 42), minor
        disk = {'source_type': 'blank', 'destination_type': 'local', 'boot_index': -1, 'volume_size': 1}
        tagged, typed = minor == 32 or minor >= 42, minor >= 67
        for more, taken in (({}, True), ({'tag': TAG}, tagged), ({'volume_type': 't'}, typed)):
            body = {'name': 'n', 'flavorRef': '1', 'block_device_mapping_v2': [{**disk, **more}],
                    'networks': 'none' if minor >= 37 else []}
            assert (refusal(bodies.create, {'server': body}, minor) is None) == taken, f'{more} at 2.{minor}'


def test_host_names_may_be_whole_ones_from_2_94():
    rebuild = (servers_rebuild.rebuild, 'rebuild', {'imageRef': UUID})
    for schemas, name, basis in ((bodies.update, 'server', {}), rebuild):
        for minor in ALL:
            said = refusal(schemas, {name: {**basis, 'hostname': 'a.example.org'}}, minor)
            assert (said is None) == (minor >= 94), f'{name} at 2.{minor}: {said}'
