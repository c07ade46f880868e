"""Server groups, metadata of all servers of a host, ssh."""
from __future__ import annotations

import json
import os
from typing import Any

import pytest

from minicompute.cli import errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

GROUP = {'id': 'g1', 'name': 'apart', 'project_id': 'p', 'user_id': 'u', 'policy': 'anti-affinity',
         'rules': {'max_server_per_host': 2}, 'members': ['s1']}


def test_a_group_is_made(run: Run, fake: Fake) -> None:
    fake.canned['POST', '/v2.1/os-server-groups'] = (200, {'server_group': GROUP})
    result = run('--json', 'server-group-create', 'apart', 'anti-affinity', '--rule', 'max_server_per_host=2')
    assert result.code == 0, result.err
    assert fake.sent('POST', '/v2.1/os-server-groups')[0].body == {'server_group': {
        'name': 'apart', 'policy': 'anti-affinity', 'rules': {'max_server_per_host': '2'}}}
    assert json.loads(result.out)[0]['Id'] == 'g1'


def test_a_group_of_older_versions_has_policies(run: Run, fake: Fake) -> None:
    old = {name: value for name, value in GROUP.items() if name not in ('policy', 'rules')} | {'policies': ['affinity']}
    fake.canned['POST', '/v2.1/os-server-groups'] = (200, {'server_group': old})
    assert run('--microversion', '2.60', 'server-group-create', 'apart', 'affinity').code == 0
    assert fake.sent('POST', '/v2.1/os-server-groups')[0].body['server_group']['policies'] == ['affinity']
    assert run('--microversion', '2.60', 'server-group-create', 'a', 'affinity', '--rule', 'a=b').code == errors.USAGE


def test_groups_are_listed_shown_and_deleted(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/os-server-groups'] = (200, {'server_groups': [GROUP]})
    fake.canned['GET', '/v2.1/os-server-groups/g1'] = (200, {'server_group': GROUP})
    fake.canned['DELETE', '/v2.1/os-server-groups/g1'] = (204, None)
    assert 'anti-affinity' in run('server-group-list', '--all-projects', '--limit', '3').out
    assert fake.sent('GET', '/v2.1/os-server-groups')[0].query == {'limit': ['3'], 'all_projects': ['True']}
    assert 'max_server_per_host' in run('server-group-get', 'g1').out
    assert 'successfully deleted' in run('server-group-delete', 'g1').out


def test_metadata_of_all_servers_of_a_host(run: Run, fake: Fake) -> None:
    servers = [{'uuid': 'a', 'name': 'a'}, {'uuid': 'b', 'name': 'b'}]
    fake.canned['GET', '/v2.1/os-hypervisors/detail'] = (200, {'hypervisors': [
        {'id': 'h', 'hypervisor_hostname': 'h1', 'servers': servers},
        {'id': 'i', 'hypervisor_hostname': 'h10', 'servers': [{'uuid': 'c', 'name': 'c'}]}]})
    for server in 'abc':
        fake.canned['POST', f'/v2.1/servers/{server}/metadata'] = (200, {'metadata': {'k': 'v'}})
        has = {'k': 'v'} if server == 'a' else {}
        fake.canned['GET', f'/v2.1/servers/{server}/metadata'] = (200, {'metadata': has})
        fake.canned['DELETE', f'/v2.1/servers/{server}/metadata/k'] = (204, None)
    assert run('host-meta', 'h1', 'set', 'k=v', '--strict').code == 0
    assert [one.path for one in fake.sent('POST', '.*/metadata')] == ['/v2.1/servers/a/metadata',
                                                                      '/v2.1/servers/b/metadata']
    assert run('host-meta', 'h1', 'delete', 'k').code == 0
    assert [one.path for one in fake.sent('DELETE', '.*')] == ['/v2.1/servers/a/metadata/k'], 'where there is one'


@pytest.mark.parametrize(('words', 'command'), [
    ([], ['ssh', '-p', '22', '-l', 'root', '--', '192.0.2.9']),
    (['--address-type', 'fixed', '--login', 'x', '-i', 'key', '--port', '2222', '--extra-opts=-v -o "A b"'],
     ['ssh', '-p', '2222', '-i', 'key', '-v', '-o', 'A b', '-l', 'x', '--', '10.0.0.2']),
    (['--ipv6', '--network', 'net'], ['ssh', '-6', '-p', '22', '-l', 'root', '--', '2001:db8::2'])])
def test_ssh(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch, words: list[str], command: list[str]) -> None:
    fake.server('web', addresses={'net': [
        {'addr': '10.0.0.2', 'version': 4, 'OS-EXT-IPS:type': 'fixed'},
        {'addr': '192.0.2.9', 'version': 4, 'OS-EXT-IPS:type': 'floating'},
        {'addr': '2001:db8::2', 'version': 6, 'OS-EXT-IPS:type': 'fixed'}]})
    ran: list[Any] = []
    monkeypatch.setattr(os, 'execvp', lambda _file, arguments: ran.append(arguments))
    assert run('ssh', 'web', *words).code == 0 and ran == [command]


def test_ssh_to_where(run: Run, fake: Fake) -> None:
    fake.server('web')
    for words in ([], ['--network', 'nope']):
        result = run('ssh', 'web', *words)
        assert result.code == errors.FAILED and 'has no' in result.err
