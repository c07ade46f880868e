"""Idempotency-Key: one request, however often it is sent and whoever dies."""
from __future__ import annotations

import datetime
import json
import threading
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from webob import Request

from minicompute.api import idempotency as filters
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import idempotency
from minicompute.db.models import idempotency_keys as keys
from minicompute.db.models import images, instance_actions, instances
from tests.functional.cloud import Cloud


class Killed(BaseException):
    """The daemon is gone: nothing of ours runs any more."""


@pytest.fixture
def body(cloud: Cloud) -> dict[str, Any]:
    return {'server': {'name': 'once', 'imageRef': cloud.image(), 'flavorRef': cloud.flavor(disk=1),
                       'networks': 'none'}}


def post(cloud: Cloud, body: Any, key: str, path: str = '/servers', **more: Any) -> Any:
    return cloud.request('POST', path, body, **{'Idempotency-Key': key, **more})


def servers() -> list[str]:
    with session.read() as conn:
        return list(conn.scalars(sa.select(instances.c.uuid)))


def rows() -> list[Any]:
    with session.read() as conn:
        return list(conn.execute(sa.select(keys)))


def expire(hours: float = 0.0) -> None:
    """The daemon of whatever runs was killed so long ago that its lease is over; `hours` ago it was begun."""
    def write(conn: sa.Connection) -> None:
        past = session.now(conn) - datetime.timedelta(hours=hours, seconds=60)
        conn.execute(keys.update().values(lease_until=past, **({'created_at': past} if hours else {})))
    session.write(write)


def killed_before_the_answer(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, send: Any) -> None:
    """The effect is committed, the answer is not."""
    def kill(*_: Any) -> None:
        raise Killed
    with monkeypatch.context() as patch:
        patch.setattr(filters, '_keep', kill)
        patch.setattr(filters, '_forget', lambda _ticket: None)
        with pytest.raises(Killed):
            send()


def test_the_same_request_is_done_once(cloud: Cloud, body: dict[str, Any]) -> None:
    first, second = post(cloud, body, 'k1'), post(cloud, body, 'k1')
    assert (first.status_int, second.status_int) == (202, 202)
    assert first.json == second.json and first.json['server']['adminPass']
    assert first.headers['Location'] == second.headers['Location']
    assert 'Idempotency-Replayed' not in first.headers and second.headers['Idempotency-Replayed'] == 'true'
    assert first.headers['x-openstack-request-id'] != second.headers['x-openstack-request-id']
    assert servers() == [first.json['server']['id']]
    cloud.wait(servers()[0])


def test_the_order_of_the_bodys_keys_is_no_difference(cloud: Cloud, body: dict[str, Any]) -> None:
    post(cloud, body, 'k1')
    turned = {'server': dict(reversed(body['server'].items()))}
    assert post(cloud, turned, 'k1').headers['Idempotency-Replayed'] == 'true'


@pytest.mark.parametrize('change', ['body', 'path', 'version'])
def test_another_request_with_the_key_is_refused(cloud: Cloud, body: dict[str, Any], change: str) -> None:
    post(cloud, body, 'k1')
    other = {'server': {**body['server'], 'name': 'other'}} if change == 'body' else body
    answer = post(cloud, other, 'k1', '/os-server-groups' if change == 'path' else '/servers',
                  version='2.90' if change == 'version' else '2.104')
    assert answer.status_int == 422 and 'Idempotency-Key' in answer.json['unprocessableEntity']['message']
    assert len(servers()) == 1


def test_keys_are_each_users_own(cloud: Cloud, body: dict[str, Any]) -> None:
    for user, project in (('alice', 'a'), ('bob', 'a'), ('alice', 'b')):
        assert post(cloud, body, 'k1', user=user, project=project).status_int == 202
    assert len(servers()) == 3


@pytest.mark.parametrize('key', ['', 'x' * 256, 'caf\xe9', 'a\x07b'])
def test_a_key_that_is_none(cloud: Cloud, body: dict[str, Any], key: str) -> None:
    answer = post(cloud, body, key)
    assert answer.status_int == 400 and 'Idempotency-Key' in answer.json['badRequest']['message']


def test_a_refusal_is_an_answer_too(cloud: Cloud, body: dict[str, Any]) -> None:
    body['server']['flavorRef'] = str(uuid.uuid4())
    first = post(cloud, body, 'k1')
    assert first.status_int == 400
    again = post(cloud, body, 'k1')
    assert (again.status_int, again.json) == (400, first.json) and again.headers['Idempotency-Replayed'] == 'true'


def test_without_a_key_nothing_is_written(cloud: Cloud, body: dict[str, Any]) -> None:
    cloud.api('POST', '/servers', body)
    cloud.api('POST', '/servers', body)
    assert rows() == [] and len(servers()) == 2


def test_what_still_runs_is_not_run_again(cloud: Cloud, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = threading.Event(), threading.Event()
    call = filters._call

    def slow(*args: Any) -> Any:
        entered.set()
        assert go_on.wait(60)
        return call(*args)
    monkeypatch.setattr(filters, '_call', slow)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(post(cloud, body, 'k1')))
    thread.start()
    assert entered.wait(60)
    meanwhile = post(cloud, body, 'k1')
    assert meanwhile.status_int == 409 and meanwhile.headers['Retry-After'] == '1'
    go_on.set()
    thread.join(60)
    assert answers[0].status_int == 202 and len(servers()) == 1


def test_many_at_once_make_one_server(cloud: Cloud, body: dict[str, Any]) -> None:
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(post(cloud, body, 'k1'))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {answer.status_int for answer in answers} <= {202, 409} and len(answers) == 40
    accepted = {answer.json['server']['id'] for answer in answers if answer.status_int == 202}
    assert accepted == set(servers()) and len(accepted) == 1


def test_killed_before_the_commit(cloud: Cloud, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: Any) -> None:
        raise Killed
    with monkeypatch.context() as patch:
        patch.setattr(filters, '_call', kill)
        patch.setattr(filters, '_forget', lambda _ticket: None)
        with pytest.raises(Killed):
            post(cloud, body, 'k1')
    assert servers() == [] and post(cloud, body, 'k1').status_int == 409, 'its lease is not over'
    expire()
    answer = post(cloud, body, 'k1')
    assert answer.status_int == 202 and servers() == [answer.json['server']['id']]


def test_killed_between_the_commit_and_the_answer(cloud: Cloud, body: dict[str, Any],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    body['server']['min_count'] = 2
    killed_before_the_answer(cloud, monkeypatch, lambda: post(cloud, body, 'k1'))
    made = servers()
    assert len(made) == 2
    expire()
    first, again = post(cloud, body, 'k1'), post(cloud, body, 'k1')
    assert first.status_int == again.status_int == 202 and first.json == again.json
    assert first.json['server']['id'] in made and servers() == made
    for server in made:
        cloud.wait(server)


def test_the_password_is_the_one_that_the_guest_got(cloud: Cloud, body: dict[str, Any],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    from minicompute.compute.api import create
    data = create._data
    monkeypatch.setattr(create, '_data', lambda request, found: given.append(request.admin_password) or data(
        request, found))
    killed_before_the_answer(cloud, monkeypatch, lambda: post(cloud, body, 'k1'))
    expire()
    assert post(cloud, body, 'k1').json['server']['adminPass'] == given[0] and len(given) == 1


def test_an_action_that_was_done_is_not_done_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server = cloud.boot()['id']
    cloud.wait(server)
    path = f'/servers/{server}/action'
    killed_before_the_answer(cloud, monkeypatch, lambda: post(cloud, {'os-stop': None}, 'k1', path))
    cloud.wait(server, 'SHUTOFF')
    expire()
    answer = post(cloud, {'os-stop': None}, 'k1', path)
    assert (answer.status_int, answer.body) == (202, b'')
    with session.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).where(instance_actions.c.action == 'stop')).scalar() == 1


def test_an_answer_whose_schema_is_null_is_told_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server = cloud.boot()['id']
    cloud.wait(server)
    path = f'/servers/{server}/action'
    killed_before_the_answer(cloud, monkeypatch, lambda: post(cloud, {'pause': None}, 'k1', path))
    (row,) = rows()
    assert row.lease_until - row.created_at > datetime.timedelta(seconds=30), 'as long as it may wait for the host'
    cloud.wait(server, 'PAUSED')
    expire()
    answers = [post(cloud, {'pause': None}, 'k1', path) for _ in range(2)]
    assert [(answer.status_int, answer.body) for answer in answers] == [(202, b'')] * 2


def test_an_event_does_not_hide_that_it_was_done(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server = cloud.boot()['id']
    cloud.wait(server)
    path, body = '/os-server-external-events', {'events': [{'name': 'network-changed', 'server_uuid': server}]}
    killed_before_the_answer(cloud, monkeypatch, lambda: post(cloud, body, 'k1', path))
    assert rows()[0].effect == {}
    expire()
    answer = post(cloud, body, 'k1', path)
    assert answer.status_int == 409 and 'was carried out' in answer.json['conflictingRequest']['message']


def test_what_cannot_be_told_again_is_not_done_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    group = {'server_group': {'name': 'g', 'policy': 'affinity'}}
    killed_before_the_answer(cloud, monkeypatch, lambda: post(cloud, group, 'k1', '/os-server-groups'))
    expire()
    answer = post(cloud, group, 'k1', '/os-server-groups')
    assert answer.status_int == 409 and 'was carried out' in answer.json['conflictingRequest']['message']
    assert len(cloud.api('GET', '/os-server-groups')['server_groups']) == 1


def test_who_was_taken_over_cannot_write(cloud: Cloud, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was stopped for longer than its lease goes on after another one has been let in."""
    call, answers = filters._call, []

    def late(*args: Any) -> Any:
        monkeypatch.setattr(filters, '_call', call)
        other = threading.Thread(target=lambda: (expire(), answers.append(post(cloud, body, 'k1'))))
        other.start()
        other.join(60)
        return call(*args)
    monkeypatch.setattr(filters, '_call', late)
    first = post(cloud, body, 'k1')
    assert answers[0].status_int == 202 and first.status_int == 409
    assert servers() == [answers[0].json['server']['id']]
    assert post(cloud, body, 'k1').json == answers[0].json


def test_a_failure_of_ours_may_be_tried_again(cloud: Cloud, body: dict[str, Any],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    from minicompute.compute.api import lookup

    def fail(*_: Any) -> None:
        raise RuntimeError
    with monkeypatch.context() as patch:
        patch.setattr(lookup, 'for_creates', fail)
        assert post(cloud, body, 'k1').status_int == 500
    assert post(cloud, body, 'k1').status_int == 202


def test_a_failure_whose_writes_were_rolled_back_may_be_tried_again(cloud: Cloud) -> None:
    server = cloud.boot()['id']
    host, path = cloud.wait(server)['OS-EXT-SRV-ATTR:host'], f'/servers/{server}/action'
    (service,) = cloud.api('GET', f'/os-services?binary=nova-compute&host={host}')['services']
    cloud.api('PUT', f'/os-services/{service["id"]}', {'forced_down': True})
    assert post(cloud, {'pause': None}, 'k1', path).status_int == 503 and rows() == []
    cloud.api('PUT', f'/os-services/{service["id"]}', {'forced_down': False})
    assert post(cloud, {'pause': None}, 'k1', path).status_int == 202
    cloud.wait(server, 'PAUSED')


def test_a_failure_after_a_write_is_the_answer(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    from minicompute.compute.api import ring
    server = cloud.boot()['id']
    cloud.wait(server)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError
    with monkeypatch.context() as patch:
        patch.setattr(ring, 'compute', fail)
        assert post(cloud, {'pause': None}, 'k1', f'/servers/{server}/action').status_int == 500
    again = post(cloud, {'pause': None}, 'k1', f'/servers/{server}/action')
    assert (again.status_int, again.headers['Idempotency-Replayed']) == (500, 'true')
    cloud.wait(server, 'PAUSED')


def test_a_large_answer_is_kept_only_for_what_was_written(cloud: Cloud, body: dict[str, Any],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, 'LARGE', 10)
    first = post(cloud, body, 'k1')
    assert post(cloud, body, 'k1').json == first.json and len(rows()) == 1
    body['server']['flavorRef'] = str(uuid.uuid4())
    assert post(cloud, body, 'k2').status_int == post(cloud, body, 'k2').status_int == 400 and len(rows()) == 1


def test_what_is_old_is_forgotten(cloud: Cloud, body: dict[str, Any]) -> None:
    post(cloud, body, 'k1')
    expire(hours=25)
    assert 'Idempotency-Replayed' not in post(cloud, body, 'k1').headers and len(servers()) == 2
    expire(hours=25)
    assert session.write(idempotency.purge) == 1 and rows() == []


def test_a_project_has_so_many_keys(cloud: Cloud, body: dict[str, Any]) -> None:
    """None goes before its time; a request with one more is not carried out, and says so."""
    CONF.set_override('max_idempotency_keys', 2, 'api')
    first = post(cloud, body, 'k1')
    assert [first.status_int, post(cloud, body, 'k2').status_int] == [202, 202]
    refused = post(cloud, body, 'k3')
    assert refused.status_int == 429 and '2 keys' in refused.text and len(servers()) == 2
    assert post(cloud, body, 'k1').json == first.json
    assert post(cloud, body, 'k3', user='bob', project='other').status_int == 202
    expire(hours=25)
    assert post(cloud, body, 'k1').status_int == 202
    session.write(idempotency.purge)
    assert post(cloud, body, 'k3').status_int == 202


def test_the_records_hold_no_secret(cloud: Cloud, body: dict[str, Any]) -> None:
    key = str(uuid.uuid4())
    password = post(cloud, body, key).json['server']['adminPass']
    (row,) = rows()
    assert not any(secret in str(tuple(row)) for secret in (key, password))


def test_a_forced_delete_is_told_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server = cloud.boot()['id']
    cloud.wait(server)
    path, body = f'/servers/{server}/action', {'forceDelete': None}
    killed_before_the_answer(cloud, monkeypatch, lambda: post(cloud, body, 'k1', path))
    cloud.wait_gone(server)
    expire()
    answer = post(cloud, body, 'k1', path)
    assert answer.status_int == post(cloud, body, 'k1', path).status_int == 202


def test_an_image_is_made_once(cloud: Cloud) -> None:
    """The local backends' APIs keep to it, too."""
    body = json.dumps({'name': 'one', 'disk_format': 'raw', 'container_format': 'bare'}).encode()
    answers = []
    for _ in range(2):
        request = Request.blank('/image/v2/images', method='POST')
        request.headers.update({'X-Auth-Token': 'admin:demo', 'Idempotency-Key': 'k1'})
        request.body, request.content_type = body, 'application/json'
        answers.append(request.get_response(cloud.app))
    assert [answer.status_int for answer in answers] == [201, 201] and answers[0].json == answers[1].json
    with session.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(images).where(images.c.name == 'one')).scalar() == 1
