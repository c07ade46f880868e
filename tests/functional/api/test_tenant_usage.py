"""os-simple-tenant-usage and os-instance_usage_audit_log."""
from __future__ import annotations

import datetime
import uuid

import pytest

from minicompute.conductor import usage_audits
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.models import instances, services
from minicompute.objects import Flavor, to_primitive
from minicompute.utils import audit_period
from tests.functional.api.client import fault

T = datetime.datetime
FLAVOR = Flavor('1', 'm1.two', 1024, 2, 10, ephemeral_gb=5)
DAY = 'start=2020-01-02T00:00:00&end=2020-01-03T00:00:00'


def server(launched, terminated=None, project='demo', identity=None, host='c1', **changes):
    identity = identity or str(uuid.uuid4())
    session.write(lambda conn: conn.execute(instances.insert().values(**{
        'uuid': identity, 'project_id': project, 'user_id': 'alice', 'vm_state': 'active', 'display_name': 'vm',
        'flavor': to_primitive(FLAVOR), 'vcpus': 2, 'memory_mb': 1024, 'created_at': launched, 'launched_at': launched,
        'terminated_at': terminated, 'host': host, 'deleted': 0, **changes})))
    return identity


def usage(client, project='demo', query=DAY, version='2.104'):
    return client.get(f'/os-simple-tenant-usage/{project}?{query}', version=version)['tenant_usage']


@pytest.mark.every_case
@pytest.mark.parametrize(('launched', 'terminated', 'hours'), [
    (T(2020, 1, 1), None, 24.0), (T(2020, 1, 2, 6), None, 18.0), (T(2020, 1, 1), T(2020, 1, 2, 12), 12.0),
    (T(2020, 1, 2, 1), T(2020, 1, 2, 1, 30), 0.5), (T(2020, 1, 1), T(2020, 1, 4), 24.0)])
def test_hours(api, launched, terminated, hours):
    server(launched, terminated)
    found = usage(api)
    (one,) = found['server_usages']
    assert one['hours'] == found['total_hours'] == hours
    assert found['total_vcpus_usage'] == 2 * hours and found['total_memory_mb_usage'] == 1024 * hours
    assert found['total_local_gb_usage'] == 15 * hours and found['tenant_id'] == 'demo'
    assert (found['start'], found['stop']) == ('2020-01-02T00:00:00.000000', '2020-01-03T00:00:00.000000')
    assert one['started_at'] == launched.isoformat(timespec='microseconds')
    assert one['state'] == ('terminated' if terminated else 'active')
    assert one['ended_at'] == (terminated.isoformat(timespec='microseconds') if terminated else None)
    if terminated:
        assert one['uptime'] == (terminated - launched).total_seconds()
    assert (one['flavor'], one['vcpus'], one['memory_mb'], one['local_gb'], one['name']) == (
        'm1.two', 2, 1024, 15, 'vm')


def test_who_did_not_run_then_is_not_there(api):
    server(T(2020, 1, 3)), server(T(2020, 1, 1), T(2020, 1, 2)), server(None)
    assert usage(api) == {}
    assert api.get(f'/os-simple-tenant-usage?{DAY}') == {'tenant_usages': []}


def test_the_deleted_count(api):
    server(T(2020, 1, 1), T(2020, 1, 2, 12), vm_state='deleted', deleted=5)
    assert usage(api)['total_hours'] == 12.0


def test_list(api, member, count_queries):
    for project in ('b', 'a', 'a'):
        server(T(2020, 1, 1), project=project)
    found = api.get(f'/os-simple-tenant-usage?{DAY}')['tenant_usages']
    assert [(one['tenant_id'], one['total_hours']) for one in found] == [('a', 48.0), ('b', 24.0)]
    assert 'server_usages' not in found[0]
    assert 'server_usages' not in api.get(f'/os-simple-tenant-usage?{DAY}&detailed=true')['tenant_usages'][0]
    detailed = api.get(f'/os-simple-tenant-usage?{DAY}&detailed=1', version='2.1')['tenant_usages']
    assert len(detailed[0]['server_usages']) == 2
    with count_queries() as seen:
        api.get(f'/os-simple-tenant-usage?{DAY}&detailed=1')
    assert len(seen) == 1


def test_pages(api, override_api):
    ids = sorted(str(uuid.uuid4()) for _ in range(3))
    for identity in ids:
        server(T(2020, 1, 1), identity=identity)
    server(T(2020, 1, 1), project='z')
    first = api.get(f'/os-simple-tenant-usage/demo?{DAY}&limit=2', version='2.40')
    assert [one['instance_id'] for one in first['tenant_usage']['server_usages']] == ids[:2]
    href = first['tenant_usage_links'][0]['href']
    assert href.startswith('http://localhost/v2.1/os-simple-tenant-usage/demo?') and f'marker={ids[1]}' in href
    rest = api.get(href.removeprefix('http://localhost'), version='2.40')
    assert [one['instance_id'] for one in rest['tenant_usage']['server_usages']] == ids[2:]
    assert 'tenant_usage_links' not in rest
    page = api.get(f'/os-simple-tenant-usage?{DAY}&limit=1&marker={ids[2]}', version='2.40')
    assert page['tenant_usages'][0]['tenant_id'] == 'z' and 'tenant_usages_links' in page
    assert api.get(f'/os-simple-tenant-usage/demo?{DAY}&limit=0', version='2.40') == {'tenant_usage': {}}
    api.get(f'/os-simple-tenant-usage?{DAY}&marker=nope', version='2.40', code=400)
    override_api(2)
    old = api.get(f'/os-simple-tenant-usage/demo?{DAY}&limit=1', version='2.39')
    assert len(old['tenant_usage']['server_usages']) == 2 and 'tenant_usage_links' not in old


@pytest.fixture
def override_api(conf):
    yield lambda most: conf.set_override('max_limit', most, 'api')
    conf.clear_override('max_limit', 'api')


def test_without_a_period_it_is_this_moment(api):
    server(T(2020, 1, 1))
    assert usage(api, query='start=&end=')['total_hours'] < 1
    later = usage(api, query='start=2020-01-01T00:00:00&end=2999-01-01T00:00:00')
    assert later['stop'] < '2999'


@pytest.mark.parametrize('query', [
    'start=2020-01-03T00:00:00&end=2020-01-02T00:00:00', 'start=2020-01-02T00:00:00&end=2020-01-02T00:00:00',
    'start=yesterday', 'end=2020-01-02', 'start=2999-01-01T00:00:00', 'start=2020-13-01T00:00:00'])
def test_bad_periods(api, query):
    for path in ('/os-simple-tenant-usage', '/os-simple-tenant-usage/demo'):
        assert fault(api.get(f'{path}?{query}', code=400))[0] == 'badRequest'


def test_forms_of_time(api):
    server(T(2020, 1, 1))
    for start in ('2020-01-02T12:00:00', '2020-01-02T12:00:00.000000', '2020-01-02%2012:00:00.0'):
        assert usage(api, query=f'start={start}&end=2020-01-03T00:00:00')['total_hours'] == 12.0


def test_queries_of_versions(api):
    for path in ('/os-simple-tenant-usage', '/os-simple-tenant-usage/demo'):
        api.get(f'{path}?{DAY}&nope=1', version='2.74')
        api.get(f'{path}?{DAY}&nope=1', version='2.75', code=400)
    api.get(f'/os-simple-tenant-usage/demo?{DAY}&detailed=1', version='2.74')
    api.get(f'/os-simple-tenant-usage/demo?{DAY}&detailed=1', version='2.75', code=400)
    api.get(f'/os-simple-tenant-usage?{DAY}&limit=x', version='2.39')
    api.get(f'/os-simple-tenant-usage?{DAY}&limit=x', version='2.40', code=400)


def test_who_may(member, reader):
    member.get('/os-simple-tenant-usage', code=403)
    for one in (member, reader):
        usage(one)
        one.get('/os-simple-tenant-usage/other', code=403)


# -- the audit ---------------------------------------------------------------------

@pytest.mark.parametrize(('unit', 'begin', 'end'), [
    ('month', T(2020, 2, 1), T(2020, 3, 1)), ('month@15', T(2020, 1, 15), T(2020, 2, 15)),
    ('month@31', T(2020, 1, 31), T(2020, 2, 29)), ('year', T(2019, 1, 1), T(2020, 1, 1)),
    ('year@4', T(2018, 4, 1), T(2019, 4, 1)), ('day', T(2020, 3, 8), T(2020, 3, 9)),
    ('day@18', T(2020, 3, 7, 18), T(2020, 3, 8, 18)), ('hour', T(2020, 3, 9, 9), T(2020, 3, 9, 10)),
    ('hour@30', T(2020, 3, 9, 9, 30), T(2020, 3, 9, 10, 30))])
def test_periods(unit, begin, end):
    assert audit_period(unit, T(2020, 3, 9, 10, 45, 3)) == (begin, end)


def test_a_period_that_ends_now_is_not_over():
    assert audit_period('month', T(2020, 3, 1)) == (T(2020, 1, 1), T(2020, 2, 1))


def compute(host):
    now = session.utcnow()
    session.write(lambda conn: conn.execute(services.insert().values(
        uuid=str(uuid.uuid4()), host=host, binary='nova-compute', topic='compute', version=1, disabled=False,
        forced_down=False, report_count=1, last_seen_up=now, created_at=now)))


LOG = '/os-instance_usage_audit_log'


def test_no_audit_is_said_to_have_run(api):
    compute('c1'), compute('c2')
    found = api.get(LOG)['instance_usage_audit_logs']
    assert found['overall_status'] == '0 of 2 hosts done. 0 errors.' and found['hosts_not_run'] == ['c1', 'c2']
    assert (found['num_hosts'], found['num_hosts_not_run'], found['num_hosts_done']) == (2, 2, 0)
    assert found['log'] == {} and usage_audits.sweep() == 0


def test_an_audit(api, conf):
    conf.set_override('instance_usage_audit', True)
    conf.set_override('instance_usage_audit_period', 'day')
    begin, end = audit_period('day', session.utcnow())
    compute('c1'), compute('c2')
    server(begin, None), server(begin, end - datetime.timedelta(hours=1), vm_state='deleted', deleted=4)
    server(end, None), server(begin - datetime.timedelta(days=2), begin), server(begin, host=None)
    assert usage_audits.sweep() == 2 and usage_audits.sweep() == 0
    found = api.get(LOG)['instance_usage_audit_logs']
    assert found['overall_status'] == 'ALL hosts done. 0 errors.' and found['total_instances'] == 2
    assert (found['period_beginning'], found['period_ending']) == (str(begin), str(end))
    assert {host: (row['state'], row['instances'], row['errors']) for host, row in found['log'].items()} == {
        'c1': ('DONE', 2, 0), 'c2': ('DONE', 0, 0)}
    later = end + datetime.timedelta(hours=1)
    assert api.get(f'{LOG}/{later:%Y-%m-%d %H:%M:%S.%f}')['instance_usage_audit_log'] == found
    before = api.get(f'{LOG}/{end:%Y-%m-%d %H:%M:%S}')['instance_usage_audit_log']
    assert before['period_ending'] == str(begin) and before['num_hosts_not_run'] == 2
    compute('c3')
    assert usage_audits.sweep() == 1


def test_the_audit_period_is_the_month(api):
    assert CONF.instance_usage_audit_period == 'month'
    found = api.get(f'{LOG}/2012-07-05 10:00:00')['instance_usage_audit_log']
    assert (found['period_beginning'], found['period_ending']) == ('2012-06-01 00:00:00', '2012-07-01 00:00:00')


def test_bad_requests_of_the_log(api, member):
    for text in ('yesterday', '2012-07-05', '2012-07-05 10:00', '0001-01-01 00:00:00', '2012-07-05 10:00:00.x'):
        assert 'timestamp' in fault(api.get(f'{LOG}/{text}', code=400))[2]
    api.get(f'{LOG}?x=1', version='2.101')
    api.get(f'{LOG}?x=1', version='2.102', code=400)
    api.get(f'{LOG}/2012-07-05 10:00:00?x=1', version='2.102', code=400)
    member.get(LOG, code=403)
    member.get(f'{LOG}/2012-07-05 10:00:00', code=403)
