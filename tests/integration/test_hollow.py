"""200 computes in two processes over a real RabbitMQ: boots, kill -9, their return, deletes."""
from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.integration import invariants
from tests.integration.stack import BIN, PATIENCE, Broker, Stack, _signal, descendants, wait_for
from tests.integration.test_kill import Burst, nothing_left, settle

HOSTS, SERVERS = 200, 50
SETTINGS = {'quota': {'instances': -1, 'cores': -1, 'ram': -1}}


class Hollow:
    """The command, with what a compute is configured with: no database."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._log = stack, stack.directory / 'hollow.log'
        self._config = stack.directory / 'hollow.conf'
        text = stack.daemons['conductor', 0].config.read_text()
        self._config.write_text(text.replace('[database]', '[nothing]'))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._log.write_bytes(b'')
        with open(self._log, 'ab') as log:
            self._process = subprocess.Popen(
                [str(BIN / 'minicompute-manage'), '--config-file', str(self._config), 'hollow', '--hosts', str(HOSTS),
                 '--processes', '2'], env=self._stack._env(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, cwd=self._stack.directory)
        wait_for(lambda: f'{HOSTS} of {HOSTS} hosts' in self._log.read_text(), PATIENCE, 'the hollow hosts')

    def family(self) -> list[int]:
        assert self._process is not None
        return [self._process.pid, *descendants(self._process.pid)]

    def end(self, number: int) -> int:
        """With a signal to all of them. -> how the first one ended"""
        assert self._process is not None
        family = self.family()
        for pid in family if number == signal.SIGKILL else family[:1]:
            _signal(pid, number)
        return self._process.wait(PATIENCE)


@pytest.fixture
def stack(make_stack: Callable[..., Stack], broker: Broker) -> Stack:
    return make_stack(broker, computes=0, settings=SETTINGS)


@pytest.fixture
def hollow(stack: Stack) -> Iterator[Hollow]:
    made = Hollow(stack)
    made.start()
    yield made
    made.end(signal.SIGKILL)


def gone(stack: Stack) -> None:
    for server in stack.api.servers():
        assert stack.api.request('DELETE', f'/servers/{server["id"]}')[0] == 204
    wait_for(lambda: not stack.api.servers(), PATIENCE, 'all servers gone', pause=0.5)
    nothing_left(stack)


def test_servers_outlive_the_processes_of_their_hosts(stack: Stack, hollow: Hollow) -> None:
    burst = Burst(stack, SERVERS)
    burst.start()
    burst.join()
    assert set(settle(stack).values()) == {'ACTIVE'}
    places = invariants.domains(stack)
    assert len(places) == SERVERS and len(set(places.values())) > SERVERS // 2
    assert not invariants.problems(stack)
    hollow.end(signal.SIGKILL)
    assert invariants.domains(stack) == places
    hollow.start()
    assert not invariants.problems(stack)
    gone(stack)


def test_a_burst_survives_the_death_of_all_hosts(stack: Stack, hollow: Hollow) -> None:
    burst = Burst(stack, SERVERS)
    burst.start()
    wait_for(lambda: len(burst.accepted) >= SERVERS // 3, PATIENCE, 'the middle of the burst', pause=0.01)
    hollow.end(signal.SIGKILL)
    hollow.start()
    burst.join()
    assert set(settle(stack).values()) == {'ACTIVE'}
    assert not invariants.problems(stack)
    gone(stack)


def test_one_process_that_dies_is_made_anew_and_none_outlives_the_first(stack: Stack, hollow: Hollow) -> None:
    first, *others = hollow.family()
    assert len(others) == 2
    _signal(others[0], signal.SIGKILL)
    wait_for(lambda: len(hollow.family()) == 3 and others[0] not in hollow.family(), PATIENCE, 'a new process')
    others = hollow.family()[1:]
    _signal(first, signal.SIGKILL)
    wait_for(lambda: not any(descendants_alive(pid) for pid in others), PATIENCE, 'the end of the others')


def descendants_alive(pid: int) -> bool:
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_sigterm_ends_all(hollow: Hollow) -> None:
    others = hollow.family()[1:]
    assert hollow.end(signal.SIGTERM) == 0
    assert not any(descendants_alive(pid) for pid in others)


def test_the_broker_restarts_below_them(make_stack: Callable[..., Stack], own_broker: Broker) -> None:
    """All queues are there again, and so are the hosts."""
    stack = make_stack(own_broker, computes=0, settings=SETTINGS)
    hosts = Hollow(stack)
    hosts.start()
    try:
        own_broker.stop()
        own_broker.start()
        burst = Burst(stack, SERVERS)
        burst.start()
        burst.join()
        assert set(settle(stack).values()) == {'ACTIVE'}
        gone(stack)
    finally:
        hosts.end(signal.SIGKILL)
