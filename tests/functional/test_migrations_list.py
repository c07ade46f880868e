"""GET /os-migrations and /servers/{id}/migrations: versions, filters, pages, and who may see what."""
from __future__ import annotations

import datetime
import uuid as uuidlib
from typing import Any
from urllib.parse import quote

import pytest

from minicompute.db import session
from minicompute.db.api import migrations
from minicompute.objects import Migration
from tests.functional.cloud import Cloud

BASE = {'id', 'status', 'created_at', 'updated_at', 'instance_uuid', 'old_instance_type_id', 'new_instance_type_id',
        'source_compute', 'source_node', 'dest_compute', 'dest_node', 'dest_host'}
AT = datetime.datetime(2026, 1, 1, 12)


def made(instance_uuid: str | None = None, **values: Any) -> Migration:
    migration = Migration(**{
        'uuid': str(uuidlib.uuid4()), 'instance_uuid': instance_uuid or str(uuidlib.uuid4()),
        'migration_type': 'resize', 'status': 'finished', 'source_compute': 'a', 'source_node': 'a.example',
        'dest_compute': 'b', 'dest_node': 'b.example', 'dest_host': '192.0.2.2', 'old_flavor_id': 1,
        'new_flavor_id': 2, 'user_id': 'u1', 'project_id': 'demo', **values})
    session.write(migrations.create, migration)
    return migration


def listed(cloud: Cloud, query: str = '', **kwargs: Any) -> list[Any]:
    return list(cloud.api('GET', f'/os-migrations{query}', **kwargs)['migrations'])


def ids(cloud: Cloud, query: str = '', **kwargs: Any) -> list[str]:
    return [row['uuid'] for row in listed(cloud, query, **kwargs)]


@pytest.mark.parametrize(('version', 'more'), [
    ('2.1', set()), ('2.22', set()), ('2.23', {'migration_type'}), ('2.59', {'migration_type', 'uuid'}),
    ('2.80', {'migration_type', 'uuid', 'user_id', 'project_id'})])
def test_what_each_version_shows(cloud: Cloud, version: str, more: set[str]) -> None:
    mine = made()
    row, = listed(cloud, version=version)
    assert set(row) == BASE | more
    assert (row['id'], row['instance_uuid'], row['old_instance_type_id'], row['new_instance_type_id']) == (
        mine.id, mine.instance_uuid, 1, 2)
    assert (row['source_compute'], row['dest_node'], row['dest_host']) == ('a', 'b.example', '192.0.2.2')


def test_a_live_migration_that_runs_has_links(cloud: Cloud) -> None:
    mine = made(migration_type='live-migration', status='running')
    made(migration_type='live-migration', status='completed')
    rows = {row['status']: row for row in listed(cloud, version='2.23')}
    assert f'/servers/{mine.instance_uuid}/migrations/{mine.id}' in rows['running']['links'][0]['href']
    assert 'links' not in rows['completed']


def test_filters(cloud: Cloud) -> None:
    first = made()
    second = made(migration_type='live-migration', status='error', source_compute='b', source_node='b.example',
                  dest_compute='c', dest_node='c.example', user_id='u2', project_id='other')
    for query, wanted in (
            ('?host=a', [first]), ('?host=b', [second, first]), ('?source_compute=b', [second]),
            ('?status=error', [second]), ('?status=finished&status=error', [second]),
            ('?migration_type=resize', [first]),
            (f'?instance_uuid={first.instance_uuid}', [first]), ('?instance_uuid=nobody', []),
            ('?user_id=u2', [second]),
            ('?project_id=demo', [first]), ('?host=zzz', []), ('?hidden=true', []), ('?hidden=0', [second, first]),
            ('?host=a&source_compute=b', [first])):
        assert ids(cloud, query) == [one.uuid for one in wanted], query
    # What came through to the search before 2.59 still does; later versions refuse it.
    assert [row['id'] for row in listed(cloud, '?node=a.example&unknown=1', version='2.58')] == [first.id]
    assert [row['id'] for row in listed(cloud, version='2.58')] == [first.id, second.id]
    for query, version in (('?unknown=1', '2.59'), ('?user_id=u1', '2.79'), ('?changes-before=2026-01-01', '2.65'),
                           ('?limit=-1', '2.59'), ('?limit=x', '2.59'), ('?changes-since=never', '2.59'),
                           ('?user_id=u1&user_id=u2', '2.80'), ('?limit=1&limit=2', '2.59')):
        cloud.api('GET', f'/os-migrations{query}', version=version, expect=400)


def test_pages(cloud: Cloud) -> None:
    newest_first = [made().uuid for _ in range(5)][::-1]
    assert ids(cloud) == newest_first
    page = cloud.api('GET', '/os-migrations?limit=2')
    found = [row['uuid'] for row in page['migrations']]
    while links := page.get('migrations_links'):
        assert links[0]['rel'] == 'next'
        page = cloud.api('GET', links[0]['href'].partition('/v2.1')[2])
        found += [row['uuid'] for row in page['migrations']]
    assert found == newest_first
    assert ids(cloud, '?limit=0') == []
    assert ids(cloud, f'?marker={newest_first[3]}') == newest_first[4:]
    cloud.api('GET', f'/os-migrations?marker={uuidlib.uuid4()}', expect=400)


def test_times(cloud: Cloud) -> None:
    mine = made()
    changed = mine.updated_at
    assert changed is not None
    later, sooner = (quote((changed + datetime.timedelta(hours=h)).isoformat() + 'Z') for h in (1, -1))
    assert ids(cloud, f'?changes-since={sooner}') == [mine.uuid] == ids(cloud, f'?changes-before={later}')
    assert ids(cloud, f'?changes-since={later}') == [] == ids(cloud, f'?changes-before={sooner}')
    cloud.api('GET', f'/os-migrations?changes-since={later}&changes-before={sooner}', expect=400)


def test_who_may_see_what(cloud: Cloud) -> None:
    mine = made()
    made(project_id='other')
    manager = {'user': 'boss', 'X-Roles': 'manager,member,reader'}
    row, = listed(cloud, '?project_id=demo', **manager)
    assert row['uuid'] == mine.uuid
    assert {row[name] for name in ('source_compute', 'source_node', 'dest_compute', 'dest_node', 'dest_host')} == {None}
    cloud.api('GET', '/os-migrations', expect=403, **manager)
    cloud.api('GET', '/os-migrations?project_id=other', expect=403, **manager)
    cloud.api('GET', '/os-migrations?project_id=demo', expect=403, user='someone',
              **{'X-Roles': 'member,reader'})


def test_of_a_server(cloud: Cloud) -> None:
    server = cloud.wait(cloud.boot()['id'])['id']
    running = made(server, migration_type='live-migration', status='running', memory_total=100, memory_processed=40,
                   memory_remaining=60)
    ended = made(server, migration_type='live-migration', status='completed')
    cold = made(server)
    path = f'/servers/{server}/migrations'
    row, = cloud.api('GET', path)['migrations']
    assert (row['id'], row['server_uuid'], row['memory_remaining_bytes'], row['disk_total_bytes']) == (
        running.id, server, 60, None)
    assert cloud.api('GET', f'{path}/{running.id}')['migration'] == row
    assert 'uuid' not in cloud.api('GET', path, version='2.58')['migrations'][0]
    assert 'user_id' not in cloud.api('GET', path, version='2.79')['migrations'][0]
    for number, why in ((ended.id, 'not in progress'), (cold.id, 'not live-migration'), (10**9, 'not found'),
                        ('x', 'not found'), ('1' * 40, 'not found')):
        answer = cloud.request('GET', f'{path}/{number}')
        assert answer.status_int == 404 and why in answer.json['itemNotFound']['message']
    for bad in (path, f'{path}/{running.id}'):
        cloud.api('GET', bad, version='2.22', expect=404)
        cloud.api('GET', f'{bad}?x=1', expect=400)
        cloud.api('GET', f'{bad}?x=1', version='2.101')
    cloud.api('GET', f'/servers/{uuidlib.uuid4()}/migrations', expect=404)
