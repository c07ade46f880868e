from __future__ import annotations

import json
import uuid

import pytest

from minicompute.cli import errors, poll
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake import Fake, fault


def test_list_table_has_no_colour_off_a_terminal(run: Run, fake: Fake) -> None:
    fake.server('web', addresses={'lan': [{'addr': '10.0.0.1'}, {'addr': '10.0.0.2'}]})
    out = run('list').out
    assert 'lan=10.0.0.1, 10.0.0.2' in out and 'Running' in out and '\x1b' not in out


def test_list_follows_pages_unless_limited(run: Run, fake: Fake) -> None:
    for n in range(5):
        fake.server(f's{n}')
    fake.page = 2
    assert run('list', '-f', 'value', '-c', 'Name').out.split() == ['s0', 's1', 's2', 's3', 's4']
    assert run('list', '--limit', '-1', '-f', 'value', '-c', 'Name').out.split() == ['s0', 's1', 's2', 's3',
                                                                                     's4']
    assert run('list', '--limit', '3', '-f', 'value', '-c', 'Name').out.split() == ['s0', 's1', 's2']


def test_list_filters(run: Run, fake: Fake) -> None:
    image = fake.image('cirros')
    run('list', '--name', 'w', '--status', 'ACTIVE', '--flavor', 'm1.tiny', '--image', 'cirros', '--host',
        'h',
        '--all-tenants', '--user', 'u', '--deleted', '--sort', 'name:asc,created_at', '--marker', 'x',
        '--tags', 'a,b', '--not-tags-any', 'c', '--locked', 'true', '--changes-since', '2026-01-01T00:00:00Z')
    query = fake.sent('GET', '/v2.1/servers/detail')[0].query
    assert query == {
        'name': ['w'], 'status': ['ACTIVE'], 'flavor': ['1'], 'image': [image['id']], 'host': ['h'],
        'all_tenants': ['1'], 'user_id': ['u'], 'deleted': ['True'],
        'sort_key': ['display_name', 'created_at'],
        'sort_dir': ['asc', 'desc'], 'marker': ['x'], 'tags': ['a,b'], 'not-tags-any': ['c'],
        'locked': ['true'],
        'changes-since': ['2026-01-01T00:00:00Z']}


def test_list_minimal_and_fields(run: Run, fake: Fake) -> None:
    server = fake.server('a', **{'OS-EXT-SRV-ATTR:host': 'h1'})
    assert run('list', '--minimal', '-f', 'value').out == f"{server['id']} a\n"
    assert fake.requests[-1].path == '/v2.1/servers'
    assert run('list', '--fields', 'name,host', '-f', 'value').out == f"{server['id']} a h1\n"
    assert run('list', '--fields', 'nonsense').code == errors.USAGE


def test_show_by_name_and_id(run: Run, fake: Fake) -> None:
    server = fake.server('a.b', addresses={'lan': [{'addr': '10.0.0.1'}]})
    fake.server('aXb')
    for wanted in ('a.b', server['id']):
        shown = json.loads(run('--json', 'show', wanted).out)
        assert (shown['id'], shown['lan network'], shown['flavor:ram']) == (server['id'], '10.0.0.1', 64)


def test_a_name_that_looks_like_an_id(run: Run, fake: Fake) -> None:
    name = str(uuid.uuid4())
    server = fake.server(name)
    assert json.loads(run('--json', 'show', name).out)['id'] == server['id']


def test_none_and_several(run: Run, fake: Fake) -> None:
    fake.server('twin'), fake.server('twin')
    result = run('show', 'twin')
    assert result.code == errors.FAILED and 'Several servers' in result.err and result.err.count('\n') == 1
    assert run('show', 'nobody').err == "minicompute: No server with a name or ID of 'nobody' exists.\n"


def test_rename_and_update(run: Run, fake: Fake) -> None:
    server = fake.server('old')
    assert run('rename', 'old', 'new').code == 0
    assert server['name'] == 'new'
    assert run('update', 'new', '--description', '', '--hostname', 'h').code == 0
    assert fake.requests[-1].body == {'server': {'description': None, 'hostname': 'h'}}
    assert run('update', 'new').code == errors.USAGE


@pytest.mark.parametrize('argv, body', [
    (['start'], {'os-start': None}), (['stop'], {'os-stop': None}),
    (['reboot'], {'reboot': {'type': 'SOFT'}}),
    (['reboot', '--hard'], {'reboot': {'type': 'HARD'}}), (['force-delete'], {'forceDelete': None}),
    (['console-log'], {'os-getConsoleOutput': {}}),
    (['console-log', '--length', '3'], {'os-getConsoleOutput': {'length': 3}})])
def test_actions(run: Run, fake: Fake, argv: list[str], body: dict[str, object]) -> None:
    server = fake.server('a')
    assert run(*argv, 'a').code == 0
    sent = fake.requests[-1]
    assert (sent.path, sent.body) == (f"/v2.1/servers/{server['id']}/action", body)


def test_several_go_on_after_a_failure(run: Run, fake: Fake) -> None:
    fake.server('a'), fake.server('c')
    result = run('delete', 'a', 'b', 'c')
    assert result.code == errors.FAILED and not fake.servers
    assert result.err == "minicompute: No server with a name or ID of 'b' exists.\n"


def test_delete_all_tenants(run: Run, fake: Fake) -> None:
    fake.server('a')
    run('delete', '--all-tenants', 'a')
    assert fake.sent('GET', '/v2.1/servers/detail')[0].query['all_tenants'] == ['1']


def test_delete_poll(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.scripts[server['id']] = [{'OS-EXT-STS:task_state': 'deleting'}, {'status': 'DELETED'}]
    result = run('delete', '--poll', 'a')
    assert result.code == 0 and 'a: ACTIVE (deleting)\na: DELETED\n' in result.err


def test_stop_poll_waits_for_the_task_too(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.scripts[server['id']] = [{'OS-EXT-STS:task_state': 'powering-off'}, {'status': 'SHUTOFF'},
                                  {'OS-EXT-STS:task_state': None}]
    assert run('stop', '--poll', 'a').err.splitlines()[-1] == 'a: SHUTOFF'


def test_poll_error_is_3_with_the_fault(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.scripts[server['id']] = [{'status': 'REBOOT'}, {'status': 'ERROR', 'fault': {'message': 'it broke'}}]
    result = run('reboot', '--poll', 'a')
    assert result.code == errors.SERVER_ERROR
    assert result.err.splitlines()[-1] == f"minicompute: a ({server['id']}) is in ERROR: it broke"


def test_poll_of_a_server_in_error_waits_first(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake.server('a', status='ERROR')
    fake.scripts[server['id']] = [{'status': 'ERROR'}, {'status': 'ERROR'}, {'status': 'DELETED'}]
    assert run('delete', '--poll', 'a').code == 0
    server = fake.server('b', status='ERROR')
    monkeypatch.setattr(poll, 'GRACE', 0.0)
    fake.scripts[server['id']] = [{'status': 'ERROR'}] * 3
    assert run('delete', '--poll', 'b').code == errors.SERVER_ERROR


def test_meta(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    path = f"/v2.1/servers/{server['id']}/metadata"
    fake.canned['POST', path] = (200, {})
    fake.canned['DELETE', f'{path}/k/1'] = (204, None)
    assert run('meta', 'a', 'set', 'x=1', 'y=a=b').code == 0
    assert fake.requests[-1].body == {'metadata': {'x': '1', 'y': 'a=b'}}
    assert run('meta', 'a', 'delete', 'k/1').code == 0
    assert run('meta', 'a', 'set', 'x').code == errors.USAGE


def test_tags(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    path = f"/v2.1/servers/{server['id']}/tags"
    fake.canned.update({('GET', path): (200, {'tags': ['x', 'y']}), ('PUT', path): (200, {}),
                        ('DELETE', path): (204, None), ('PUT', f'{path}/z'): (201, None),
                        ('DELETE', f'{path}/z'): (204, None)})
    assert run('server-tag-list', 'a', '-f', 'value').out == 'x\ny\n'
    for argv in (['server-tag-add', 'a', 'z'], ['server-tag-delete', 'a', 'z'],
                 ['server-tag-delete-all', 'a']):
        assert run(*argv).code == 0
    assert run('server-tag-set', 'a', 'p', 'q').code == 0
    assert fake.requests[-1].body == {'tags': ['p', 'q']}
    assert run('server-tag-add', 'a', 'p/q').code == errors.USAGE


def test_instance_actions(run: Run, fake: Fake) -> None:
    server_id = str(uuid.uuid4())
    path = f'/v2.1/servers/{server_id}/os-instance-actions'
    action = {'action': 'create', 'request_id': 'req-9', 'message': None, 'start_time': 't0',
              'updated_at': 't1'}
    events = [{'event': 'build', 'result': 'Success', 'start_time': 't0', 'finish_time': 't1',
               'details': None}]
    fake.canned['GET', path] = (200, {'instanceActions': [action]})
    fake.canned['GET', f'{path}/req-9'] = (200, {'instanceAction': {**action, 'events': events}})
    assert run('instance-action-list', server_id, '-f', 'value').out == 'create req-9 None t0 t1\n'
    assert 'build  Success  t0 .. t1' in run('instance-action', server_id, 'req-9').out
    assert json.loads(run('instance-action', server_id, 'req-9', '--json').out)['events'] == events
    assert run('--microversion', '2.57', 'instance-action-list', server_id, '--limit',
               '1').code == errors.USAGE


def test_server_error_of_the_lookup_is_not_not_found(run: Run, fake: Fake) -> None:
    server = fake.server('a')
    fake.canned['GET', f"/v2.1/servers/{server['id']}"] = fault(500, 'computeFault', 'boom')
    assert 'boom (HTTP 500)' in run('show', server['id']).err
