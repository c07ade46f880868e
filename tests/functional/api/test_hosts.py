"""Services, hypervisors, zones."""
from __future__ import annotations

import datetime
import re
import uuid

import pytest

from minicompute.db import session
from minicompute.db.api import aggregates
from minicompute.db.models import allocations, compute_nodes, instances, services
from tests.functional.api.client import fault

LATE = datetime.timedelta(hours=1)


def add_service(conn, host, binary='nova-compute', **changes):
    now = session.utcnow()
    conn.execute(services.insert().values({
        'uuid': str(uuid.uuid4()), 'host': host, 'binary': binary, 'topic': 'compute', 'version': 1, 'disabled': False,
        'forced_down': False, 'report_count': 1, 'last_seen_up': now, 'created_at': now, **changes}))


def add_node(conn, host, **changes):
    conn.execute(compute_nodes.insert().values({
        'uuid': str(uuid.uuid5(uuid.NAMESPACE_DNS, host)), 'host': host, 'hypervisor_hostname': f'{host}.example',
        'hypervisor_type': 'QEMU', 'hypervisor_version': 7002000, 'host_ip': '10.0.0.1', 'vcpus': 8, 'memory_mb': 16384,
        'local_gb': 100, 'reserved_vcpus': 0, 'reserved_memory_mb': 512, 'reserved_disk_gb': 0,
        'cpu_allocation_ratio': 4.0, 'ram_allocation_ratio': 1.0, 'disk_allocation_ratio': 1.0,
        'free_disk_least_gb': 90, 'cpu_info': {'arch': 'x86_64', 'features': ['a']}, 'supported_instances': [],
        'traits': [], 'capabilities': {}, 'uptime': 'up 3 days', 'failed_builds': 0, **changes}))


def add_server(conn, host, **changes):
    identity = str(uuid.uuid4())
    conn.execute(instances.insert().values({
        'uuid': identity, 'project_id': 'demo', 'user_id': 'alice', 'vm_state': 'active', 'host': host,
        'created_at': session.utcnow(), 'deleted': 0, **changes}))
    return identity


@pytest.fixture
def hosts(app):
    """c1 with one server of (2, 1024, 10), c2 down, c3 disabled; one conductor."""
    def fill(conn):
        add_service(conn, 'ctl', 'nova-conductor')
        add_service(conn, 'c1')
        add_service(conn, 'c2', last_seen_up=session.utcnow() - LATE)
        add_service(conn, 'c3', disabled=True, disabled_reason='broken fan')
        for host in ('c1', 'c2', 'c3'):
            add_node(conn, host)
        server = add_server(conn, 'c1', task_state='rebooting')
        node = conn.execute(compute_nodes.select().where(compute_nodes.c.host == 'c1')).one()
        conn.execute(allocations.insert().values(consumer_uuid=server, node_id=node.id, instance_uuid=server, vcpus=2,
                                                 memory_mb=1024, disk_gb=10))
        return server
    return session.write(fill)


def by_host(api, version='2.53'):
    return {(one['host'], one['binary']): one for one in api.get('/os-services', version=version)['services']}


def test_services(api, hosts, member):
    found = by_host(api, '2.1')
    assert found['c1', 'nova-compute'].items() >= {
        'zone': 'nova', 'state': 'up', 'status': 'enabled', 'disabled_reason': None}.items()
    assert found['c2', 'nova-compute']['state'] == 'down'
    assert found['c3', 'nova-compute']['disabled_reason'] == 'broken fan'
    assert found['ctl', 'nova-conductor']['zone'] == 'internal'
    assert isinstance(found['c1', 'nova-compute']['id'], int) and 'forced_down' not in found['c1', 'nova-compute']
    for version in ('2.11', '2.53', '2.69', '2.104'):
        assert len(by_host(api, version)) == 4
    assert len(api.get('/os-services?host=c1&binary=nova-compute')['services']) == 1
    assert api.get('/os-services?host=nope')['services'] == []
    api.get('/os-services?nope=1', version='2.75', code=400)
    member.get('/os-services', code=403)


def test_services_cost_two_queries(api, hosts, count_queries):
    with count_queries() as seen:
        api.get('/os-services')
    assert len(seen) == 2


def test_change_by_name(api, hosts):
    named = {'host': 'c1', 'binary': 'nova-compute'}
    assert api.put('/os-services/disable', named) == {'service': {**named, 'status': 'disabled'}}
    assert by_host(api)['c1', 'nova-compute']['status'] == 'disabled'
    answer = api.put('/os-services/disable-log-reason', {**named, 'disabled_reason': 'x'})
    assert answer == {'service': {**named, 'status': 'disabled', 'disabled_reason': 'x'}}
    assert api.put('/os-services/enable', named) == {'service': {**named, 'status': 'enabled'}}
    api.put('/os-services/force-down', {**named, 'forced_down': True}, code=400)
    assert api.put('/os-services/force-down', {**named, 'forced_down': True}, version='2.11') == {
        'service': {**named, 'forced_down': True}}
    assert by_host(api)['c1', 'nova-compute']['state'] == 'down'
    api.put('/os-services/force-down', named, version='2.11', code=400)
    api.put('/os-services/disable-log-reason', named, code=400)
    api.put('/os-services/dance', named, code=404)
    api.put('/os-services/enable', {'host': 'nope', 'binary': 'nova-compute'}, code=404)
    api.put('/os-services/enable', {'host': 'c1'}, code=400)
    api.put('/os-services/enable', {'host': 'c1\n', 'binary': 'nova-compute'}, code=400)


def test_change_by_uuid(api, hosts, member):
    services_now = by_host(api)
    path = f'/os-services/{services_now["c1", "nova-compute"]["id"]}'
    answer = api.put(path, {'status': 'disabled', 'disabled_reason': 'x'}, version='2.53')['service']
    assert answer['status'] == 'disabled' and answer['disabled_reason'] == 'x' and answer['zone'] == 'nova'
    assert api.put(path, {'status': 'enabled'}, version='2.53')['service']['disabled_reason'] is None
    assert api.put(path, {'forced_down': True}, version='2.53')['service']['state'] == 'down'
    for body in ({}, {'disabled_reason': 'x'}, {'status': 'on'}, {'host': 'c1'},
                 {'status': 'enabled', 'disabled_reason': 'x'}):
        api.put(path, body, version='2.53', code=400)
    conductor = f'/os-services/{services_now["ctl", "nova-conductor"]["id"]}'
    assert 'not supported' in fault(api.put(conductor, {'status': 'disabled'}, version='2.53', code=400))[2]
    api.put('/os-services/no-uuid', {'status': 'disabled'}, version='2.53', code=400)
    api.put(f'/os-services/{uuid.uuid4()}', {'status': 'disabled'}, version='2.53', code=404)
    member.put(path, {'status': 'disabled'}, version='2.53', code=403)


def test_delete_service(api, hosts):
    found = by_host(api)
    answer = api.delete(f'/os-services/{found["c1", "nova-compute"]["id"]}', version='2.53', code=409)
    assert 'hosting instances' in fault(answer)[2]
    api.delete(f'/os-services/{found["c2", "nova-compute"]["id"]}', version='2.53')
    assert len(api.get('/os-hypervisors')['hypervisors']) == 2
    number = by_host(api, '2.1')['c3', 'nova-compute']['id']
    api.delete(f'/os-services/{number}')
    api.delete(f'/os-services/{number}', code=404)
    api.delete('/os-services/x', code=400)
    api.delete('/os-services/x', version='2.53', code=400)


def test_hypervisors_at_every_version(api, hosts):
    for version in ('2.1', '2.27', '2.28', '2.33', '2.52', '2.53', '2.74', '2.75', '2.87', '2.88', '2.104'):
        page = api.get('/os-hypervisors', version=version)['hypervisors']
        assert [(one['state'], one['status']) for one in page] == [
            ('up', 'enabled'), ('down', 'enabled'), ('up', 'disabled')]
        detail = api.get('/os-hypervisors/detail', version=version)['hypervisors'][0]
        shown = api.get(f'/os-hypervisors/{page[0]["id"]}', version=version)['hypervisor']
        assert shown == detail
    assert shown['uptime'] == 'up 3 days' and 'vcpus' not in shown


def test_capacity(api, hosts):
    shown = api.get('/os-hypervisors/detail', version='2.28')['hypervisors'][0]
    assert shown.items() >= {
        'vcpus': 8, 'vcpus_used': 2, 'memory_mb': 16384, 'memory_mb_used': 1536, 'free_ram_mb': 14848, 'local_gb': 100,
        'local_gb_used': 10, 'free_disk_gb': 90, 'disk_available_least': 90, 'running_vms': 1,
        'current_workload': 1, 'cpu_info': {'arch': 'x86_64', 'features': ['a']}}.items()
    assert api.get('/os-hypervisors/detail')['hypervisors'][0]['cpu_info'] == '{"arch": "x86_64", "features": ["a"]}'
    sums = api.get('/os-hypervisors/statistics')['hypervisor_statistics']
    assert sums.items() >= {'count': 2, 'vcpus': 16, 'vcpus_used': 2, 'running_vms': 1}.items()
    api.get('/os-hypervisors/statistics', version='2.88', code=404)


def test_uptime(api, hosts):
    ids = [one['id'] for one in api.get('/os-hypervisors')['hypervisors']]
    assert api.get(f'/os-hypervisors/{ids[0]}/uptime')['hypervisor']['uptime'] == 'up 3 days'
    api.get(f'/os-hypervisors/{ids[1]}/uptime', code=400)
    session.write(lambda conn: conn.execute(compute_nodes.update().values(uptime=None)))
    assert fault(api.get(f'/os-hypervisors/{ids[0]}/uptime', code=501))[0] == 'notImplemented'
    api.get(f'/os-hypervisors/{ids[0]}/uptime', version='2.88', code=404)
    api.get('/os-hypervisors/9999/uptime', code=404)


def test_search_and_servers_before_2_53(api, hosts):
    assert len(api.get('/os-hypervisors/example/search')['hypervisors']) == 3
    assert 'nope' in fault(api.get('/os-hypervisors/nope/search', code=404))[2]
    for wildcards in ('c%25example', 'c_.'):     # as in Nova
        assert api.get(f'/os-hypervisors/{wildcards}/search')['hypervisors'], wildcards
    found = api.get('/os-hypervisors/c1/servers')['hypervisors'][0]
    (there,) = found['servers']
    assert there['uuid'] == hosts and re.fullmatch('instance-[0-9a-f]{8}', there['name'])
    assert 'servers' not in api.get('/os-hypervisors/c2/servers')['hypervisors'][0]
    for path in ('search', 'servers'):
        api.get(f'/os-hypervisors/c1/{path}', version='2.53', code=404)


def test_pattern_and_with_servers_from_2_53(api, hosts):
    found = api.get('/os-hypervisors?hypervisor_hostname_pattern=c1&with_servers=true', version='2.53')['hypervisors']
    assert found[0]['servers'][0]['uuid'] == hosts
    two = api.get('/os-hypervisors?with_servers=true', version='2.75')['hypervisors'][1]
    assert two['servers'] == []
    assert 'servers' not in api.get('/os-hypervisors?with_servers=true', version='2.53')['hypervisors'][1]
    api.get('/os-hypervisors?hypervisor_hostname_pattern=nope', version='2.53', code=404)
    api.get('/os-hypervisors?hypervisor_hostname_pattern=c1&limit=1', version='2.53', code=400)
    api.get('/os-hypervisors?with_servers=perhaps', version='2.53', code=400)
    api.get('/os-hypervisors?nope=1', version='2.53', code=400)


def test_hypervisor_pages(api, hosts, count_queries):
    for version in ('2.33', '2.53'):
        first = api.get('/os-hypervisors?limit=2', version=version)
        href = first['hypervisors_links'][0]['href']
        rest = api.get(href.removeprefix('http://localhost'), version=version)
        assert len(first['hypervisors']) == 2 and len(rest['hypervisors']) == 1 and 'hypervisors_links' not in rest
        api.get('/os-hypervisors?marker=nope', version=version, code=400)
        with count_queries() as seen:
            api.get('/os-hypervisors/detail', version=version)
        assert len(seen) == 3


def test_unknown_hypervisors(api, hosts, member):
    api.get('/os-hypervisors/99', code=404)
    api.get('/os-hypervisors/x', code=404)
    api.get('/os-hypervisors/99', version='2.53', code=400)
    api.get(f'/os-hypervisors/{uuid.uuid4()}', version='2.53', code=404)
    member.get('/os-hypervisors', code=403)


def test_zones(api, hosts, member):
    def zone(conn):
        made = aggregates.create(conn, 'rack1', 'az1')
        aggregates.add_host(conn, made.id, 'c1')
        aggregates.add_host(conn, aggregates.create(conn, 'rack3', 'az3').id, 'c3')
    session.write(zone)
    found = member.get('/os-availability-zone')['availabilityZoneInfo']
    assert found == [{'zoneName': 'az1', 'zoneState': {'available': True}, 'hosts': None},
                     {'zoneName': 'nova', 'zoneState': {'available': True}, 'hosts': None},
                     {'zoneName': 'az3', 'zoneState': {'available': False}, 'hosts': None}]
    detail = {one['zoneName']: one for one in api.get('/os-availability-zone/detail')['availabilityZoneInfo']}
    assert detail['az1']['hosts']['c1']['nova-compute']['available'] is True
    assert detail['nova']['hosts']['c2']['nova-compute']['available'] is False
    assert detail['internal']['hosts']['ctl']['nova-conductor']['active'] is True
    assert detail['az3']['hosts'] is None
    member.get('/os-availability-zone/detail', code=403)
    assert by_host(api)['c1', 'nova-compute']['zone'] == 'az1'
