from __future__ import annotations

import json

import pytest

from minicompute.cli import errors
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake

TASK = 'OS-EXT-STS:task_state'
PATH = '/v2.1/os-migrations'


def body(fake: Fake) -> object:
    return fake.sent('POST', '/v2.1/servers/.*/action')[-1].body


def test_bodies(run: Run, fake: Fake) -> None:
    fake.server('a')
    fake.flavor('2', 'larger')
    for command, sent in (
            (['resize', 'a', 'larger'], {'resize': {'flavorRef': '2'}}), (['migrate', 'a'], {'migrate': None}),
            (['migrate', 'a', '--host', 'h2'], {'migrate': {'host': 'h2'}}),
            (['resize-confirm', 'a'], {'confirmResize': None}), (['resize-revert', 'a'], {'revertResize': None})):
        assert run(*command).code == 0 and body(fake) == sent
    assert run('--microversion', '2.55', 'migrate', 'a', '--host', 'h2').code == errors.USAGE


def test_poll_until_it_waits_for_a_word(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.scripts[server['id']] = [{'status': 'RESIZE', TASK: 'resize_prep'}, {TASK: 'resize_finish'},
                                  {'status': 'VERIFY_RESIZE', TASK: None}]
    result = run('resize', '--poll', 'a', 'm1.tiny')
    assert result.code == 0 and result.err.splitlines()[-1] == 'a: VERIFY_RESIZE'


def test_a_move_that_failed_says_why(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.scripts[server['id']] = [{'status': 'RESIZE', TASK: 'resize_prep'}, {'status': 'ACTIVE', TASK: None}]
    path = f"/v2.1/servers/{server['id']}/os-instance-actions"
    fake.canned['GET', path] = (200, {'instanceActions': [
        {'action': 'migrate', 'message': 'No valid host was found.'}, {'action': 'create', 'message': None}]})
    result = run('migrate', '--poll', 'a')
    assert result.code == errors.SERVER_ERROR and 'a: No valid host was found.' in result.err


def test_one_that_was_confirmed_meanwhile_did_not_fail(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.scripts[server['id']] = [{'status': 'RESIZE', TASK: 'resize_prep'}, {'status': 'ACTIVE', TASK: None}]
    fake.canned['GET', f"/v2.1/servers/{server['id']}/os-instance-actions"] = (200, {'instanceActions': [
        {'action': 'confirmResize', 'message': None}, {'action': 'resize', 'message': None}]})
    assert run('resize', '--poll', 'a', 'm1.tiny').code == 0


ROW = {'id': 7, 'uuid': 'u-7', 'source_compute': 'a', 'source_node': 'a1', 'dest_compute': 'b', 'dest_node': 'b1',
       'dest_host': '192.0.2.2', 'status': 'finished', 'instance_uuid': 's', 'old_instance_type_id': 1,
       'new_instance_type_id': 2, 'created_at': 'x', 'updated_at': 'y', 'migration_type': 'resize', 'project_id': 'p',
       'user_id': 'u'}


def test_migration_list(run: Run, fake: Fake) -> None:
    fake.canned['GET', PATH] = (200, {'migrations': [ROW]})
    row, = json.loads(run('--json', 'migration-list', '--host', 'a', '--status', 'finished', '--limit', '3',
                          '--migration-type', 'resize', '--changes-since', '2026-01-01', '--user-id', 'u').out)
    assert (row['Id'], row['UUID'], row['Type'], row['Dest Host'], row['New Flavor'], row['User ID']) == (
        7, 'u-7', 'resize', '192.0.2.2', 2, 'u')
    assert fake.sent('GET', PATH)[-1].query == {
        'host': ['a'], 'status': ['finished'], 'limit': ['3'], 'migration_type': ['resize'],
        'changes-since': ['2026-01-01'], 'user_id': ['u']}


def test_migration_list_of_early_versions(run: Run, fake: Fake) -> None:
    fake.canned['GET', PATH] = (200, {'migrations': [ROW]})
    row, = json.loads(run('--json', '--microversion', '2.1', 'migration-list').out)
    assert {'Id', 'UUID', 'Type', 'User ID'} & set(row) == set() and row['Source Compute'] == 'a'
    for option, version in (('--limit', '2.58'), ('--marker', '2.58'), ('--changes-before', '2.65'),
                            ('--project-id', '2.79')):
        assert run('--microversion', version, 'migration-list', option, '1').code == errors.USAGE


@pytest.mark.parametrize('verb', ['server-migration-list', 'server-migration-show'])
def test_migrations_of_a_server(run: Run, fake: Fake, verb: str) -> None:
    server = fake.server('a')
    row = {**{k: v for k, v in ROW.items() if k != 'instance_uuid'}, 'server_uuid': server['id'],
           **{f'{kind}_{stage}_bytes': 5 for kind in ('memory', 'disk')
              for stage in ('total', 'processed', 'remaining')}}
    path = f"/v2.1/servers/{server['id']}/migrations"
    fake.canned['GET', path] = (200, {'migrations': [row]})
    fake.canned['GET', f'{path}/7'] = (200, {'migration': row})
    more = ['7'] if verb == 'server-migration-show' else []
    shown = json.loads(run('--json', verb, 'a', *more).out)
    if more:
        assert (shown['memory_total_bytes'], shown['id']) == (5, 7)
    else:
        assert (shown[0]['Total Memory Bytes'], shown[0]['Server UUID']) == (5, server['id'])
    assert run('--microversion', '2.22', verb, 'a', *more).code == errors.USAGE
