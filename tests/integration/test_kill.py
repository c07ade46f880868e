"""kill -9 of any daemon, or a broker that is away, in the middle of 100 boots: each server still ends well."""
from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time
import urllib.request
from collections.abc import Callable

import pytest

from tests.integration import invariants
from tests.integration.stack import PATIENCE, Broker, Stack, StackError, wait_for

SERVERS, CLIENTS = 100, 8
SHAPES = {'pairs': {'conductors': 2, 'schedulers': 2}, 'singles': {'conductors': 1, 'schedulers': 1}}
#: builds that take a while, so that the kill falls among them
SETTINGS = {'fake': {'spawn_seconds': 0.3}, 'quota': {'instances': -1, 'cores': -1, 'ram': -1},
            'DEFAULT': {'osapi_compute_threads': 8}}


def image(stack: Stack) -> str:
    found = stack.api.ok('POST', '/v2/images', {'name': 'zero', 'disk_format': 'raw', 'container_format': 'bare',
                                                'visibility': 'public'})
    request = urllib.request.Request(
        f'{stack.endpoint}/v2/images/{found["id"]}/file', method='PUT', data=b'\0' * 65536,
        headers={'Content-Type': 'application/octet-stream', 'X-Auth-Token': 'admin:admin'})
    urllib.request.urlopen(request, timeout=PATIENCE).close()
    return str(found['id'])


def network(stack: Stack) -> str:
    made = stack.api.ok('POST', '/v2.0/networks', {'network': {'name': 'private', 'shared': True}})['network']
    stack.api.ok('POST', '/v2.0/subnets', {'subnet': {
        'network_id': made['id'], 'cidr': '10.9.0.0/22', 'ip_version': 4, 'name': 'private'}})
    return str(made['id'])


class Burst:
    """Boots in the background; a request that was not accepted (the API was dead) is asked again."""

    def __init__(self, stack: Stack, count: int = SERVERS) -> None:
        self._stack, self._left, self._lock = stack, list(range(count)), threading.Lock()
        self.accepted: list[str] = []
        self._flavor, self._image, self._network = stack.api.flavor(), image(stack), network(stack)
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    return
                number = self._left.pop()
            try:
                made = self._stack.api.boot(f'vm{number}', self._flavor, self._image,
                                            networks=[{'uuid': self._network}])
                with self._lock:
                    self.accepted.append(made['id'])
            except (OSError, http.client.HTTPException):     # nobody there, or killed in the middle of the answer
                time.sleep(0.2)
                with self._lock:
                    self._left.append(number)


def settle(stack: Stack) -> dict[str, str]:
    """Until no server is under way. -> {uuid: status}"""
    def look() -> dict[str, str] | None:
        found = {s['id']: s for s in stack.api.servers()}
        ended = all(s['status'] in ('ACTIVE', 'ERROR') and not s['OS-EXT-STS:task_state'] for s in found.values())
        return {uuid: s['status'] for uuid, s in found.items()} if found and ended else None
    return dict(wait_for(look, PATIENCE, 'every server to end', pause=0.5))


def check(stack: Stack, burst: Burst) -> None:
    burst.join()
    ended = settle(stack)
    assert set(burst.accepted) <= set(ended), 'an accepted server is not there'
    assert set(ended.values()) == {'ACTIVE'}, [s.get('fault') for s in stack.api.servers() if s['status'] == 'ERROR']
    assert not invariants.problems(stack)
    for uuid in ended:
        status, _ = stack.api.request('DELETE', f'/servers/{uuid}')
        assert status == 204
    wait_for(lambda: not stack.api.servers(), PATIENCE, 'all servers gone', pause=0.5)
    nothing_left(stack)


def nothing_left(stack: Stack) -> None:
    """At last: a host that is not heard again yet when its servers are deleted owes their removal."""
    def left() -> object:
        return invariants.problems(stack) or invariants.domains(stack)
    with contextlib.suppress(StackError):
        wait_for(lambda: not left(), PATIENCE, 'nothing to be left', pause=0.5)
    assert not left()


def mid_burst(burst: Burst, share: float = 0.4) -> None:
    wait_for(lambda: len(burst.accepted) >= SERVERS * share, PATIENCE, 'the middle of the burst', pause=0.01)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('role', ['conductor', 'scheduler', 'compute', 'api'])
def test_kill(make_stack: Callable[..., Stack], broker: Broker, role: str, shape: str) -> None:
    stack = make_stack(broker, computes=2, settings=SETTINGS, **SHAPES[shape])
    burst = Burst(stack)
    burst.start()
    mid_burst(burst)
    stack.kill(role)
    time.sleep(2)
    stack.spawn(role)
    check(stack, burst)


@pytest.mark.parametrize('role', ['conductor', 'scheduler', 'compute', 'api'])
def test_sigterm_leaves_with_nothing_lost(make_stack: Callable[..., Stack], broker: Broker, role: str) -> None:
    """Each daemon goes by itself, within its grace and without an error, and the burst ends after its return."""
    stack = make_stack(broker, computes=2, settings={**SETTINGS, 'DEFAULT': {
        **SETTINGS['DEFAULT'], 'graceful_shutdown_timeout': 20}}, **SHAPES['singles'])
    burst = Burst(stack)
    burst.start()
    mid_burst(burst)
    assert stack.terminate(role) == 0
    stack.spawn(role)
    check(stack, burst)


@pytest.mark.parametrize(('shape', 'down_time'), [('pairs', 15), ('singles', 60)])
def test_the_broker_is_away_for_20_seconds(make_stack: Callable[..., Stack], own_broker: Broker, shape: str,
                                              down_time: int) -> None:
    """Also when that is longer than a host may be silent: it is the wire that is down, not the hosts."""
    settings = {**SETTINGS, 'DEFAULT': {**SETTINGS['DEFAULT'], 'service_down_time': down_time}}
    stack = make_stack(own_broker, computes=2, settings=settings, **SHAPES[shape])
    burst = Burst(stack)
    burst.start()
    mid_burst(burst)
    own_broker.stop()
    time.sleep(20)
    own_broker.start()
    check(stack, burst)


def test_a_killed_pair_never_comes_back(make_stack: Callable[..., Stack], broker: Broker) -> None:
    """One of two conductors and one of two schedulers die for good: the others end what they held."""
    stack = make_stack(broker, computes=2, settings=SETTINGS, **SHAPES['pairs'])
    burst = Burst(stack)
    burst.start()
    mid_burst(burst)
    stack.kill('conductor', 0)
    stack.kill('scheduler', 0)
    check(stack, burst)


def test_a_frozen_conductor_changes_nothing_when_it_wakes(make_stack: Callable[..., Stack], broker: Broker) -> None:
    """Also when that is longer than a host may be silent, and whatever it holds meanwhile: its share of the messages,
    and, as it may be in the middle of a write, the lock of SQLite."""
    settings = {**SETTINGS, 'conductor': {'lease': 3, 'renew_interval': 1, 'sweep_interval': 1},
                'DEFAULT': {**SETTINGS['DEFAULT'], 'service_down_time': 15}}
    stack = make_stack(broker, computes=2, settings=settings, **SHAPES['pairs'])
    burst = Burst(stack)
    burst.start()
    mid_burst(burst)
    stack.pause('conductor', 0)
    time.sleep(20)
    stack.resume('conductor', 0)
    check(stack, burst)


def test_a_dead_host_and_its_return(make_stack: Callable[..., Stack], broker: Broker) -> None:
    """Servers of a dead host are deleted at once; what lies there goes when the host comes back."""
    settings = {**SETTINGS, 'DEFAULT': {**SETTINGS['DEFAULT'], 'service_down_time': 15}}
    stack = make_stack(broker, computes=1, settings=settings)
    burst = Burst(stack, 5)
    burst.start()
    burst.join()
    settle(stack)
    stack.kill('compute')
    service = '/os-services?binary=nova-compute'
    wait_for(lambda: stack.api.ok('GET', service)['services'][0]['state'] == 'down', PATIENCE, 'the host to be missed')
    for uuid in burst.accepted:
        assert stack.api.request('DELETE', f'/servers/{uuid}')[0] == 204
    wait_for(lambda: not stack.api.servers(), PATIENCE, 'all servers gone')
    assert len(invariants.domains(stack)) == 5
    stack.spawn('compute')
    wait_for(lambda: not invariants.domains(stack), PATIENCE, 'the host to clean up')
    wait_for(lambda: not invariants.rows(stack, 'SELECT * FROM owed'), PATIENCE, 'the record of it')


def test_eventlet_builds_too(make_stack: Callable[..., Stack], broker: Broker) -> None:
    stack = make_stack(broker, computes=2, concurrency='eventlet', settings=SETTINGS)
    burst = Burst(stack, 30)
    burst.start()
    stack.kill('conductor')
    stack.spawn('conductor')
    check(stack, burst)


def test_the_databases(make_stack: Callable[..., Stack], broker: Broker) -> None:
    """The same on each database server that the tests were given."""
    servers = [url for url in os.environ.get('TEST_DATABASES', '').split(',') if '://' in url]
    assert servers, 'TEST_DATABASES names no database server: run tools/run_tests.sh, which starts them'
    for url in servers:
        stack = make_stack(broker, computes=2, settings=SETTINGS, database=url, **SHAPES['pairs'])
        burst = Burst(stack)
        burst.start()
        mid_burst(burst)
        stack.kill('conductor')
        stack.kill('scheduler')
        stack.spawn('conductor')
        stack.spawn('scheduler')
        check(stack, burst)
        stack.stop()
