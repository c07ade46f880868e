"""os-quota-sets and os-quota-class-sets, and the limits that they make."""
from __future__ import annotations

import uuid

import pytest
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from minicompute.db import session
from minicompute.db.api import quotas
from minicompute.db.models import instances
from tests.functional.api.client import Client, fault

SERVERS = {'cores', 'instances', 'key_pairs', 'metadata_items', 'ram'}
GROUPS = {'server_groups', 'server_group_members'}
INJECTED = {'injected_files', 'injected_file_content_bytes', 'injected_file_path_bytes'}
NETWORK = {'fixed_ips', 'floating_ips', 'security_groups', 'security_group_rules'}
ALL = SERVERS | GROUPS | INJECTED | NETWORK


def server(user='alice', vcpus=2, memory_mb=1024, project='demo', **changes):
    session.write(lambda conn: conn.execute(instances.insert().values({
        'uuid': str(uuid.uuid4()), 'project_id': project, 'user_id': user, 'vm_state': 'active', 'vcpus': vcpus,
        'memory_mb': memory_mb, 'created_at': session.utcnow(), 'deleted': 0, **changes})))


def put(api, path='demo', code=200, version='2.104', **limits):
    return api.put(f'/os-quota-sets/{path}', {'quota_set': limits}, code=code, version=version)


def shown(api, path='demo', version='2.104'):
    return api.get(f'/os-quota-sets/{path}', version=version)['quota_set']


@pytest.mark.parametrize(('version', 'names'), [
    ('2.1', ALL), ('2.35', ALL), ('2.36', ALL - NETWORK), ('2.56', ALL - NETWORK), ('2.57', SERVERS | GROUPS),
    ('2.104', SERVERS | GROUPS)])
def test_what_each_version_shows(api, version, names):
    assert set(shown(api, version=version)) == names | {'id'}
    assert set(api.get('/os-quota-sets/demo/defaults', version=version)['quota_set']) == names | {'id'}
    assert set(api.get('/os-quota-sets/demo/detail', version=version)['quota_set']) == names | {'id'}
    assert set(put(api, version=version, cores=1)['quota_set']) == names
    for name in ALL - names:
        put(api, version=version, code=400, **{name: 1})
    for name in names:
        assert put(api, version=version, force='yes', **{name: '77'})['quota_set'][name] == 77


def test_defaults_are_the_configurations(api):
    found = shown(api, version='2.1')
    assert found['id'] == 'demo' and found['instances'] == 10 and found['ram'] == 51200
    assert found['injected_file_path_bytes'] == 255 and found['floating_ips'] == -1


def test_of_a_project(api):
    after = put(api, cores=5, ram='-1')['quota_set']
    assert after['cores'] == 5 and after['ram'] == -1 and after['instances'] == 10
    assert shown(api)['cores'] == 5 and shown(api, 'other')['cores'] == 20
    assert api.get('/os-quota-sets/demo/defaults')['quota_set']['cores'] == 20
    api.delete('/os-quota-sets/demo', code=202)
    assert shown(api)['cores'] == 20
    api.delete('/os-quota-sets/demo', code=202)


def test_of_a_user(api):
    put(api, cores=10)
    after = put(api, 'demo?user_id=alice', cores=4)['quota_set']
    assert after['cores'] == 4 and after['instances'] == 10
    assert shown(api, 'demo?user_id=alice')['cores'] == 4
    assert shown(api, 'demo?user_id=bob')['cores'] == 10 and shown(api)['cores'] == 10
    assert api.get('/os-quota-sets/demo/detail?user_id=alice')['quota_set']['cores']['limit'] == 4
    put(api, 'demo?user_id=alice', ram=1024)
    api.delete('/os-quota-sets/demo?user_id=alice', code=202)
    assert shown(api, 'demo?user_id=alice')['cores'] == 10
    put(api, 'demo?user_id=alice', cores=4)
    api.delete('/os-quota-sets/demo', code=202)
    assert shown(api, 'demo?user_id=alice')['cores'] == 20


def test_limits_of_networks_are_the_projects_even_for_a_user(api):
    put(api, 'demo?user_id=alice', version='2.35', fixed_ips=7, security_groups=3, force=True)
    assert shown(api, version='2.35')['fixed_ips'] == 7
    assert shown(api, version='2.35')['security_groups'] == -1
    assert shown(api, 'demo?user_id=alice', version='2.35')['security_groups'] == 3


def test_the_first_user_counts_and_an_empty_one_is_none(api):
    put(api, 'demo?user_id=&user_id=alice&user_id=bob', cores=4)
    assert shown(api, 'demo?user_id=alice')['cores'] == 4
    assert shown(api, 'demo?user_id=bob')['cores'] == 20 and shown(api, 'demo?user_id=')['cores'] == 20


def test_not_below_what_is_used_but_by_force(api):
    server(), server(user='bob')
    name, code, message = fault(put(api, code=400, cores=3))
    assert (name, code) == ('badRequest', 400) and 'cores' in message and '4' in message
    put(api, code=400, instances=1)
    put(api, code=400, ram=2047)
    put(api, cores=4, instances=2, ram=2048)
    put(api, cores=3, force=True)
    put(api, cores=-1)
    put(api, 'demo?user_id=alice', code=400, cores=1)
    put(api, 'demo?user_id=alice', cores=2)


def test_all_limits_of_a_request_or_none(api):
    server()
    put(api, code=400, cores=1, instances=5)
    assert shown(api)['instances'] == 10


def test_what_users_were_given_bounds_project_and_users(api):
    put(api, cores=10)
    put(api, 'demo?user_id=alice', cores=6)
    assert '4' in fault(put(api, 'demo?user_id=bob', code=400, cores=5))[2]
    put(api, 'demo?user_id=bob', cores=4)
    put(api, 'demo?user_id=bob', code=400, cores=-1)
    put(api, 'demo?user_id=alice', code=400, cores=7)
    put(api, code=400, cores=9)
    put(api, cores=9, force=True)
    put(api, cores=-1)
    put(api, 'demo?user_id=bob', cores=400)      # of a project without a bound


def test_server_groups_count(api, member):
    for number in range(2):
        member.post('/os-server-groups', {'server_group': {'name': f'g{number}', 'policies': ['affinity']}})
    put(api, code=400, server_groups=1)
    detail = api.get('/os-quota-sets/demo/detail')['quota_set']
    assert detail['server_groups'] == {'limit': 10, 'in_use': 2, 'reserved': 0}
    assert detail['server_group_members']['in_use'] == 0 and detail['key_pairs']['in_use'] == 0


def test_detail_counts(api, count_queries):
    server(), server(user='bob'), server(project='other'), server(vm_state='soft-delete')
    found = api.get('/os-quota-sets/demo/detail')['quota_set']
    assert found['cores'] == {'limit': 20, 'in_use': 4, 'reserved': 0}
    assert found['instances']['in_use'] == 2 and found['ram']['in_use'] == 2048
    found = api.get('/os-quota-sets/demo/detail?user_id=bob')['quota_set']
    assert found['cores']['in_use'] == 2 and found['instances']['in_use'] == 1
    with count_queries() as seen:
        api.get('/os-quota-sets/demo/detail')
    assert len(seen) == 3


@pytest.mark.parametrize('value', ['-2', -2, 'x', '', None, 1.5, True, 2 ** 31, str(2 ** 31), '1\n', '--1', '-01 '])
def test_bad_limits_name_the_field(api, value):
    assert 'field/attribute cores.' in fault(put(api, code=400, cores=value))[2]


def test_bad_bodies(api):
    put(api, code=400, gigabytes=1)
    put(api, code=400, force='maybe')
    api.put('/os-quota-sets/demo', {}, code=400)
    api.put('/os-quota-sets/demo', {'quota_set': {}, 'more': 1}, code=400)
    assert put(api)['quota_set']['cores'] == 20
    assert api.put('/v2/os-quota-sets/demo', {'quota_set': {'gigabytes': 1, 'cores': 9}})['quota_set']['cores'] == 9


def test_queries(api):
    shown(api, 'demo?nope=1', version='2.74')
    for path in ('demo', 'demo/detail'):
        api.get(f'/os-quota-sets/{path}?nope=1', version='2.75', code=400)
    put(api, 'demo?nope=1', version='2.75', code=400, cores=1)
    api.delete('/os-quota-sets/demo?nope=1', version='2.75', code=400)
    api.get('/os-quota-sets/demo/defaults?nope=1', version='2.104')


def test_who_may(api, member, reader, app):
    for one in (member, reader):
        shown(one)
        one.get('/os-quota-sets/demo/detail')
        one.get('/os-quota-sets/other/defaults')
        one.get('/os-quota-sets/other', code=403)
        one.get('/os-quota-sets/other/detail', code=403)
        put(one, code=403, cores=1)
        one.delete('/os-quota-sets/demo', code=403)
        one.get('/os-quota-class-sets/default', code=403)
        one.put('/os-quota-class-sets/default', {'quota_class_set': {}}, code=403)
    Client(app, user='eve', project='demo', roles='nothing').get('/os-quota-sets/demo', code=403)


# -- classes -----------------------------------------------------------------------

def put_class(api, name='default', code=200, version='2.104', **limits):
    return api.put(f'/os-quota-class-sets/{name}', {'quota_class_set': limits}, code=code, version=version)


@pytest.mark.parametrize(('version', 'names'), [
    ('2.1', ALL - GROUPS), ('2.49', ALL - GROUPS), ('2.50', ALL - NETWORK), ('2.56', ALL - NETWORK),
    ('2.57', SERVERS | GROUPS), ('2.104', SERVERS | GROUPS)])
def test_what_each_version_shows_of_a_class(api, version, names):
    assert set(api.get('/os-quota-class-sets/gold', version=version)['quota_class_set']) == names | {'id'}
    assert set(put_class(api, version=version, cores='3')['quota_class_set']) == names
    for name in ALL - names - GROUPS:
        put_class(api, version=version, code=400, **{name: 1})


def test_groups_may_be_set_before_they_are_shown(api):
    put_class(api, version='2.1', server_groups=3)
    assert api.get('/os-quota-class-sets/default', version='2.50')['quota_class_set']['server_groups'] == 3


def test_the_default_class_is_what_projects_have(api):
    put(api, cores=7)
    assert put_class(api, cores=30, instances=3)['quota_class_set']['cores'] == 30
    assert shown(api)['cores'] == 7 and shown(api)['instances'] == 3 and shown(api, 'other')['cores'] == 30
    assert api.get('/os-quota-sets/demo/defaults')['quota_set']['cores'] == 30
    put_class(api, 'gold', ram=1)
    assert shown(api)['ram'] == 51200
    assert api.get('/os-quota-class-sets/gold')['quota_class_set']['ram'] == 1
    assert api.get('/os-quota-class-sets/gold')['quota_class_set']['cores'] == 20


def test_bad_classes(api):
    put_class(api, code=400, cores=-2)
    put_class(api, code=400, force=True)
    put_class(api, 'x' * 256, code=400, cores=1)
    api.get('/os-quota-class-sets/default?nope=1', version='2.101')
    api.get('/os-quota-class-sets/default?nope=1', version='2.102', code=400)


# -- /limits -------------------------------------------------------------------------

def test_limits_follow_the_quotas(api, member):
    server()
    put(api, version='2.35', cores=9, floating_ips=4, metadata_items=3, injected_file_content_bytes=99)
    found = member.get('/limits', version='2.1')['limits']['absolute']
    assert found['maxTotalCores'] == 9 and found['totalCoresUsed'] == 2 and found['maxTotalFloatingIps'] == 4
    assert found['maxServerMeta'] == found['maxImageMeta'] == 3 and found['maxPersonalitySize'] == 99
    assert api.get('/limits?tenant_id=demo')['limits']['absolute']['totalInstancesUsed'] == 1
    api.get('/limits?reserved=1', version='2.74')
    api.get('/limits?reserved=1', version='2.75', code=400)


def test_ids_that_no_column_holds(api):
    for path, field in (('x' * 256, 'tenant_id'), (f'demo?user_id={"x" * 256}', 'user_id')):
        refused = api.put(f'/os-quota-sets/{path}', {'quota_set': {'cores': 1}}, code=400)
        assert field in fault(refused)[2]
    for path in ('x' * 255, f'demo?user_id={"x" * 255}'):
        put(api, path, cores=1)


@pytest.mark.parametrize('error', [
    db_exc.DBDataError(ValueError()), db_exc.DBError(sa_exc.DataError('INSERT', {}, ValueError()))])
def test_what_the_database_does_not_take_is_400(api, monkeypatch, error):
    """MariaDB's and PostgreSQL's, as oslo.db gives them; SQLite takes everything."""
    def refuse(*args, **kwargs):
        raise error
    monkeypatch.setattr(quotas, 'put', refuse)
    assert 'out of range' in fault(put(api, code=400, cores=1))[2]
