from __future__ import annotations

import json

import pytest

from minicompute.cli import errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake


def body(fake: Fake) -> object:
    return fake.sent('POST', '/v2.1/servers/.*/action')[-1].body


@pytest.mark.parametrize(('version', 'words', 'sent'), [
    ('2.104', [], {'host': None, 'block_migration': 'auto'}),
    ('2.104', ['h2', '--block-migrate'], {'host': 'h2', 'block_migration': True}),
    ('2.67', ['h2', '--force'], {'host': 'h2', 'block_migration': 'auto', 'force': True}),
    ('2.24', ['--disk-over-commit'], {'host': None, 'block_migration': False, 'disk_over_commit': True}),
    ('2.24', [], {'host': None, 'block_migration': False, 'disk_over_commit': False}),
])
def test_live_migration(run: Run, fake: Fake, version: str, words: list[str], sent: object) -> None:
    fake.server('a')
    assert run('--microversion', version, 'live-migration', 'a', *words).code == 0
    assert body(fake) == {'os-migrateLive': sent}


@pytest.mark.parametrize(('version', 'words'), [
    ('2.68', ['live-migration', 'a', 'h2', '--force']), ('2.29', ['live-migration', 'a', 'h2', '--force']),
    ('2.25', ['live-migration', 'a', '--disk-over-commit']), ('2.28', ['evacuate', 'a', 'h2', '--force']),
    ('2.14', ['evacuate', 'a', '--on-shared-storage']), ('2.21', ['live-migration-force-complete', 'a', '1']),
    ('2.23', ['live-migration-abort', 'a', '1'])])
def test_what_a_version_does_not_have(run: Run, fake: Fake, version: str, words: list[str]) -> None:
    fake.server('a')
    assert run('--microversion', version, *words).code == errors.USAGE
    assert not fake.sent('POST', '/v2.1/servers/.*/action')


@pytest.mark.parametrize(('version', 'words', 'sent'), [
    ('2.104', [], {}), ('2.104', ['h2', '--password', 'x'], {'host': 'h2', 'adminPass': 'x'}),
    ('2.13', ['--on-shared-storage'], {'onSharedStorage': True}), ('2.13', [], {'onSharedStorage': False}),
    ('2.67', ['h2', '--force'], {'host': 'h2', 'force': True})])
def test_evacuate(run: Run, fake: Fake, version: str, words: list[str], sent: object) -> None:
    server = fake.server('a')
    fake.canned['POST', f'/v2.1/servers/{server["id"]}/action'] = (200, {'adminPass': 'secret'})
    result = run('--json', '--microversion', version, 'evacuate', 'a', *words)
    assert result.code == 0 and body(fake) == {'evacuate': sent} and json.loads(result.out) == {'adminPass': 'secret'}


def test_orders(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    path = f'/v2.1/servers/{server["id"]}/migrations/7'
    fake.canned['DELETE', path] = (202, None)
    fake.canned['POST', path + '/action'] = (202, None)
    assert run('live-migration-abort', 'a', '7').code == 0
    assert run('live-migration-force-complete', 'a', '7').code == 0
    assert fake.sent('POST', path + '/action')[-1].body == {'force_complete': None}
    assert fake.sent('DELETE', path)


def hypervisors(fake: Fake, *servers: str) -> None:
    fake.canned['GET', '/v2.1/os-hypervisors/detail'] = (200, {'hypervisors': [
        {'id': 'i1', 'hypervisor_hostname': 'h1', 'servers': [{'uuid': one, 'name': one} for one in servers]},
        {'id': 'i2', 'hypervisor_hostname': 'h12', 'servers': [{'uuid': 'other', 'name': 'other'}]}]})


@pytest.mark.parametrize(('verb', 'sent'), [
    ('host-evacuate', {'evacuate': {}}), ('host-servers-migrate', {'migrate': None}),
    ('host-evacuate-live', {'os-migrateLive': {'host': None, 'block_migration': 'auto'}})])
def test_all_of_a_host(run: Run, fake: Fake, verb: str, sent: object) -> None:
    hypervisors(fake, 'a', 'b')
    fake.canned['POST', '/v2.1/servers/a/action'] = (202, None)
    fake.canned['POST', '/v2.1/servers/b/action'] = (409, {'conflictingRequest': {'code': 409, 'message': 'busy'}})
    fake.canned['POST', '/v2.1/servers/other/action'] = (202, None)
    result = run('--json', verb, 'h1', '--strict')
    rows = json.loads(result.out)
    assert result.code == errors.FAILED and [row['Server UUID'] for row in rows] == ['a', 'b']
    assert [row[next(key for key in row if key.endswith('Accepted'))] for row in rows] == [True, False]
    assert 'busy' in rows[1]['Error Message'] and body(fake) == sent
    assert len(json.loads(run('--json', verb, 'h1').out)) == 3


def test_no_more_than_asked_for(run: Run, fake: Fake) -> None:
    hypervisors(fake, 'a', 'b')
    fake.canned['POST', '/v2.1/servers/a/action'] = (202, None)
    assert len(json.loads(run('--json', 'host-evacuate-live', 'h1', '--max-servers', '1').out)) == 1


def test_a_host_that_is_not_there(run: Run, fake: Fake) -> None:
    fake.canned['GET', '/v2.1/os-hypervisors/detail'] = (200, {'hypervisors': []})
    assert run('host-evacuate', 'h9').code == errors.FAILED
