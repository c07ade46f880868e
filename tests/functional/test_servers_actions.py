"""Deletes, power actions, console, metadata, tags, groups: rows, bells and refusals."""
from __future__ import annotations

import uuid

import oslo_messaging as messaging
import pytest

from minicompute.compute.api import ring
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.db.models import instance_actions
from tests.functional.api.client import Client, fault
from tests.functional.servers_fixtures import *  # noqa: F403
from tests.functional.servers_fixtures import actions_of, compute_service, instance, make_image, place

GONE = '2020-01-01'


@pytest.fixture
def server(world, rung):
    """An ACTIVE server on c1, whose compute is up."""
    compute_service()
    identity = world.built()
    rung.clear()
    return identity


def act(client, identity, action, value=None, code=202, **kwargs):
    return client.post(f'/servers/{identity}/action', {action: value}, code=code, **kwargs)


def last_action(identity):
    return actions_of(identity)[-1]


# -- power -----------------------------------------------------------------------------

@pytest.mark.parametrize('action, value, before, name, verb, task, args', [
    ('os-stop', None, 'active', 'stop', 'power_off', 'powering-off', {'timeout': 60}),
    ('os-stop', {}, 'error', 'stop', 'power_off', 'powering-off', {'timeout': 60}),
    ('os-start', None, 'stopped', 'start', 'power_on', 'powering-on', {}),
    ('reboot', {'type': 'SOFT'}, 'active', 'reboot', 'reboot', 'rebooting', {'hard': False}),
    ('reboot', {'type': 'hard'}, 'stopped', 'reboot', 'reboot', 'rebooting_hard', {'hard': True})])
def test_power(server, member, rung, action, value, before, name, verb, task, args):
    place(server, vm_state=before)
    act(member, server, action, value)
    row = last_action(server)
    assert (row.action, row.flow, row.step, row.busy, row.state) == (name, name, verb, server, 'running')
    assert instance(server).task_state == task
    (topic, method, request, host), = rung
    assert (topic, method, host) == ('compute', 'run_steps', 'c1')
    assert (request.action_id, request.verb, request.args, request.instance.uuid) == (row.id, verb, args, server)
    assert request.fence == row.id << 20


@pytest.mark.parametrize('action, value, changes, name, why', [
    ('os-start', None, {}, 'start', 'vm_state active'),
    ('os-stop', None, {'vm_state': 'stopped'}, 'stop', 'vm_state stopped'),
    ('os-stop', None, {'task_state': 'rebooting'}, 'stop', 'task_state rebooting'),
    ('reboot', {'type': 'SOFT'}, {'vm_state': 'stopped'}, 'reboot', 'vm_state stopped'),
    ('reboot', {'type': 'HARD'}, {'vm_state': 'building'}, 'reboot', 'vm_state building')])
def test_states_that_forbid_it(server, member, rung, action, value, changes, name, why):
    place(server, **changes)
    answer = act(member, server, action, value, code=409)
    assert fault(answer)[2] == f"Cannot '{name}' instance {server} while it is in {why}"
    assert len(actions_of(server)) == 1 and rung == []


def test_two_at_a_time(server, member):
    act(member, server, 'os-stop')
    assert 'task_state powering-off' in fault(act(member, server, 'os-stop', code=409))[2]
    session.write(instances.update, server, {'task_state': None})     # as a reset of the state leaves it
    assert 'another operation is under way' in fault(act(member, server, 'os-stop', code=409))[2]


def test_a_server_without_a_host(world, member):
    identity = place(world.boot(), host=None)
    assert fault(act(member, identity, 'os-stop', code=409))[2] == f'Instance {identity} is not ready'
    assert 'not ready' in fault(act(member, identity, 'os-getConsoleOutput', {}, code=409))[2]


def test_a_host_that_is_down(server, member, rung):
    place(server, host='c9')
    assert fault(act(member, server, 'os-stop', code=503))[2] == 'Service is unavailable at this time.'
    assert instance(server).task_state is None and rung == []


def test_a_locked_server(server, member, api):
    place(server, locked=True)
    assert fault(act(member, server, 'os-stop', code=409))[2] == f'Instance {server} is locked'
    member.delete(f'/servers/{server}', code=409)
    member.put(f'/servers/{server}/metadata', {'metadata': {}}, code=409)
    act(api, server, 'os-stop')


def test_bad_actions(server, member, reader):
    act(member, server, 'reboot', {'type': 'warm'}, code=400)
    act(member, server, 'reboot', None, code=400)
    act(member, server, 'dance', code=400)
    act(reader, server, 'os-stop', code=403)
    act(member, str(uuid.uuid4()), 'os-stop', code=404)


def test_the_image_knows_how_long_a_shutdown_takes(world, member, rung):
    compute_service()
    identity = place(world.boot(imageRef=make_image(properties={'os_shutdown_timeout': '7'})))
    rung.clear()
    act(member, identity, 'os-stop')
    assert rung[0][2].args == {'timeout': 7}


# -- delete ------------------------------------------------------------------------------

def test_delete_at_once(server, member, rung):
    member.delete(f'/servers/{server}')
    row = last_action(server)
    assert (row.action, row.flow, row.step, row.busy, row.state) == ('delete', 'delete', 'destroy', server, 'running')
    assert instance(server).task_state == 'deleting'
    (topic, _, request, host), = rung
    assert (topic, host, request.verb) == ('compute', 'c1', 'destroy')


@pytest.mark.parametrize('host', [None, 'c9'])
def test_delete_where_no_compute_can_be_rung(server, member, rung, host):
    place(server, host=host, vm_state='error')
    member.delete(f'/servers/{server}')
    assert rung == [('conductor', 'ring', last_action(server).id, None)]


def test_delete_behind_what_runs(server, member, rung):
    act(member, server, 'os-stop')
    stop = last_action(server)
    rung.clear()
    member.delete(f'/servers/{server}')
    delete = last_action(server)
    assert (delete.state, delete.after, delete.busy) == ('queued', stop.id, actions.queued_key(server))
    assert actions_of(server)[-2].cancel is True and instance(server).task_state == 'deleting'
    assert rung == [('conductor', 'cancel', stop.id, None)]
    member.delete(f'/servers/{server}')     # it waits already
    assert len(actions_of(server)) == 3


def test_delete_twice(server, member, rung):
    member.delete(f'/servers/{server}')
    member.delete(f'/servers/{server}')
    act(member, server, 'forceDelete')
    assert len(actions_of(server)) == 2 and len(rung) == 1
    session.write(instances.destroy, [server])
    member.delete(f'/servers/{server}', code=404)


def test_delete_cancels_a_server_of_a_request_that_waits(world, member, rung):
    world.boot(min_count=2)
    follower = actions_of()[1]
    rung.clear()
    member.delete(f'/servers/{follower.instance_uuid}')
    row = last_action(follower.instance_uuid)
    assert (row.after, row.state) == (follower.id, 'queued') and rung[0][:3] == ('conductor', 'cancel', follower.id)


def test_delete_when_the_holder_has_just_ended(server, member, rung):
    """The lock is gone between our look and our lock: then the delete runs at once."""
    act(member, server, 'os-stop')
    session.write(lambda conn: conn.execute(instance_actions.update().where(
        instance_actions.c.action == 'stop').values(state='done', busy=None)))
    member.delete(f'/servers/{server}')
    assert last_action(server).state == 'running'


# -- console -----------------------------------------------------------------------------

def test_console(server, member, monkeypatch):
    asked = []

    def answer(context, instance, length):
        asked.append(length)
        return 'login:\x1b[0m\x00 \u20ac\r\n'
    monkeypatch.setattr(ring, 'console', answer)
    assert act(member, server, 'os-getConsoleOutput', {'length': '5'}, code=200) == {'output': 'login:[0m \u20ac\n'}
    for length in (None, -1, 10):
        act(member, server, 'os-getConsoleOutput', {'length': length}, code=200)
    act(member, server, 'os-getConsoleOutput', {}, code=200)
    assert asked == [5, None, None, 10, None]
    act(member, server, 'os-getConsoleOutput', {'length': 'x'}, code=400)


@pytest.mark.parametrize('error, code', [
    (messaging.MessagingTimeout(), 503), (messaging.RemoteError('DomainNotFound', 'x'), 404),
    (messaging.RemoteError('NotImplementedHere', 'x'), 501)])
def test_a_console_that_does_not_answer(server, member, monkeypatch, error, code):
    def answer(*_):
        raise error
    monkeypatch.setattr(ring, 'console', answer)
    act(member, server, 'os-getConsoleOutput', {}, code=code)


# -- metadata, tags, addresses --------------------------------------------------------------

def test_metadata(server, member, reader, override):
    path = f'/servers/{server}/metadata'
    assert member.post(path, {'metadata': {'a': '1', 'b': '2'}}) == {'metadata': {'a': '1', 'b': '2'}}
    assert member.put(f'{path}/c', {'meta': {'c': '3'}}) == {'meta': {'c': '3'}}
    assert reader.get(f'{path}/c') == {'meta': {'c': '3'}}
    member.delete(f'{path}/a')
    assert reader.get(path) == {'metadata': {'b': '2', 'c': '3'}}
    assert member.put(path, {'metadata': {'z': ''}}) == {'metadata': {'z': ''}}
    assert fault(member.get(f'{path}/a', code=404))[2] == 'Metadata item was not found'
    member.delete(f'{path}/a', code=404)
    assert fault(member.put(f'{path}/a', {'meta': {'b': '1'}}, code=400))[2] == 'Request body and URI mismatch'
    member.put(f'{path}/a', {'meta': {'a': '1', 'b': '1'}}, code=400)
    member.post(path, {'metadata': {'a': 'x' * 256}}, code=400)
    reader.post(path, {'metadata': {}}, code=403)
    override('quota', metadata_items=1)
    assert 'exceeds 1' in fault(member.post(path, {'metadata': {'y': ''}}, code=403))[2]
    member.put(path, {'metadata': {'y': ''}})
    place(server, vm_state='error')
    assert 'vm_state error' in fault(member.put(path, {'metadata': {}}, code=409))[2]


def test_tags(server, member, reader):
    path = f'/servers/{server}/tags'
    member.get(path, code=404, version='2.25')
    assert member.put(path, {'tags': ['b', 'a']}, version='2.26') == {'tags': ['a', 'b']}
    answer = member.call('PUT', f'{path}/c', version='2.26')
    assert answer.status_int == 201 and answer.headers['Location'].endswith(f'{path}/c')
    member.put(f'{path}/c', None, code=204, version='2.26')
    assert reader.get(path, version='2.26') == {'tags': ['a', 'b', 'c']}
    reader.get(f'{path}/a', code=204, version='2.26')
    assert fault(reader.get(f'{path}/x', code=404, version='2.26'))[2] == f"Server {server} has no tag 'x'"
    member.delete(f'{path}/a', version='2.26')
    member.delete(f'{path}/a', code=404, version='2.26')
    member.put(f'{path}/{"x" * 61}', None, code=400, version='2.26')
    member.put(path, {'tags': [str(n) for n in range(50)]}, version='2.26')
    assert 'per-server limit 50' in fault(member.put(f'{path}/50', None, code=400, version='2.26'))[2]
    member.delete(path, version='2.26')
    assert reader.get(path, version='2.26') == {'tags': []}
    place(server, task_state='rebooting')
    member.put(f'{path}/x', None, code=201, version='2.26')
    place(server, vm_state='error')
    member.put(f'{path}/y', None, code=409, version='2.26')


def test_addresses(server, member):
    place(server, address='10.0.0.9')
    found = [{'version': 4, 'addr': '10.0.0.9'}]
    assert member.get(f'/servers/{server}/ips') == {'addresses': {'private': found}}
    assert member.get(f'/servers/{server}/ips/private') == {'private': found}
    assert 'not a member' in fault(member.get(f'/servers/{server}/ips/x', code=404))[2]


# -- server groups ---------------------------------------------------------------------------

def group_body(version, policy='anti-affinity', **more):
    kind = {'policy': policy} if int(version[2:]) >= 64 else {'policies': [policy]}
    return {'server_group': {'name': 'g', **kind, **more}}


@pytest.mark.parametrize('version', ['2.1', '2.13', '2.15', '2.64', '2.104'])
def test_server_groups(member, reader, app, api, version):
    made = member.post('/os-server-groups', group_body(version), version=version)['server_group']
    assert ('project_id' in made) == (version != '2.1') and ('policy' in made) == (int(version[2:]) >= 64)
    path = f'/os-server-groups/{made["id"]}'
    assert reader.get(path, version=version)['server_group'] == made
    assert reader.get('/os-server-groups', version=version)['server_groups'] == [made]
    assert reader.get('/os-server-groups?offset=1', version=version)['server_groups'] == []
    other = Client(app, user='eve', project='other')
    other.get(path, code=404)
    other.delete(path, code=404)
    assert api.get('/os-server-groups')['server_groups'] == []
    assert len(api.get('/os-server-groups?all_projects=1')['server_groups']) == 1
    reader.delete(path, code=403)
    member.delete(path)
    member.get(path, code=404)


def test_server_groups_that_cannot_be(member, override):
    for version, body in (('2.14', group_body('2.14', 'soft-affinity')), ('2.1', group_body('2.1', 'x')),
                          ('2.64', group_body('2.1')), ('2.64', group_body('2.64', rules={'x': 1})),
                          ('2.64', group_body('2.64', 'affinity', rules={'max_server_per_host': 2}))):
        member.post('/os-server-groups', body, code=400, version=version)
    made = member.post('/os-server-groups', group_body('2.64', rules={'max_server_per_host': '2'}), version='2.64')
    assert made['server_group']['rules'] == {'max_server_per_host': 2}
    override('quota', server_groups=1)
    member.post('/os-server-groups', group_body('2.1'), code=403)


def test_members_of_a_group(world, member, override):
    made = member.post('/os-server-groups', group_body('2.1'))['server_group']
    body = {**world.body(min_count=2), 'os:scheduler_hints': {'group': made['id']}}
    member.post('/servers', body, code=202, version='2.104')
    first, second = (row.instance_uuid for row in actions_of())
    shown = member.get(f'/os-server-groups/{made["id"]}')['server_group']
    assert sorted(shown['members']) == sorted((first, second))
    session.write(instances.destroy, [first])
    assert member.get(f'/os-server-groups/{made["id"]}')['server_group']['members'] == [second]
    override('quota', server_group_members=2)
    answer = member.post('/servers', body, code=403, version='2.104')
    assert 'too many servers in group' in fault(answer)[2]
