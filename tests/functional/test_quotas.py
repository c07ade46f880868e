"""What quotas refuse, and that no crowd gets past them: real threads, each with a transaction of its own."""
from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.compute.api import create
from minicompute.db import session
from minicompute.db.models import instances, key_pairs
from tests.functional.api.client import Client, fault
from tests.functional.servers_fixtures import api, app, count_queries, image, member, override, reader, rung, world

__all__ = ['api', 'app', 'count_queries', 'image', 'member', 'override', 'reader', 'rung', 'world']

KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Hk4vO2wMmnC7T3qY3o9x8oTz1c7q6l9k0m7b8n5xQ me@here'


def crowd(number: int, act: Callable[[int], Any]) -> list[Any]:
    """`act(place)` in so many threads that begin together. -> what they returned"""
    start, results = threading.Barrier(number), [None] * number

    def run(place: int) -> None:
        start.wait()
        results[place] = act(place)
    threads = [threading.Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def put(api: Client, user: str | None = None, **limits: int) -> None:
    query = f'?user_id={user}' if user else ''
    api.put(f'/os-quota-sets/demo{query}', {'quota_set': {**limits, 'force': True}}, version='2.50')


class EachForItself:
    """As if each request came to an api daemon of its own."""

    def __init__(self, shared: Any) -> None:
        self._write = shared._write
        self._connections = threading.Semaphore(25)     # each takes two at times, and here all share one pool

    def put(self, _key: Any, item: Any) -> Any:
        with self._connections:
            (result,) = self._write([item])
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture(params=['one daemon', 'a daemon each'])
def daemons(request, monkeypatch):
    if request.param != 'one daemon':
        monkeypatch.setattr(create, '_creates', EachForItself(create._creates))


def made() -> dict[str, int]:
    c = instances.c
    with session.read() as conn:
        count, cores, ram = conn.execute(sa.select(
            sa.func.count(), sa.func.sum(c.vcpus), sa.func.sum(c.memory_mb)).where(c.deleted == 0)).one()
    return {'instances': count, 'cores': int(cores or 0), 'ram': int(ram or 0)}


@pytest.mark.every_case
@pytest.mark.parametrize('limits', [{'instances': 7}, {'cores': 7}, {'ram': 7 * 64}])
def test_100_creates_at_once(world, api, daemons, limits):
    put(api, **{'instances': -1, 'cores': -1, 'ram': -1, **limits})
    answers = crowd(100, lambda place: world.member.call('POST', '/servers', world.body(), version='2.104'))
    assert Counter(answer.status_int for answer in answers) == {202: 7, 403: 93}
    assert made() == {'instances': 7, 'cores': 7, 'ram': 7 * 64}


def test_100_creates_of_several_at_once(world, api, daemons):
    """Each takes one to three, as many as there is room for: the last ones fill it to the brim."""
    put(api, instances=50, cores=-1, ram=-1)
    body = world.body(min_count=1, max_count=3)
    answers = crowd(100, lambda place: world.member.call('POST', '/servers', body, version='2.104'))
    assert {answer.status_int for answer in answers} == {202, 403}
    assert made()['instances'] == 50


def test_100_creates_of_two_users_at_once(world, api, app, daemons):
    put(api, instances=10)
    put(api, user='alice', instances=4)
    others = Client(app, user='bob', project='demo')
    answers = crowd(100, lambda place: (others if place % 2 else world.member).call(
        'POST', '/servers', world.body(), version='2.104'))
    codes = Counter((place % 2, answer.status_int) for place, answer in enumerate(answers))
    assert codes[0, 202] <= 4 and codes[0, 202] + codes[1, 202] == 10 == made()['instances']


def group(client: Client, **changes: Any) -> str:
    body = {'name': 'g', 'policy': 'anti-affinity', **changes}
    return str(client.post('/os-server-groups', {'server_group': body}, version='2.64')['server_group']['id'])


def test_members_of_a_group_at_once(world, api, daemons):
    put(api, instances=-1, cores=-1, ram=-1, server_group_members=6)
    one = group(world.member)
    body = {**world.body(min_count=2), 'os:scheduler_hints': {'group': one}}
    answers = crowd(30, lambda place: world.member.call('POST', '/servers', body, version='2.104'))
    assert Counter(answer.status_int for answer in answers) == {202: 3, 403: 27}
    assert len(world.member.get(f'/os-server-groups/{one}')['server_group']['members']) == 6 == made()['instances']


def test_members_are_counted_by_user(world, api, app):
    put(api, server_group_members=2)
    one = group(world.member)
    refusal = world.refuse(403, hints={'group': one}, min_count=3)
    assert refusal == 'Quota exceeded, too many servers in group'
    body = {**world.body(min_count=2), 'os:scheduler_hints': {'group': one}}
    world.member.post('/servers', body, code=202, version='2.104')
    assert fault(world.member.post('/servers', body, code=403, version='2.104'))[:2] == ('forbidden', 403)
    Client(app, user='bob', project='demo').post('/servers', body, code=202, version='2.104')
    # as many as the quota of instances leaves, or none
    put(api, instances=5, server_group_members=1)
    other = group(world.member)
    several = {**world.body(min_count=1, max_count=9), 'os:scheduler_hints': {'group': other}}
    world.member.post('/servers', several, code=202, version='2.104')


def test_server_groups_at_once(api, app, member):
    put(api, server_groups=5)
    body = {'server_group': {'name': 'g', 'policies': ['affinity']}}
    answers = crowd(30, lambda place: member.call('POST', '/os-server-groups', body))
    assert Counter(answer.status_int for answer in answers) == {200: 5, 403: 25}
    refused = next(answer for answer in answers if answer.status_int == 403)
    assert fault(refused.json) == ('forbidden', 403, 'Quota exceeded, too many server groups.')


def test_server_groups_of_a_user(api, app, member):
    put(api, user='alice', server_groups=1)
    body = {'server_group': {'name': 'g', 'policies': ['affinity']}}
    member.post('/os-server-groups', body)
    member.post('/os-server-groups', body, code=403)
    Client(app, user='bob', project='demo').post('/os-server-groups', body)
    put(api, server_groups=2)
    Client(app, user='bob', project='demo').post('/os-server-groups', body, code=403)
    # the quota is said before what is wrong with the body
    rules = {'server_group': {'name': 'g', 'policy': 'affinity', 'rules': {'max_server_per_host': 3}}}
    assert 'Quota' in fault(member.post('/os-server-groups', rules, code=403, version='2.64'))[2]
    put(api, user='alice', server_groups=9), put(api, server_groups=9)
    member.post('/os-server-groups', rules, code=400, version='2.64')


def test_keypairs_at_once(api, member):
    put(api, key_pairs=4)
    answers = crowd(20, lambda place: member.call('POST', '/os-keypairs', {
        'keypair': {'name': f'k{place}', 'public_key': KEY}}, version='2.92'))
    assert Counter(answer.status_int for answer in answers) == {201: 4, 403: 16}
    with session.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(key_pairs)).scalar_one() == 4


def test_keypairs_are_bound_by_the_limit_of_who_makes_them(api, member):
    put(api, key_pairs=0)
    bad = {'keypair': {'name': 'k', 'public_key': 'nonsense'}}
    assert fault(member.post('/os-keypairs', bad, code=403, version='2.92')) == (
        'forbidden', 403, 'Quota exceeded, too many key pairs.')
    named = {'keypair': {'name': 'k', 'public_key': KEY, 'user_id': 'alice'}}
    api.post('/os-keypairs', named, code=201, version='2.10')
    put(api, key_pairs=5)
    member.post('/os-keypairs', bad, code=400, version='2.92')


# -- what is not counted -------------------------------------------------------------

def file(text: str, path: str = '/a') -> dict[str, str]:
    return {'path': path, 'contents': base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize('user', [None, 'alice'])
def test_the_tighter_of_project_and_user(world, api, user):
    put(api, user=user, metadata_items=2, injected_files=1, injected_file_content_bytes=8, injected_file_path_bytes=3)
    other = None if user else 'alice'
    put(api, user=other, metadata_items=9, injected_files=9, injected_file_content_bytes=99, injected_file_path_bytes=9)
    three = dict.fromkeys('abc', 'x')
    assert world.refuse(403, metadata=three) == 'Maximum number of metadata items exceeds 2'
    assert world.refuse(403, '2.56', personality=[file('x'), file('y', '/b')]) == 'Personality file limit exceeded.'
    assert '3' in world.refuse(403, '2.56', personality=[file('x', '/abc')])
    assert '8' in world.refuse(403, '2.56', personality=[file('1234567')])      # 12 characters in base64
    server = world.built(metadata=None)
    path = f'/servers/{server}/metadata'
    world.member.post(path, {'metadata': {'a': 'x', 'b': 'x'}})
    world.member.post(path, {'metadata': {'c': 'x'}}, code=403)
    world.member.put(path, {'metadata': three}, code=403)
    world.member.put(f'{path}/c', {'meta': {'c': 'x'}}, code=403)
    put(api, user=user, metadata_items=1)
    world.member.put(f'{path}/a', {'meta': {'a': 'y'}}, code=403)
    world.member.delete(f'{path}/a')
    rebuild = {'rebuild': {'imageRef': world.image, 'metadata': {'a': 'x', 'b': 'y'}}}
    assert 'metadata' in fault(world.member.post(f'/servers/{server}/action', rebuild, code=403))[2]


def test_the_words(world, api):
    put(api, instances=1, cores=1, ram=64)
    world.boot()
    answer = world.member.post('/servers', world.body(min_count=2), code=403, version='2.104')
    assert fault(answer) == ('forbidden', 403, (
        'Quota exceeded for cores, instances, ram: Requested 2, 2, 128, but already used 1, 1, 64 of 1, 1, 64 '
        'cores, instances, ram'))
