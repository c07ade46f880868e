from __future__ import annotations

import base64
import json
import pathlib
import uuid
from typing import Any

import pytest

from minicompute.cli import errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake


@pytest.mark.parametrize('argv, body', [
    (['backup', 'a', 'nightly', 'daily', '3'],
     {'createBackup': {'name': 'nightly', 'backup_type': 'daily', 'rotation': 3}}),
    (['shelve', 'a'], {'shelve': None}), (['shelve-offload', 'a'], {'shelveOffload': None}),
    (['unshelve', 'a'], {'unshelve': None}),
    (['unshelve', '--availability-zone', 'z', 'a'], {'unshelve': {'availability_zone': 'z'}}),
    (['unshelve', '--availability-zone', '', '--host', 'h', 'a'],
     {'unshelve': {'availability_zone': None, 'host': 'h'}})])
def test_actions(run: Run, fake: Fake, argv: list[str], body: dict[str, Any]) -> None:
    server = fake.server('a')
    assert run(*argv).code == 0
    sent = fake.requests[-1]
    assert (sent.path, sent.body) == (f"/v2.1/servers/{server['id']}/action", body)


@pytest.mark.parametrize('argv', [
    ['backup', 'a', 'n', 'daily', '-1'], ['backup', 'a', 'n', 'daily', 'x'],
    ['--microversion', '2.76', 'unshelve', '--availability-zone', 'z', 'a'],
    ['--microversion', '2.90', 'unshelve', '--host', 'h', 'a'],
    ['--microversion', '2.53', 'rebuild', 'a', 'cirros', '--key-unset'],
    ['rebuild', 'a', 'cirros', '--key-name', 'k', '--key-unset'],
    ['rebuild', 'a', 'cirros', '--file', '/a=b']])
def test_what_the_version_or_the_options_forbid(run: Run, fake: Fake, argv: list[str]) -> None:
    fake.server('a'), fake.image('cirros')
    assert run(*argv).code == errors.USAGE
    assert not [sent for sent in fake.requests if sent.method == 'POST']


def rebuilt(fake: Fake, server: dict[str, Any]) -> dict[str, Any]:
    answer = {**server, 'adminPass': 's3cret'}
    fake.canned['POST', f"/v2.1/servers/{server['id']}/action"] = (202, {'server': answer})
    return server


def test_rebuild(run: Run, fake: Fake, tmp_path: pathlib.Path) -> None:
    server, image = rebuilt(fake, fake.server('a')), fake.image('cirros')
    (tmp_path / 'data').write_bytes(b'#!/bin/sh')
    shown = json.loads(run(
        '--json', 'rebuild', 'a', 'cirros', '--rebuild-password', 'p', '--preserve-ephemeral', '--name', 'n',
        '--description', '', '--meta', 'a=b', '--key-name', 'k', '--user-data', 'data', '--hostname', 'h',
        '--trusted-image-certificate-id', 'c').out)
    assert shown['adminPass'] == 's3cret' and shown['id'] == server['id']
    sent, = [one for one in fake.requests if one.method == 'POST']
    assert sent.body == {'rebuild': {
        'imageRef': image['id'], 'adminPass': 'p', 'preserve_ephemeral': True, 'name': 'n', 'description': None,
        'metadata': {'a': 'b'}, 'key_name': 'k', 'user_data': base64.b64encode(b'#!/bin/sh').decode(),
        'hostname': 'h', 'trusted_image_certificates': ['c']}}


def test_rebuild_takes_away(run: Run, fake: Fake) -> None:
    rebuilt(fake, fake.server('a'))
    image = fake.image('cirros')
    assert run('rebuild', 'a', image['id'], '--key-unset', '--user-data-unset',
               '--trusted-image-certificates-unset').code == 0
    sent, = [one for one in fake.requests if one.method == 'POST']
    assert sent.body == {'rebuild': {'imageRef': image['id'], 'key_name': None, 'user_data': None,
                                     'trusted_image_certificates': None}}


def test_rebuild_with_files(run: Run, fake: Fake, tmp_path: pathlib.Path) -> None:
    rebuilt(fake, fake.server('a'))
    image = fake.image('cirros')
    (tmp_path / 'f').write_bytes(b'x')
    assert run('--microversion', '2.56', 'rebuild', 'a', image['id'], '--file', '/etc/f=f', '--minimal').code == 0
    sent, = [one for one in fake.requests if one.method == 'POST']
    assert sent.body['rebuild']['personality'] == [{'path': '/etc/f', 'contents': 'eA=='}]


def test_rebuild_poll(run: Run, fake: Fake) -> None:
    server = rebuilt(fake, fake.server('a', status='SHUTOFF'))
    image = fake.image('cirros')
    fake.scripts[server['id']] = [{'status': 'REBUILD', 'OS-EXT-STS:task_state': 'rebuilding'},
                                  {'status': 'SHUTOFF', 'OS-EXT-STS:task_state': None}]
    path = f"/v2.1/servers/{server['id']}/os-instance-actions"
    fake.canned['GET', path] = (200, {'instanceActions': [{'action': 'rebuild', 'message': None}]})
    result = run('rebuild', '--poll', 'a', image['id'])
    assert result.code == 0 and 's3cret' in result.out


@pytest.mark.parametrize('argv, action, status', [
    (['rebuild', '--poll', 'a', str(uuid.uuid4())], 'rebuild', 'ACTIVE'),
    (['shelve', '--poll', 'a'], 'shelve', 'ACTIVE'),
    (['unshelve', '--poll', 'a'], 'unshelve', 'SHELVED_OFFLOADED')])
def test_poll_tells_why_it_is_what_it_was(run: Run, fake: Fake, argv: list[str], action: str, status: str) -> None:
    server = rebuilt(fake, fake.server('a', status=status))
    path = f"/v2.1/servers/{server['id']}/os-instance-actions"
    fake.canned['GET', path] = (200, {'instanceActions': [{'action': action, 'message': 'the disk is full'}]})
    fake.scripts[server['id']] = [{'OS-EXT-STS:task_state': 'busy'}, {'OS-EXT-STS:task_state': None}]
    result = run(*argv)
    assert result.code == errors.SERVER_ERROR and 'the disk is full' in result.err
