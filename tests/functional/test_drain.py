"""`minicompute host drain`: the real command line against the whole cloud, over HTTP."""
from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from minicompute.cli.host import OTHERWISE_DOWN, UNCONFIRMED
from minicompute.cli.shell import Shell
from tests.functional.cloud import Cloud
from tests.functional.test_evacuate import force_down
from tests.functional.test_live_migration import copying, die_once
from tests.functional.test_resize import act, booted, status

HOST = 'OS-EXT-SRV-ATTR:host'


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@pytest.fixture(autouse=True)
def _quick(conf: Any) -> None:
    conf.set_override('report_interval', 1)
    conf.set_override('service_down_time', 10)
    conf.set_override('refresh_interval', 0.1, 'scheduler')


@pytest.fixture
def cli(make_cloud: Any, monkeypatch: Any) -> Iterator[Any]:
    """cli.cloud, and cli('host', 'drain', ...) -> (exit code, what it printed as JSON)"""
    cloud = make_cloud(computes=3)
    server = make_server('127.0.0.1', 0, cloud.app, server_class=Threaded, handler_class=Quiet)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name, value in {'OS_AUTH_TYPE': 'none', 'OS_USERNAME': 'admin', 'OS_PROJECT_NAME': 'demo',
                        'OS_ENDPOINT': f'http://127.0.0.1:{server.server_port}/v2.1'}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv('OS_CLOUD', raising=False)
    monkeypatch.setattr('minicompute.cli.host.FIRST_PAUSE', 0.05)

    def run(*words: str) -> tuple[int, Any]:
        out = io.StringIO()
        code = Shell(stdout=out).run(['--json', *words])
        return code, json.loads(out.getvalue() or 'null')
    run.cloud = cloud       # type: ignore[attr-defined]
    yield run
    server.shutdown()
    server.server_close()


def on(cloud: Cloud, host: str) -> set[str]:
    found = cloud.api('GET', f'/servers/detail?all_tenants=1&host={host}')['servers']
    return {server['id'] for server in found}


def all_on(cloud: Cloud, host: str, count: int) -> list[str]:
    """Servers that run on `host`."""
    others = [name for name in ('compute1', 'compute2', 'compute3') if name != host]
    for name in others:
        cloud.set_service(name, 'disabled')
    made = [booted(cloud)['id'] for _ in range(count)]
    for name in others:
        cloud.set_service(name, 'enabled')
    return made


def test_everything_goes(cli: Any) -> None:
    """What runs goes live, what is off goes cold and is confirmed; what cannot move is named."""
    cloud = cli.cloud
    running, off, paused, suspended = all_on(cloud, 'compute1', 4)
    for uuid, name, state in ((off, 'os-stop', 'SHUTOFF'), (paused, 'pause', 'PAUSED'),
                              (suspended, 'suspend', 'SUSPENDED')):
        act(cloud, uuid, name)
        cloud.wait(uuid, state)
    code, rows = cli('host', 'drain', 'compute1', '--wait')
    assert {row['Server']: (row['By'], row['Result']) for row in rows} == {
        running: ('live-migration', 'moved'), paused: ('live-migration', 'moved'), off: ('migrate', 'moved'),
        suspended: ('-', 'cannot move while it is SUSPENDED: `resume` it')}
    assert code == 1 and on(cloud, 'compute1') == {suspended}
    assert status(off) == ['confirmed'] and status(running) == ['completed']
    service = cloud.api('GET', '/os-services?host=compute1&binary=nova-compute')['services'][0]
    assert (service['status'], service['disabled_reason']) == ('disabled', 'host drain')

    act(cloud, suspended, 'resume')
    cloud.wait(suspended)
    code, rows = cli('host', 'drain', 'compute1', '--wait')
    assert (code, [row['Result'] for row in rows]) == (0, ['moved']) and on(cloud, 'compute1') == set()
    assert cli('host', 'drain', 'compute1', '--wait') == (0, [])
    assert not cloud.leaks()


def test_a_host_that_is_down_is_evacuated(cli: Any) -> None:
    cloud = cli.cloud
    made = all_on(cloud, 'compute1', 2)
    act(cloud, made[1], 'pause')
    cloud.wait(made[1], 'PAUSED')
    cloud.stop('compute1')
    force_down(cloud, 'compute1')
    code, rows = cli('host', 'drain', 'compute1', '--wait')
    assert code == 1 and {row['Server']: (row['By'], row['Result']) for row in rows} == {
        made[0]: ('evacuate', 'moved'),
        made[1]: ('-', 'cannot move while it is PAUSED and its host down: ' + OTHERWISE_DOWN)}
    assert status(made[0]) == ['done'] and on(cloud, 'compute1') == {made[1]}


def test_begun_and_gone_on_with(cli: Any, conf: Any) -> None:
    """Without --wait all is asked for; another run goes on with what it finds, and confirms what waits for that."""
    cloud = cli.cloud
    conf.set_override('live_migration_seconds', 300.0, 'fake')
    running, off = all_on(cloud, 'compute1', 2)
    act(cloud, off, 'os-stop')
    cloud.wait(off, 'SHUTOFF')
    code, rows = cli('host', 'drain', 'compute1')
    assert code == 0 and {row['Result'] for row in rows} == {'begun'}
    found = copying(cloud, running)
    cloud.wait(off, 'VERIFY_RESIZE')
    cloud.api('POST', f'/servers/{running}/migrations/{found["id"]}/action', {'force_complete': None})
    cloud.wait(running)
    code, rows = cli('host', 'drain', 'compute1', '--wait')
    assert code == 0 and [(row['Server'], row['Result']) for row in rows] == [(off, 'moved')]
    assert status(off) == ['confirmed'] and not cloud.leaks()


def test_what_fails_is_tried_twice_and_told(cli: Any) -> None:
    cloud = cli.cloud
    uuid = all_on(cloud, 'compute1', 1)[0]
    for name in ('compute2', 'compute3'):
        cloud.set_service(name, 'disabled')
    code, rows = cli('host', 'drain', 'compute1', '--wait')
    assert code == 1 and 'No valid host' in rows[0]['Result'] and on(cloud, 'compute1') == {uuid}
    assert status(uuid) == ['error', 'error']


def test_broken_off_by_the_death_of_the_host(cli: Any, conf: Any) -> None:
    """The daemon dies in the middle of a copy and comes back: the drain just goes on."""
    cloud = cli.cloud
    made = all_on(cloud, 'compute1', 3)
    conf.set_override('live_migration_seconds', 1.0, 'fake')    # else no copy has a middle
    died = die_once('live_migrate.copying')

    def revive() -> None:
        assert died.wait(60)
        cloud.stop('compute1')
        cloud.start_compute('compute1')
    with ThreadPoolExecutor(1) as pool:
        revived = pool.submit(revive)
        code, rows = cli('host', 'drain', 'compute1', '--wait')
        revived.result()
    assert code == 0 and {row['Server'] for row in rows} == set(made) and on(cloud, 'compute1') == set()
    assert not cloud.leaks()


def test_what_is_shelved_is_taken_off(cli: Any, conf: Any) -> None:
    cloud = cli.cloud
    conf.set_override('shelved_offload_time', -1)
    uuid = all_on(cloud, 'compute1', 1)[0]
    act(cloud, uuid, 'shelve')
    cloud.wait(uuid, 'SHELVED')
    code, rows = cli('host', 'drain', 'compute1', '--wait')
    assert (code, [(row['By'], row['Result']) for row in rows]) == (0, [('shelve-offload', 'moved')])
    assert cloud.show(uuid)['status'] == 'SHELVED_OFFLOADED' and cloud.domains() == {}
    assert cli('host', 'drain', 'compute1', '--wait') == (0, [])
    assert not cloud.leaks()


def test_what_is_not_ours_to_decide_is_told_with_what_to_do(cli: Any, conf: Any) -> None:
    cloud = cli.cloud
    conf.set_override('reclaim_instance_interval', 3600)
    rescued, broken, soft = all_on(cloud, 'compute1', 3)
    act(cloud, rescued, 'rescue')
    cloud.wait(rescued, 'RESCUE')
    cloud.api('POST', f'/servers/{broken}/action', {'os-resetState': {'state': 'error'}})
    cloud.api('DELETE', f'/servers/{soft}')
    cloud.until(lambda: cloud.api('GET', '/servers/detail?soft_deleted=1&status=soft_deleted')['servers'], 'it to go')
    code, rows = cli('host', 'drain', 'compute1', '--wait')
    said = {row['Server']: row['Result'] for row in rows}
    assert code == 1 and set(said) == {rescued, broken, soft}
    assert '`unrescue`' in said[rescued] and '`reset-state --active`' in said[broken]
    assert '`force-delete` or `restore`' in said[soft]


def resized(cloud: Cloud, uuid: str) -> str:
    """-> where it is now"""
    body = {'resize': {'flavorRef': cloud.flavor(ram=128, disk=1)}}
    cloud.api('POST', f'/servers/{uuid}/action', body)
    return str(cloud.wait(uuid, 'VERIFY_RESIZE')[HOST])


@pytest.mark.parametrize('side', ['from', 'to'])
def test_resizes_are_their_owners_until_the_operator_says_so(cli: Any, side: str) -> None:
    cloud = cli.cloud
    uuid = all_on(cloud, 'compute1', 1)[0]
    there = resized(cloud, uuid)
    host = 'compute1' if side == 'from' else there
    code, rows = cli('host', 'drain', host, '--wait')
    assert code == 1 and [row['Server'] for row in rows] == [uuid]
    assert rows[0]['Result'] == UNCONFIRMED if side == 'from' else '--confirm-resizes' in rows[0]['Result']
    assert cloud.show(uuid)['status'] == 'VERIFY_RESIZE'
    code, rows = cli('host', 'drain', host, '--wait', '--confirm-resizes')
    assert (code, [row['Result'] for row in rows]) == (0, ['moved'])
    server = cloud.wait(uuid)
    assert server[HOST] != host and list(cloud.domains().items()) == [(uuid, server[HOST])]
    assert not cloud.leaks()


def test_words_that_are_wrong(cli: Any) -> None:
    assert cli('host', 'drain', 'nowhere')[0] == 1
    assert cli('host', 'drain', 'compute1', '--parallel', '0')[0] == 2
