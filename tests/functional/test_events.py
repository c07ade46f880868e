"""Events of servers: none is lost, none comes twice; and waiting for a server."""
from __future__ import annotations

import datetime
import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from webob import Request

from minicompute.api.beyond import events as resource
from minicompute.api.beyond import hub
from minicompute.api.beyond.hub import Hub
from minicompute.cli.follow import messages
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import events
from minicompute.db.models import events as table
from minicompute.db.models import instances
from minicompute.utils import utcnow
from tests.functional.cloud import Cloud


def ask(cloud: Cloud, path: str, *, user: str = 'admin', project: str = 'demo', **headers: str) -> Any:
    request = Request.blank('/minicompute/v1' + path)
    request.headers.update({'X-Auth-Token': f'{user}:{project}', **headers})
    return request.get_response(cloud.app)


def follow(cloud: Cloud, path: str = '/events', **kwargs: Any) -> Iterator[tuple[str | None, int | None, Any]]:
    answer = ask(cloud, path, **kwargs)
    assert answer.status_int == 200, answer.text
    assert answer.content_type == 'text/event-stream'
    return messages(line for part in answer.app_iter for line in part.split(b'\n'))


def kept(cloud: Cloud, path: str = '/events', since: int = 0, **kwargs: Any) -> list[tuple[int, Any]]:
    """What there is so far: (id, data)."""
    found = []
    for kind, seq, data in follow(cloud, path, **{'Last-Event-ID': str(since), **kwargs}):
        if kind is None:
            return found
        if kind == 'server':
            assert seq is not None
            found.append((seq, data))
    return found


def put(*ids: int, project: str = 'demo') -> None:
    """Events as transactions commit them."""
    session.write(lambda conn: conn.execute(table.insert(), [
        {'id': number, 'kind': 'changed', 'instance_uuid': str(uuid.UUID(int=number)), 'project_id': project,
         'vm_state': 'active', 'created_at': utcnow()} for number in ids]))


def read(after: int = 0) -> list[tuple[int, int]]:
    """(seq, number that the event was put with)"""
    events.sequence()
    with session.read() as conn:
        return [(one.seq, uuid.UUID(one.instance_uuid).int) for one in events.since(conn, after)]


# -- the order --------------------------------------------------------------------

def test_what_commits_late_comes_late(database: str) -> None:
    put(3, 5)
    first = read()
    assert [number for _, number in first] == [3, 5]
    put(4)
    put(1, 6)
    then = read(first[-1][0])
    assert [number for _, number in then] == [4, 1, 6] or [number for _, number in then] == [1, 4, 6]
    assert min(seq for seq, _ in then) > first[-1][0]


def test_everything_is_numbered_once_by_many(database: str) -> None:
    """Writers with ids in any order, several who number, a reader that goes on from where it was."""
    ids = list(range(1, 301))
    random.Random(7).shuffle(ids)
    left, seen, lock, over = list(ids), [], threading.Lock(), threading.Event()

    def write() -> None:
        while True:
            with lock:
                some = [left.pop() for _ in range(min(3, len(left)))]
            if not some:
                return
            put(*some)
            time.sleep(0)       # greenlets let each other run here

    def number() -> None:
        while not over.is_set():
            events.sequence()
            time.sleep(0)
    writers = [threading.Thread(target=write) for _ in range(3)]
    numberers = [threading.Thread(target=number) for _ in range(2)]
    for thread in [*writers, *numberers]:
        thread.start()
    last, until = 0, time.monotonic() + 60
    while len(seen) < len(ids) and time.monotonic() < until:
        found = read(last)
        seen += [number for _, number in found]
        last = found[-1][0] if found else last
        time.sleep(0)
    over.set()
    for thread in [*writers, *numberers]:
        thread.join(60)
    assert sorted(seen) == sorted(ids)


def test_numbers_never_come_again_after_a_purge(database: str) -> None:
    put(1, 2)
    (_, last) = (seq for seq, _ in read())
    with_age(25)
    assert session.write(events.purge) == 2
    put(3)
    assert read()[0][0] > last


def with_age(hours: float) -> None:
    past = utcnow() - datetime.timedelta(hours=hours)
    session.write(lambda conn: conn.execute(table.update().values(created_at=past)))


# -- a life -----------------------------------------------------------------------

def test_the_life_of_a_server(cloud: Cloud) -> None:
    server = cloud.boot('web')['id']
    cloud.wait(server)
    cloud.api('POST', f'/servers/{server}/action', {'os-stop': None})
    cloud.wait(server, 'SHUTOFF')
    cloud.api('PUT', f'/servers/{server}', {'server': {'name': 'renamed'}})
    cloud.api('DELETE', f'/servers/{server}')
    cloud.wait_gone(server)
    told = [data for _, data in kept(cloud)]
    states = [(one['server']['status'], one['server']['task_state']) for one in told]
    for state in (('BUILD', 'scheduling'), ('BUILD', 'spawning'), ('ACTIVE', None), ('ACTIVE', 'powering-off'),
                  ('SHUTOFF', None), ('DELETED', None)):
        assert state in states
    assert [one['kind'] for one in told][0] == 'created' and told[-1]['kind'] == 'deleted'
    assert {one['server']['id'] for one in told} == {server}
    assert told[-1]['server']['name'] == 'renamed'
    assert told[2]['server']['host'].startswith('compute'), 'an operator sees hosts'


def test_users_hear_of_their_own_servers(cloud: Cloud) -> None:
    mine = cloud.boot(user='alice', project='a', flavorRef=cloud.flavor(disk=1))['id']
    other = cloud.boot(user='bob', project='b', flavorRef=cloud.flavor(disk=1))['id']
    for server in (mine, other):
        cloud.wait(server)
    told = [data['server'] for _, data in kept(cloud, user='alice', project='a')]
    assert {one['id'] for one in told} == {mine} and not any('host' in one for one in told)
    both = kept(cloud, '/events?all_projects=true')
    assert {data['server']['id'] for _, data in both} == {mine, other}
    assert ask(cloud, '/events?all_projects=true', user='alice', project='a').status_int == 403
    assert ask(cloud, f'/events?server_id={other}', user='alice', project='a').status_int == 404
    one = kept(cloud, f'/events?server_id={mine}', user='alice', project='a')
    assert {data['server']['id'] for _, data in one} == {mine}


@pytest.mark.parametrize(('path', 'headers'), [
    ('/events', {'Last-Event-ID': 'x'}), ('/events', {'Last-Event-ID': '9' * 30}), ('/events?last_event_id=-1', {}),
    ('/events?server_id=1', {}), ('/events?color=red', {})])
def test_what_is_wrong_is_named(cloud: Cloud, path: str, headers: dict[str, str]) -> None:
    answer = ask(cloud, path, **headers)
    assert answer.status_int == 400 and answer.json['badRequest']['message']


def test_who_comes_back_hears_all_of_it_once(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that is cut off again and again, at any moment, while servers come and go."""
    monkeypatch.setattr('minicompute.api.beyond.hub.PAUSE', 0.02)
    flavor, image = cloud.flavor(disk=1), cloud.image()
    stopped = threading.Event()

    def work() -> None:
        for number in range(4):
            server = cloud.boot(f'vm{number}', flavorRef=flavor, imageRef=image)['id']
            cloud.wait(server)
            cloud.api('DELETE', f'/servers/{server}')
            cloud.wait_gone(server)
        stopped.set()
    worker = threading.Thread(target=work)
    worker.start()
    seen: list[int] = []
    last, chance = 0, random.Random(11)
    while not stopped.is_set() or seen[-1:] != [last]:
        monkeypatch.setattr(resource, 'LIFETIME', chance.uniform(0.01, 0.3))
        stop_after = chance.randint(1, 4)
        for kind, seq, _ in follow(cloud, **{'Last-Event-ID': str(last)}):
            assert kind in (None, 'server') and seq is not None
            if kind == 'server':
                seen.append(seq)
                last = seq
                stop_after -= 1
            if not stop_after:
                break       # in the middle of what was sent
        if stopped.is_set() and not kept(cloud, since=last):
            break
    worker.join(60)
    assert seen == [seq for seq, _ in kept(cloud)], 'no gap, and none twice'


def test_who_was_away_for_too_long_is_told_so(cloud: Cloud) -> None:
    put(1, 2, 3)
    events.sequence()
    session.write(lambda conn: conn.execute(table.delete().where(table.c.id <= 2)))
    assert next(iter(follow(cloud, **{'Last-Event-ID': '1'})))[0] == 'lost'
    kinds = [kind for kind, _, _ in _until_now(follow(cloud, **{'Last-Event-ID': '2'}))]
    assert kinds == ['server']
    assert next(iter(follow(cloud, **{'Last-Event-ID': '999'})))[0] == 'lost'


@pytest.mark.parametrize('removed', [False, True])
def test_who_is_not_concerned_goes_on_from_the_newest(cloud: Cloud, removed: bool,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the hub would read what others have had since, for all its followers."""
    monkeypatch.setattr(hub, 'BEAT', 0.2)
    put(1, 2, 3, project='other')
    events.sequence()
    if removed:
        session.write(lambda conn: conn.execute(table.delete().where(table.c.id <= 2)))
    told = [(kind, seq) for (kind, seq, _), _ in zip(
        follow(cloud, **{'Last-Event-ID': '1'}), range(1 + removed), strict=False)]
    assert told == [('lost', 1), (None, 3)][not removed:]


def test_what_was_removed_unnumbered_is_missed(cloud: Cloud) -> None:
    put(1)
    last = read()[-1][0]
    put(2, 3)       # and nobody follows
    with_age(25)
    cloud.services['conductor1'].manager.forget()       # type: ignore[attr-defined]
    assert next(iter(follow(cloud, **{'Last-Event-ID': str(last)})))[0] == 'lost'


@pytest.mark.every_case
@pytest.mark.parametrize(('whose', 'index'), [
    ({'project_id': 'p'}, 'ix_events_project'), ({'instance_uuid': 'u'}, 'ix_events_instance')])
def test_reading_on_has_an_index(database: str, whose: dict[str, str], index: str) -> None:
    wanted = ['project_id' if 'project_id' in whose else 'instance_uuid', 'seq']
    assert {one['name']: one['column_names'] for one in sa.inspect(session.engine()).get_indexes('events')}[
        index] == wanted
    if session.engine().dialect.name != 'sqlite':
        return      # their planners count rows, and here are none
    asked: list[Any] = []

    class Seen:
        def execute(self, query: Any) -> list[Any]:
            asked.append(query)
            return []
    events.since(Seen(), 0, **whose)      # type: ignore[arg-type]
    with session.read() as conn:
        text = str(asked[0].compile(conn, compile_kwargs={'literal_binds': True}))
        assert index in str(conn.exec_driver_sql(f'EXPLAIN QUERY PLAN {text}').all())


def _until_now(stream: Any) -> list[Any]:
    found = []
    for one in stream:
        if one[0] is None:
            break
        found.append(one)
    return found


def test_without_events_nothing_is_written(cloud: Cloud) -> None:
    CONF.set_override('keep_hours', 0, 'events')
    server = cloud.boot()['id']
    cloud.wait(server)
    with session.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0
    for path in ('/events', f'/servers/{server}/wait?status=ACTIVE'):
        answer = ask(cloud, path)
        assert answer.status_int == 503 and 'keep_hours' in answer.json['serviceUnavailable']['message']


def test_too_many_followers(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Hub()
    monkeypatch.setattr(resource, 'hub', full)
    CONF.set_override('followers', 1, 'events')
    first = ask(cloud, '/events')
    stream = iter(first.app_iter)
    next(stream)
    assert full.count() == 1 and ask(cloud, '/events').status_int == 503
    stream.close()
    assert full.count() == 0 and ask(cloud, '/events').status_int == 200


def test_one_project_leaves_room_for_others(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Hub()
    monkeypatch.setattr(resource, 'hub', full)
    CONF.set_override('followers', 8, 'events')
    streams = [iter(ask(cloud, '/events').app_iter) for _ in range(2)]
    answer = ask(cloud, '/events')
    assert answer.status_int == 503 and 'project' in answer.json['serviceUnavailable']['message']
    streams.append(iter(ask(cloud, '/events', user='alice', project='a').app_iter))
    assert full.count() == 3
    for stream in streams:
        stream.close()      # type: ignore[attr-defined]
    assert full.count() == 0 and ask(cloud, '/events').status_int == 200


def test_who_asked_at_the_same_time_is_refused_as_well(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Hub()
    monkeypatch.setattr(resource, 'hub', full)
    monkeypatch.setattr(full, 'room', lambda _asker: None)      # there was some, for each of them
    CONF.set_override('followers', 4, 'events')
    stream = iter(ask(cloud, '/events').app_iter)
    answer = ask(cloud, '/events')
    assert answer.status_int == 503 and full.count() == 1
    stream.close()      # type: ignore[attr-defined]


# -- waiting ----------------------------------------------------------------------

def wait(cloud: Cloud, server: str, status: str, timeout: int = 30) -> Any:
    answer = ask(cloud, f'/servers/{server}/wait?status={status}&timeout={timeout}')
    assert answer.status_int == 200, answer.text
    return json.loads(answer.body)


def test_waiting_for_a_server(cloud: Cloud) -> None:
    server = cloud.boot()['id']
    found = wait(cloud, server, 'active')
    assert found['reached'] and found['reason'] == 'status'
    assert found['server'] == {'id': server, 'name': 'vm', 'status': 'ACTIVE', 'task_state': None, 'power_state': 1}
    assert wait(cloud, server, 'ACTIVE')['reached'], 'it is there already'
    cloud.api('POST', f'/servers/{server}/action', {'os-stop': None})
    assert wait(cloud, server, 'SHUTOFF')['reached']
    found = wait(cloud, server, 'ACTIVE', timeout=0)
    assert (found['reached'], found['reason'], found['server']['status']) == (False, 'timeout', 'SHUTOFF')
    cloud.api('DELETE', f'/servers/{server}')
    assert wait(cloud, server, 'DELETED')['reached']
    assert wait(cloud, server, 'ACTIVE') == {'reached': False, 'reason': 'deleted', 'server': wait(
        cloud, server, 'DELETED')['server']}


def test_who_waits_hears_that_somebody_is_there(cloud: Cloud) -> None:
    """Also while things happen that it does not wait for."""
    server = cloud.boot()['id']
    cloud.wait(server)
    events.sequence()
    with session.read() as conn:
        some = events.since(conn, 0, instance_uuid=server)
        row = conn.execute(sa.select(instances).where(instances.c.uuid == server)).one()
    waiter = resource.Waiter(0, time.monotonic() + 3600, wanted='SHUTOFF', row=row)
    now = time.monotonic()
    assert some and waiter.hear(some, now + hub.BEAT - 1) == b''
    assert waiter.hear([], now + hub.BEAT + 1) == b' '


def test_waiting_ends_with_an_error(cloud: Cloud) -> None:
    CONF.set_override('ram', -1, 'quota')
    server = cloud.boot(flavorRef=cloud.flavor(ram=10**9))['id']
    found = wait(cloud, server, 'ACTIVE')
    assert (found['reached'], found['reason']) == (False, 'error')


@pytest.mark.parametrize('query', ['', '?status=NICE', '?status=ACTIVE&timeout=x', '?status=ACTIVE&timeout=9999'])
def test_what_cannot_be_waited_for(cloud: Cloud, query: str) -> None:
    server = cloud.boot()['id']
    answer = ask(cloud, f'/servers/{server}/wait{query}')
    assert answer.status_int == 400 and ('status' in answer.text or 'timeout' in answer.text)


def test_whose_server_can_be_waited_for(cloud: Cloud) -> None:
    server = cloud.boot()['id']
    for user, identity in (('alice', server), ('admin', str(uuid.uuid4()))):
        assert ask(cloud, f'/servers/{identity}/wait?status=ACTIVE', user=user, project='a').status_int == 404
