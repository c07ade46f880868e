from __future__ import annotations

import datetime
import uuid

import pytest

from minicompute.db import session
from minicompute.db.models import instance_actions, instance_actions_events, instances
from tests.functional.api.client import Client, fault

BEGIN = datetime.datetime(2026, 1, 1)


@pytest.fixture
def server(app):
    identity = str(uuid.uuid4())

    def fill(conn):
        conn.execute(instances.insert().values(uuid=identity, project_id='demo', user_id='alice', vm_state='active',
                                               deleted=0))
        for number, name in enumerate(('create', 'stop', 'start')):
            at = BEGIN + datetime.timedelta(minutes=number)
            done = conn.execute(instance_actions.insert().values(
                action=name, flow=name, instance_uuid=identity, request_id=f'req-{name}', user_id='alice',
                project_id='demo', state='done', start_time=at, updated_at=at))
            conn.execute(instance_actions_events.insert().values(
                action_id=done.inserted_primary_key[0], event=f'{name}_step', start_time=at, finish_time=at,
                result='Error', traceback='secret place', host='c1', details='why'))
    session.write(fill)
    return identity


def path(server, *more):
    return '/'.join((f'/servers/{server}/os-instance-actions', *more))


def names(page):
    return [one['action'] for one in page['instanceActions']]


def test_list(server, member, reader, app):
    for version in ('2.1', '2.57', '2.58', '2.66', '2.104'):
        page = reader.get(path(server), version=version)
        assert names(page) == ['start', 'stop', 'create']
        assert ('updated_at' in page['instanceActions'][0]) == (version not in ('2.1', '2.57'))
    Client(app, user='eve', project='other').get(path(server), code=404)
    assert fault(member.get(path(str(uuid.uuid4())), code=404))[0] == 'itemNotFound'


def test_pages(server, member, count_queries):
    with count_queries() as seen:
        page = member.get(path(server) + '?limit=2', version='2.58')
    assert len(seen) == 2
    assert names(page) == ['start', 'stop'] and 'marker=req-stop' in page['links'][0]['href']
    assert names(member.get(path(server) + '?limit=2&marker=req-stop', version='2.58')) == ['create']
    assert names(member.get(path(server) + '?changes-since=2026-01-01T00:01:00Z', version='2.58')) == ['start', 'stop']
    query = '?changes-before=2026-01-01T00:01:00Z'
    assert names(member.get(path(server) + query, version='2.66')) == ['stop', 'create']
    member.get(path(server) + query, version='2.65', code=400)
    member.get(path(server) + '?changes-since=yesterday', version='2.58', code=400)
    member.get(path(server) + '?marker=nope', version='2.58', code=400)
    member.get(path(server) + '?limit=1&limit=2', version='2.58', code=400)


def test_show(server, member, api):
    assert 'events' not in member.get(path(server, 'req-stop'))['instanceAction']
    seen = api.get(path(server, 'req-stop'))['instanceAction']['events'][0]
    assert seen['traceback'] == 'secret place' and 'host' not in seen
    for version, keys in (('2.51', set()), ('2.62', {'hostId'}), ('2.84', {'hostId'})):
        event = member.get(path(server, 'req-stop'), version=version)['instanceAction']['events'][0]
        assert set(event) == {'event', 'start_time', 'finish_time', 'result'} | keys
    event = api.get(path(server, 'req-stop'), version='2.84')['instanceAction']['events'][0]
    assert event['host'] == 'c1' and event['details'] == 'why' and len(event['hostId']) == 56
    assert 'req-nope' in fault(member.get(path(server, 'req-nope'), code=404))[2]


def test_deleted_servers_stay_readable_from_2_21(server, member):
    session.write(lambda conn: conn.execute(instances.update().values(deleted=1)))
    member.get(path(server), version='2.20', code=404)
    assert names(member.get(path(server), version='2.21')) == ['start', 'stop', 'create']
    member.get(path(server, 'req-stop'), version='2.20', code=404)
    member.get(path(server, 'req-stop'), version='2.21')
