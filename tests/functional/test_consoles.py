"""URLs of consoles: who gets one, what it leads to, and what ends it."""
from __future__ import annotations

import datetime
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from minicompute import exception
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import console_tokens
from minicompute.db.models import console_auth_tokens, instances
from minicompute.objects import ConsoleToken


@pytest.fixture
def server(cloud):
    uuid = cloud.boot('vm')['id']
    cloud.wait(uuid)
    return uuid


@pytest.fixture
def serial(conf):
    conf.set_override('enabled', True, 'serial_console')


def remote(cloud, uuid, protocol, kind, **more):
    return cloud.request('POST', f'/servers/{uuid}/remote-consoles',
                         {'remote_console': {'protocol': protocol, 'type': kind}}, **more)


def token_of(url: str) -> str:
    query = parse_qs(urlsplit(url).query)
    return query['token'][0] if 'token' in query else parse_qs(query['path'][0].lstrip('?'))['token'][0]


def url_of(cloud, uuid, protocol='vnc', kind='novnc'):
    answer = remote(cloud, uuid, protocol, kind)
    assert answer.status_int == 200, answer.text
    return answer.json['remote_console']['url']


def place(cloud, token, expect=200, version='2.104', **more):
    answer = cloud.request('GET', f'/os-console-auth-tokens/{token}', version=version, **more)
    assert answer.status_int == expect, answer.text
    return answer.json['console'] if expect == 200 else None


def test_a_url_leads_to_where_the_console_is(cloud, server):
    url = url_of(cloud, server)
    assert url.startswith('http://127.0.0.1:6080/vnc_auto.html?path=%3Ftoken%3D')
    found = place(cloud, token_of(url))
    assert (found['instance_uuid'], found['host'], found['internal_access_path']) == (server, CONF.my_ip, None)
    assert found['port'] > 0 and 'tls_port' not in found
    assert place(cloud, token_of(url)) == found, 'a look does not use it up'


def test_of_the_token_only_a_hash_is_kept(cloud, server):
    token = token_of(url_of(cloud, server))
    with session.read() as conn:
        row = conn.execute(sa.select(console_auth_tokens)).one()
    assert token not in map(str, row) and len(row.token_hash) == 64


def test_each_kind_at_its_page(cloud, server, serial, conf):
    conf.set_override('enabled', True, 'spice')
    assert url_of(cloud, server, 'serial', 'serial').startswith('ws://127.0.0.1:6083/?token=')
    assert url_of(cloud, server, 'spice', 'spice-html5').startswith('http://127.0.0.1:6082/spice_auto.html?token=')
    direct = url_of(cloud, server, 'spice', 'spice-direct')
    assert direct.startswith('http://127.0.0.1:13002/nova?token=')
    assert place(cloud, token_of(direct))['tls_port'] > 0
    assert 'tls_port' not in place(cloud, token_of(direct), version='2.98')
    assert remote(cloud, server, 'spice', 'spice-direct', version='2.98').status_int == 400


ABSENT = [
    ('rdp', 'rdp-html5', '2.6', 'Unavailable console type rdp.'),
    ('mks', 'webmks', '2.8', 'Unavailable console type webmks.'),
    ('mks', 'webmks', '2.7', 'protocol'),
    ('serial', 'serial', '2.6', 'Unavailable console type serial.'),
    ('spice', 'spice-html5', '2.104', 'Unavailable console type spice-html5.'),
    ('vnc', 'xvpvnc', '2.6', 'Invalid console type xvpvnc'),
    ('vnc', 'serial', '2.104', 'Invalid console type serial'),
]


def test_what_is_not_there_is_400(cloud, server):
    for protocol, kind, version, words in ABSENT:
        answer = remote(cloud, server, protocol, kind, version=version)
        assert answer.status_int == 400 and words in answer.text, (protocol, kind, version)
    for body in ({}, {'protocol': 'vnc'}, {'type': 'novnc'}, {'protocol': 'vnc', 'type': None},
                 {'protocol': 'vnc', 'type': 'novnc', 'more': 1}):
        answer = cloud.request('POST', f'/servers/{server}/remote-consoles', {'remote_console': body})
        assert answer.status_int == 400, body


def test_the_older_actions_up_to_2_5(cloud, server, serial):
    for action, kind, start in (('os-getVNCConsole', 'novnc', 'http://'), ('os-getSerialConsole', 'serial', 'ws://')):
        body = {action: {'type': kind}}
        console = cloud.api('POST', f'/servers/{server}/action', body, version='2.5')['console']
        assert console['type'] == kind and console['url'].startswith(start)
        assert cloud.request('POST', f'/servers/{server}/action', body, version='2.6').status_int == 404
    for action, kind in (('os-getSPICEConsole', 'spice-html5'), ('os-getVNCConsole', 'xvpvnc')):
        answer = cloud.request('POST', f'/servers/{server}/action', {action: {'type': kind}}, version='2.1')
        assert answer.status_int == 400, answer.text
    assert remote(cloud, server, 'vnc', 'novnc', version='2.5').status_int == 404


def test_who_may(cloud, server):
    as_reader = {'X-Roles': 'reader'}
    assert remote(cloud, server, 'vnc', 'novnc', user='bob', project='demo', **as_reader).status_int == 403
    assert remote(cloud, server, 'vnc', 'novnc', user='eve', project='other').status_int == 404
    token = token_of(url_of(cloud, server))
    place(cloud, token, 403, user='alice')
    place(cloud, token, 400, version='2.30')
    place(cloud, token, 200, version='2.31')
    place(cloud, 'nonsense', 404)


def test_a_server_that_does_not_run_has_none(cloud, server):
    cloud.api('POST', f'/servers/{server}/action', {'os-stop': None})
    cloud.wait(server, 'SHUTOFF')
    answer = remote(cloud, server, 'vnc', 'novnc')
    assert answer.status_int == 409 and server in answer.text


def test_a_host_that_is_silent_is_503(cloud, server, monkeypatch):
    from minicompute.compute import rpcapi

    def silent(*_args, **_kwargs):
        import oslo_messaging
        raise oslo_messaging.MessagingTimeout
    monkeypatch.setattr(rpcapi.ComputeAPI, 'console', silent)
    assert remote(cloud, server, 'vnc', 'novnc').status_int == 503


def stop_and_start(cloud, uuid):
    cloud.api('POST', f'/servers/{uuid}/action', {'os-stop': None})
    cloud.wait(uuid, 'SHUTOFF')
    cloud.api('POST', f'/servers/{uuid}/action', {'os-start': None})
    cloud.wait(uuid)


def move(cloud, uuid):
    cloud.api('POST', f'/servers/{uuid}/action', {'os-migrateLive': {'host': None, 'block_migration': 'auto'}})
    cloud.wait(uuid)


def delete(cloud, uuid):
    cloud.api('DELETE', f'/servers/{uuid}')
    cloud.wait_gone(uuid)


@pytest.mark.parametrize('happens', [stop_and_start, move, delete])
def test_a_token_ends_with_what_happens_to_its_server(cloud, server, happens):
    token = token_of(url_of(cloud, server))
    happens(cloud, server)
    place(cloud, token, 404)
    with pytest.raises(exception.ConsoleTokenInvalid):
        session.write(console_tokens.use, token, 'novnc')


def test_what_leaves_the_guest_alone_leaves_the_token(cloud, server):
    token = token_of(url_of(cloud, server))
    for action, status in (('pause', 'PAUSED'), ('unpause', 'ACTIVE')):
        cloud.api('POST', f'/servers/{server}/action', {action: None})
        cloud.wait(server, status)
    place(cloud, token)


def kept(conn, secret, **changes) -> ConsoleToken:
    conn.execute(instances.insert().values(uuid='u', project_id='p', user_id='u', vm_state='active', host='h'))
    token = ConsoleToken(token_hash=console_tokens.digest(secret), console_type='novnc', instance_uuid='u',
                         compute_host='h', host='127.0.0.1', port=5900, access_url_base='http://x/', **changes)
    return console_tokens.create(conn, token, 600)


def test_an_expired_token_is_none_and_goes(database):
    session.write(kept, 'old')
    past = datetime.datetime(2020, 1, 1)
    with session.engine().begin() as conn:
        conn.execute(console_auth_tokens.update().values(expires_at=past))
    with pytest.raises(exception.ConsoleTokenInvalid), session.read() as conn:
        console_tokens.find(conn, 'old')
    session.write(console_tokens.create, ConsoleToken(
        token_hash='0' * 64, console_type='novnc', instance_uuid='u', compute_host='h', host='h', port=1,
        access_url_base=''), 600)
    with session.read() as conn:
        assert conn.execute(sa.select(console_auth_tokens.c.token_hash)).scalars().all() == ['0' * 64]


def test_of_many_that_use_a_token_one_gets_in(database):
    session.write(kept, 'secret')
    won, lost = [], []

    def use() -> None:
        try:
            won.append(session.write(console_tokens.use, 'secret', 'novnc'))
        except exception.ConsoleTokenInvalid:
            lost.append(1)
    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7) and won[0].port == 5900


def test_a_token_of_another_kind_opens_nothing_and_stays(database):
    session.write(kept, 'secret')
    with pytest.raises(exception.ConsoleTokenInvalid):
        session.write(console_tokens.use, 'secret', 'serial')
    assert session.write(console_tokens.use, 'secret', 'novnc').instance_uuid == 'u'
