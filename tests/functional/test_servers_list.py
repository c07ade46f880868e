"""Lists of servers: filters, order, pages."""
from __future__ import annotations

import datetime
import time
import uuid
from urllib.parse import quote, urlsplit

import pytest
from oslo_db import exception as db_exc

from minicompute.db import session
from minicompute.db.api import instance_list, instances
from minicompute.db.models import block_device_mappings
from minicompute.db.models import instances as table
from tests.functional.api.client import Client, fault
from tests.functional.servers_fixtures import *  # noqa: F403
from tests.functional.servers_fixtures import compute_service, place

pytestmark = pytest.mark.every_case     # what is looked for and sorted by, the database looks for and sorts by

LATER = '2030-01-01T00:00:00Z'


@pytest.fixture
def fleet(world):
    """web1 ACTIVE, web2 rebooting, db1 SHUTOFF, old deleted, soft to be restored, bad ERROR. -> {name: id}"""
    made = {
        'web1': place(world.boot(name='web1', tags=['a', 'b'], metadata={'role': 'web', 'x': 'y'}), address='10.0.0.5'),
        'web2': place(world.boot(name='web2', tags=['a']), task_state='rebooting', address='10.0.1.5'),
        'db1': place(world.boot(name='db1', metadata={'role': 'db'}), vm_state='stopped', host='c2'),
        'bad': place(world.boot(name='bad'), vm_state='error', locked=True, key_name='k'),
        'soft': place(world.boot(name='soft'), vm_state='soft-delete'), 'old': world.boot(name='old')}
    session.write(instances.destroy, [made['old']])
    return made


def names(client, query='', version='2.104', path='/servers'):
    return sorted(server['name'] for server in client.get(f'{path}?{query}', version=version)['servers'])


@pytest.mark.parametrize('query, expected', [
    ('', 'bad db1 web1 web2'), ('name=web', 'web1 web2'), ('name=^web[1]$', 'web1'), ('name=WEB', ''),
    ('status=ACTIVE', 'web1 web2'), ('status=reboot', 'web2'), ('status=ACTIVE&status=REBOOT', 'web1 web2'),
    ('status=SHUTOFF', 'db1'), ('status=ERROR', 'bad'), ('status=BUILD', ''), ('flavor=1', 'bad db1 web1 web2'),
    ('flavor=2', ''), ('ip=10.0.0', 'web1'), ('ip=10', 'web1 web2'), ('ip=^10\\.0\\.[01]\\.5$', 'web1 web2'),
    ('ip=0.0.5', ''), ('ip=10.*1.5', 'web2'), ('ip6=fe80', ''), ('tags=a', 'web1 web2'), ('tags=a,b', 'web1'),
    ('tags-any=b,c', 'web1'), ('not-tags=a,b', 'bad db1 web2'), ('not-tags-any=a', 'bad db1'),
    ('vm_state=stopped', 'db1'), ('task_state=rebooting', 'web2'), ('power_state=1', 'bad db1 web1 web2'),
    ('locked=true', 'bad'), ('locked=false', 'db1 web1 web2'), ('key_name=k', 'bad'), ('limit=0', ''),
    (f'changes-since={LATER}', ''), ('changes-since=2020-01-01T00:00:00Z', 'bad db1 old soft web1 web2'),
    (f'changes-before={LATER}', 'bad db1 old soft web1 web2'), ('created_at=2020-01-01T00:00:00Z', ''),
    ('hostname=web1', 'web1'), ('progress=0', 'bad db1 web1 web2'), ('progress=x', ''), ('config_drive=1', ''),
    ('status=active', 'web1 web2'), ('status=ERROR&vm_state=active', 'bad'), ('vm_state=soft-delete', ''),
    ('status=REBOOT&task_state=x', 'web2'), ('status=ACTIVE&task_state=rebooting', 'web2'),
    ('status=SOFT_DELETED', ''), ('status=RESIZE', ''), ('status=REBOOT&status=SHUTOFF', 'db1 web1 web2'),
    ('status=UNKNOWN&status=ERROR', 'bad'), ('ip=10.0.0&ip6=fe80', 'web1'),
    ('tags=', ''), ('not-tags=', 'bad db1 web1 web2'), ('_nope=1', 'bad db1 web1 web2'),
    ('metadata={}', 'bad db1 web1 web2'), ('soft_deleted=1', 'bad db1 web1 web2'),
    ('uuid=x', 'bad db1 web1 web2'), ('host=c2', 'bad db1 web1 web2'), ('deleted=true', 'bad db1 web1 web2')])
def test_filters_of_users(fleet, member, query, expected):
    """The last three are for administrators, and passed over."""
    assert names(member, query) == expected.split()
    assert names(member, query, path='/servers/detail') == expected.split()


@pytest.mark.parametrize('query, expected', [
    ('', ''), ('all_tenants=1', 'bad db1 web1 web2'), ('all_tenants', 'bad db1 web1 web2'),
    ('all_tenants=1&host=c2', 'db1'), ('all_tenants=1&node=c', 'bad db1 web1 web2'),
    ('all_tenants=1&status=DELETED', 'old'),
    ('all_tenants=1&project_id=demo', 'bad db1 web1 web2'), ('all_tenants=1&tenant_id=x', ''),
    ('all_tenants=1&hostname=web2', 'web2'), ('all_tenants=0', ''), ('all_tenants=1&user_id=alice&name=db', 'db1'),
    ('all_tenants=1&description=zzz', ''), ('all_tenants=1&launch_index=0', 'bad db1 web1 web2'),
    ('all_tenants=1&launch_index=^[1-9]', ''), ('all_tenants=1&power_state=[01]', 'bad db1 web1 web2'),
    ('all_tenants=1&soft_deleted=1', 'bad db1 soft web1 web2'), ('all_tenants=1&soft_deleted=0', 'bad db1 web1 web2'),
    ('all_tenants=1&soft_deleted=', 'bad db1 web1 web2'), ('all_tenants=1&deleted=true', 'old soft'),
    ('all_tenants=1&deleted=true&soft_deleted=', 'old'), ('all_tenants=1&deleted=true&soft_deleted=0', 'old'),
    ('all_tenants=1&deleted=perhaps', 'bad db1 web1 web2'), ('all_tenants=1&deleted=', 'bad db1 web1 web2'),
    ('all_tenants=1&status=DELETED&status=ACTIVE', 'web1 web2'), ('all_tenants=TRUE&host=c2', 'db1'),
    ('all_tenants=1&config_drive=True', ''), ('all_tenants=1&config_drive=', 'bad db1 web1 web2'),
    ('all_tenants=1&config_drive=nope', ''), ('all_tenants=1&auto_disk_config=0', 'bad db1 web1 web2'),
    ('all_tenants=1&auto_disk_config=[01]', 'bad db1 web1 web2'), ('all_tenants=1&created_at=20', 'bad db1 web1 web2'),
    ('all_tenants=1&created_at=1999-01-01T00', ''), ('all_tenants=1&reservation_id=r-', 'bad db1 web1 web2'),
    ('all_tenants=1&reservation_id=r-00000000', '')])
def test_filters_of_administrators(fleet, api, query, expected):
    assert names(api, query) == expected.split()


@pytest.mark.parametrize('query', [
    'status=nope', 'limit=x', 'limit=-1', 'marker=nope', 'changes-since=x', 'sort_dir=up', 'sort_key=nope',
    'locked=perhaps', 'power_state=[', 'name=[', 'nope=1', 'ip=10.0.0.1"', 'ip=[^1]', 'created_at=(', '_nope=1',
    'metadata={}', 'services=x', 'all_tenants=perhaps', 'config_drive=[', 'sort_key=metadata', 'status=',
    'sort_key=id', 'sort_key=host&sort_dir=asc&sort_dir=desc',
    'changes-since=2030-01-02T00:00:00Z&changes-before=2030-01-01T00:00:00Z'])
def test_bad_queries(fleet, api, query):
    name, code, message = fault(api.get(f'/servers?{query}', code=400, version='2.104'))
    assert message


@pytest.mark.parametrize('pattern', ['(?P<a>web)1', '(?<=w)eb1', 'web{1,2}[[:digit:]]', '\\d', '(', 'a{,99999}'])
def test_expressions_that_databases_take_differently(fleet, member, pattern):
    for name in ('name', 'ip'):
        answer = member.call('GET', f'/servers?{name}={quote(pattern)}', version='2.104')
        assert answer.status_int in (200, 400) and (answer.status_int == 200 or name in fault(answer.json)[2])


NESTED = '(' * 5 + '.?' + '){50}' * 5 + 'x'


@pytest.mark.parametrize('name, pattern', [
    *((name, NESTED) for name in ('config_drive', 'auto_disk_config', 'name', 'power_state')),
    ('config_drive', '(.?.?.?.?.?.?.?.?){40}x'), ('config_drive', '(?P<a>x)(?P=b)'), ('config_drive', '^Tr[u]{1,3}e$')])
def test_expressions_that_ask_for_years(fleet, api, name, pattern):
    """What the database works off is its own to bound; what is ours is these."""
    began = time.monotonic()
    answer = api.call('GET', f'/servers?all_tenants=1&{name}={quote(pattern)}', version='2.104')
    assert answer.status_int in ((400,) if pattern == NESTED else (200, 400)) and time.monotonic() - began < 3


def test_an_outage_is_no_bad_expression(fleet, member, monkeypatch):
    def fail(names, rows):
        raise db_exc.DBConnectionError()
    monkeypatch.setattr(instance_list.select, 'records', fail)
    for query in ('name=web', 'ip=10', ''):
        assert 'database is not available' in fault(member.get(f'/servers?{query}', code=503))[2]


def test_what_older_versions_pass_over(fleet, member):
    everything = ['bad', 'db1', 'web1', 'web2']
    assert names(member, 'nope=1', '2.74') == everything
    assert names(member, 'tags=b', '2.25') == everything and names(member, 'tags=b', '2.26') == ['web1']
    assert names(member, 'locked=true', '2.72') == everything
    assert names(member, 'status=nope', '2.37') == []
    assert names(member, 'sort_key=id', '2.74') == everything
    assert names(member, 'ip6=fe80', '2.4') == everything and names(member, 'ip6=fe80', '2.5') == []
    assert names(member, 'key_name=k', '2.82') == everything and names(member, 'key_name=k', '2.83') == ['bad']
    assert names(member, 'hostname=web1', '2.89') == everything and names(member, 'hostname=web1', '2.90') == ['web1']
    assert names(member, f'changes-before={LATER}', '2.65') == everything


def test_what_the_operator_is_refused_at_every_version(fleet, api):
    for query in ('_nope=1', 'metadata={}', 'pci_devices=1'):
        for version in ('2.1', '2.74', '2.75', '2.104'):
            message = fault(api.get(f'/servers?{query}', code=400, version=version))[2]
            assert message == f'Invalid filter field: {query.partition("=")[0]}.'


def test_of_several_faults_the_one_that_nova_tells(fleet, member, api):
    for query, code, words in (
            ('all_tenants=1&name=[', 400, 'name'), ('all_tenants=1&status=nope', 400, 'status'),
            ('status=DELETED&changes-since=2030-01-02T00:00:00Z&changes-before=2030-01-01T00:00:00Z', 400, 'changes'),
            ('status=DELETED&all_tenants=perhaps', 403, 'list deleted'),
            ('all_tenants=1&locked=perhaps', 400, 'locked'),
            ('all_tenants=1&sort_key=host', 403, 'get_all_tenants'), ('all_tenants=1&sort_dir=up', 403, 'all_tenants')):
        assert words in fault(member.get(f'/servers?{query}', code=code, version='2.104'))[2], query
    assert names(member, 'status=nope&all_tenants=1&sort_key=host', '2.37') == []     # nothing more is looked at
    assert 'filter field' in fault(api.get('/servers?metadata=x&status=nope', code=400, version='2.104'))[2]


def test_only_administrators(fleet, member, api, app):
    assert 'list deleted' in fault(member.get('/servers?status=DELETED', code=403, version='2.104'))[2]
    assert 'get_all_tenants' in fault(member.get('/servers?all_tenants=1', code=403))[2]
    assert 'sort servers by host' in fault(member.get('/servers?sort_key=host', code=403))[2]
    assert names(api, 'all_tenants=1&sort_key=host') == ['bad', 'db1', 'web1', 'web2']
    shown = api.get('/servers/detail?all_tenants=1&deleted=1', version='2.104')['servers'][0]
    assert shown['status'] == 'DELETED' and shown['OS-SRV-USG:terminated_at']


@pytest.mark.parametrize('order', ['', 'sort_key=display_name', 'sort_key=display_name&sort_dir=asc',
                                   'sort_key=task_state&sort_dir=asc', 'sort_key=launched_at', 'sort_key=locked',
                                   'sort_key=key_name&sort_key=display_name&sort_dir=desc&sort_dir=asc',
                                   'sort_key=vm_state&sort_dir=desc&sort_key=uuid&sort_dir=asc', 'sort_dir=asc',
                                   'sort_key=instance_type_id', 'sort_key=created_at&sort_dir=asc'])
def test_pages_of_every_order(fleet, member, order):
    """Pages of two hold together what one page holds, in its order, with NULLs among the keys."""
    whole = [server['id'] for server in member.get(f'/servers?{order}', version='2.104')['servers']]
    assert len(whole) == 4
    found, path = [], f'/servers?limit=2&{order}'
    while path:
        page = member.get(path, version='2.104')
        found += [server['id'] for server in page['servers']]
        links = page.get('servers_links')
        path = f'/servers?{urlsplit(links[0]["href"]).query}' if links else None
        assert len(found) <= 4
    assert found == whole


def test_newest_first(fleet, member):
    assert [s['name'] for s in member.get('/servers')['servers']] == ['bad', 'db1', 'web2', 'web1']


def test_markers(fleet, member, app, api):
    assert fault(member.get('/servers?marker=x', code=400))[2] == 'marker [x] not found'
    assert names(member, f'marker={fleet["old"]}') == ['bad', 'db1', 'web1', 'web2']    # deleted between two pages
    other = Client(app, user='eve', project='other')
    other.get(f'/servers?marker={fleet["web1"]}', code=400)
    assert names(member, f'marker={fleet["web2"]}') == ['web1']
    assert names(api, f'all_tenants=1&name=web1&marker={fleet["db1"]}') == ['web1']


def test_max_limit(fleet, member, override):
    override('api', max_limit=3)
    page = member.get('/servers?limit=1000')
    assert len(page['servers']) == 3 and 'marker=' in page['servers_links'][0]['href']


def test_a_page_costs_the_same_for_many(world, member, api, count_queries):
    """One query; one more each for tags, volumes and hosts' reports, when a server of the page has any."""
    compute_service()
    costs = []
    for _ in range(2):
        world.boot(min_count=3)
        with count_queries() as seen:
            member.get('/servers/detail', version='2.104')
        costs.append(len(seen))
    for _ in range(2):
        for identity in (world.built(), place(world.boot(tags=['a', 'b']))):
            attach(identity)
        with session.engine().connect() as conn:
            session.now(conn)       # a server's clock is asked now and then
        with count_queries() as seen:
            shown = api.get('/servers/detail?all_tenants=1', version='2.104')['servers']
        costs.append(len(seen))
    assert costs == [1, 1, 4, 4]
    assert shown[0]['tags'] == ['a', 'b'] and len(shown[0]['os-extended-volumes:volumes_attached']) == 1
    assert shown[0]['host_status'] == 'UP'
    with count_queries() as seen:
        member.get('/servers', version='2.104')
    assert len(seen) == 1
    with count_queries() as seen:
        api.get(f'/servers/{shown[0]["id"]}', version='2.104')
    assert len(seen) == 4


def attach(identity):
    session.write(lambda conn: conn.execute(block_device_mappings.insert().values(
        uuid=str(uuid.uuid4()), instance_uuid=identity, volume_id=str(uuid.uuid4()), source_type='volume',
        destination_type='volume', delete_on_termination=False, no_device=False)))


@pytest.mark.parametrize('text', [
    '"quoted" \\ back', 'tab\tand\nline', 'é ü 漢字 😀', "it's 100% {}[]:,", '\u007f\u2028'])
def test_any_text_is_shown_as_it_was_written(world, member, text):
    """The rows are JSON that the database has written."""
    identity = world.built()
    session.write(lambda conn: conn.execute(table.update().where(table.c.uuid == identity).values(
        display_name=text, display_description=text, locked_reason=text, metadata={text: text}, user_data=text)))
    for shown in (member.get('/servers/detail', version='2.104')['servers'][0],
                  member.get(f'/servers/{identity}', version='2.104')['server']):
        assert (shown['name'], shown['description'], shown['locked_reason']) == (text, text, text)
        assert shown['metadata'] == {text: text}


@pytest.mark.parametrize('fraction', [0, 120000, 7])
def test_times_are_shown_to_the_microsecond(world, member, fraction):
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, fraction)
    identity = world.built()
    session.write(lambda conn: conn.execute(table.update().values(
        launched_at=when, created_at=when, updated_at=when)))
    shown = member.get(f'/servers/{identity}', version='2.104')['server']
    assert shown['created'] == shown['updated'] == '2026-01-02T03:04:05Z'
    assert shown['OS-SRV-USG:launched_at'] == f'2026-01-02T03:04:05.{fraction:06}'


def test_equal_times_do_not_lose_servers(world, member):
    world.boot(min_count=4)
    same = datetime.datetime(2026, 1, 1)
    session.write(lambda conn: conn.execute(table.update().values(created_at=same)))
    first = member.get('/servers?limit=2')['servers']
    rest = member.get(f'/servers?limit=2&marker={first[-1]["id"]}')['servers']
    assert len({server['id'] for server in first + rest}) == 4


def test_texts_find_no_more_than_themselves(world, member):
    for name in ('100%', '100x', "o'brien", 'a_b', 'axb'):
        world.boot(name=name)
    assert names(member, 'name=' + quote('100%')) == ['100%']
    assert names(member, 'name=a_b') == ['a_b']
    assert names(member, 'name=' + quote("o'b")) == ["o'brien"]
