from __future__ import annotations

import json

import pytest

from minicompute.cli import errors

from .conftest import Run
from .fake import Fake

FAST = {'id': 7, 'uuid': '0b4a6f3e-0000-4000-8000-000000000007', 'name': 'fast', 'availability_zone': 'north',
        'hosts': ['c1'], 'metadata': {'availability_zone': 'north'}}


@pytest.fixture
def aggregates(fake: Fake) -> Fake:
    fake.canned['GET', '/v2.1/os-aggregates'] = (200, {'aggregates': [FAST, {**FAST, 'id': 8, 'name': '7'}]})
    for method, path in (('GET', ''), ('PUT', ''), ('POST', '/action')):
        fake.canned[method, f'/v2.1/os-aggregates/7{path}'] = (200, {'aggregate': FAST})
    fake.canned['POST', '/v2.1/os-aggregates/7/images'] = (202, None)
    fake.canned['POST', '/v2.1/os-aggregates'] = (200, {'aggregate': FAST})
    fake.canned['DELETE', '/v2.1/os-aggregates/7'] = (200, None)
    return fake


def test_lock_and_unlock(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    assert run('lock', 'a').code == 0
    assert fake.requests[-1].path == f"/v2.1/servers/{server['id']}/action"
    assert fake.requests[-1].body == {'lock': None}
    run('lock', 'a', '--reason', 'mine')
    assert fake.requests[-1].body == {'lock': {'locked_reason': 'mine'}}
    assert run('--microversion', '2.72', 'lock', 'a', '--reason', 'x').code == errors.USAGE
    run('unlock', 'a')
    assert fake.requests[-1].body == {'unlock': None}


def test_reset_state(run: Run, fake: Fake) -> None:
    fake.server('a'), fake.server('b')
    result = run('reset-state', 'a', 'b')
    assert result.code == 0 and 'server b was accepted; new state is error' in result.out
    assert [r.body for r in fake.requests if r.method == 'POST'] == [{'os-resetState': {'state': 'error'}}] * 2
    run('reset-state', '--active', 'a')
    assert fake.requests[-1].body == {'os-resetState': {'state': 'active'}}


def test_restore_asks_for_soft_deleted_servers(run: Run, fake: Fake) -> None:
    server = fake.server('a', 'SOFT_DELETED')
    assert run('restore', 'a').code == 0
    looked = [r for r in fake.requests if r.path == '/v2.1/servers/detail']
    assert looked[-1].query['status'] == ['SOFT_DELETED'] and looked[-1].query['soft_deleted'] == ['True']
    assert fake.requests[-1].body == {'restore': None}
    fake.scripts[server['id']] = [{'OS-EXT-STS:task_state': 'restoring'},
                                  {'OS-EXT-STS:task_state': None, 'status': 'ACTIVE'}]
    assert run('restore', '--poll', 'a').code == 0 and not fake.scripts[server['id']]


def test_diagnostics_and_topology(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    said = {'state': 'running', 'cpu_details': [{'id': 0, 'time': 5}], 'memory_details': {'used': 1}}
    fake.canned['GET', f"/v2.1/servers/{server['id']}/diagnostics"] = (200, said)
    assert json.loads(run('--json', 'diagnostics', 'a').out) == said
    assert 'id=0, time=5' in run('diagnostics', 'a').out
    fake.canned['GET', f"/v2.1/servers/{server['id']}/topology"] = (200, {'nodes': [], 'pagesize_kb': None})
    assert json.loads(run('--json', 'server-topology', 'a').out) == {'nodes': [], 'pagesize_kb': None}
    assert run('--microversion', '2.77', 'server-topology', 'a').code == errors.USAGE


def test_security_groups(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    group = {'id': 'g', 'name': 'default', 'description': 'd', 'rules': [], 'tenant_id': 'p'}
    fake.canned['GET', f"/v2.1/servers/{server['id']}/os-security-groups"] = (200, {'security_groups': [group]})
    assert json.loads(run('--json', 'list-secgroup', 'a').out) == [{'Id': 'g', 'Name': 'default', 'Description': 'd'}]
    run('add-secgroup', 'a', 'web')
    assert fake.requests[-1].body == {'addSecurityGroup': {'name': 'web'}}
    run('remove-secgroup', 'a', 'web')
    assert fake.requests[-1].body == {'removeSecurityGroup': {'name': 'web'}}
    run('inject-network-info', 'a')
    assert fake.requests[-1].body == {'injectNetworkInfo': None}


def test_aggregates(run: Run, aggregates: Fake) -> None:
    rows = json.loads(run('--json', 'aggregate-list').out)
    assert rows[0] == {'Id': 7, 'Name': 'fast', 'Availability Zone': 'north', 'Hosts': ['c1'],
                       'Metadata': {'availability_zone': 'north'}, 'UUID': FAST['uuid']}
    assert 'UUID' not in json.loads(run('--json', '--microversion', '2.40', 'aggregate-list').out)[0]
    assert json.loads(run('--json', 'aggregate-show', '7').out)[0]['Name'] == 'fast'    # an id before a name
    assert run('aggregate-show', 'none').code == errors.FAILED


@pytest.mark.parametrize(('words', 'method', 'tail', 'body'), [
    (['aggregate-create', 'fast', 'north'], 'POST', '',
     {'aggregate': {'name': 'fast', 'availability_zone': 'north'}}),
    (['aggregate-update', 'fast', '--name', 'x'], 'PUT', '/7', {'aggregate': {'name': 'x'}}),
    (['aggregate-set-metadata', 'fast', 'a=b', 'c', 'd='], 'POST', '/7/action',
     {'set_metadata': {'metadata': {'a': 'b', 'c': None, 'd': ''}}}),
    (['aggregate-add-host', 'fast', 'c2'], 'POST', '/7/action', {'add_host': {'host': 'c2'}}),
    (['aggregate-remove-host', 'fast', 'c1'], 'POST', '/7/action', {'remove_host': {'host': 'c1'}}),
    (['aggregate-delete', 'fast'], 'DELETE', '/7', None),
])
def test_aggregate_changes(run: Run, aggregates: Fake, words: list[str], method: str, tail: str, body: object) -> None:
    assert run(*words).code == 0
    sent = [r for r in aggregates.requests if r.method == method]
    assert (sent[-1].path, sent[-1].body or None) == (f'/v2.1/os-aggregates{tail}', body)


def test_images_for_an_aggregate(run: Run, aggregates: Fake) -> None:
    image = aggregates.image('debian')
    assert run('aggregate-cache-images', 'fast', 'debian').code == 0
    assert aggregates.requests[-1].body == {'cache': [{'id': image['id']}]}
    assert run('--microversion', '2.80', 'aggregate-cache-images', 'fast', 'debian').code == errors.USAGE
    assert run('aggregate-update', 'fast').code == errors.USAGE
