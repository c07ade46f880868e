from __future__ import annotations

import base64
import getpass
import json
import pathlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from minicompute.cli import errors

from .conftest import Run
from .fake import Fake


@pytest.mark.parametrize('verb', ['pause', 'unpause', 'suspend', 'resume', 'unrescue', 'trigger-crash-dump'])
def test_actions(run: Run, fake: Fake, verb: str) -> None:
    server = fake.server('a')
    assert run(verb, 'a').code == 0
    sent = fake.requests[-1]
    assert (sent.path, sent.body) == (f"/v2.1/servers/{server['id']}/action", {verb.replace('-', '_'): None})


def test_poll(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.scripts[server['id']] = [{'OS-EXT-STS:task_state': 'pausing'},
                                  {'OS-EXT-STS:task_state': None, 'status': 'PAUSED'}]
    assert run('pause', '--poll', 'a').code == 0 and not fake.scripts[server['id']]


def test_rescue(run: Run, fake: Fake) -> None:
    server, image = fake.server('a'), fake.image('helper')
    path = f"/v2.1/servers/{server['id']}/action"
    fake.canned[('POST', path)] = (200, {'adminPass': 'Secret1'})
    assert json.loads(run('--json', 'rescue', 'a').out) == {'adminPass': 'Secret1'}
    assert fake.requests[-1].body == {'rescue': None}
    run('rescue', 'a', '--password', 'x', '--image', 'helper')
    assert fake.requests[-1].body == {'rescue': {'rescue_image_ref': image['id'], 'adminPass': 'x'}}
    fake.canned[('POST', path)] = (200, {})
    assert run('rescue', 'a').code == 0     # the service may keep passwords to itself


def test_a_crash_dump_needs_a_version(run: Run, fake: Fake) -> None:
    fake.server('a')
    assert run('--microversion', '2.16', 'trigger-crash-dump', 'a').code == errors.USAGE


def test_set_password(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.server('a')
    typed = ['new', 'other', 'new', 'new']
    monkeypatch.setattr(getpass, 'getpass', lambda prompt: typed.pop(0))
    result = run('set-password', 'a')
    assert result.code == errors.FAILED and 'do not match' in result.err
    assert run('set-password', 'a').code == 0
    assert fake.requests[-1].body == {'changePassword': {'adminPass': 'new'}}


@pytest.mark.parametrize('form', [serialization.PrivateFormat.OpenSSH, serialization.PrivateFormat.PKCS8,
                                  serialization.PrivateFormat.TraditionalOpenSSL])
def test_get_and_clear_password(run: Run, fake: Fake, tmp_path: pathlib.Path,
                                form: serialization.PrivateFormat) -> None:
    server = fake.server('a')
    path = f"/v2.1/servers/{server['id']}/os-server-password"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    sealed = base64.b64encode(key.public_key().encrypt('pass wörd'.encode(), padding.PKCS1v15())).decode()
    fake.canned[('GET', path)] = (200, {'password': sealed})
    file = tmp_path / 'id_rsa'
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    assert run('get-password', 'a').out == f'{sealed}\n'
    assert run('get-password', 'a', str(file)).out == 'pass wörd\n'
    file.write_text('no key')
    result = run('get-password', 'a', str(file))
    assert result.code == errors.FAILED and result.err.count('\n') == 1
    fake.canned[('GET', path)] = (200, {'password': ''})
    assert run('get-password', 'a', str(file)).out == '\n'
    fake.canned[('DELETE', path)] = (204, None)
    assert run('clear-password', 'a').code == 0
    assert fake.requests[-1].method == 'DELETE'


def test_a_poll_ends_when_nothing_came_of_it(run: Run, fake: Fake) -> None:
    """A server that is what it was before: its newest action says why."""
    server = fake.server('a')
    path = f"/v2.1/servers/{server['id']}/os-instance-actions"
    fake.canned[('GET', path)] = (200, {'instanceActions': [
        {'action': 'pause', 'message': 'the host will not'}, {'action': 'create', 'message': None}]})
    result = run('pause', '--poll', 'a')
    assert result.code == errors.SERVER_ERROR
    assert f"a ({server['id']}) is ACTIVE as before: the host will not" in result.err
