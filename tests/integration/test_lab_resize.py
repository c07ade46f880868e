"""Resize and cold migration of real guests between the hosts of the lab: what is on their disks comes along."""
from __future__ import annotations

import base64
import contextlib
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import BOOT, Lab
from tests.integration.stack import wait_for

pytestmark = pytest.mark.long

#: At each boot the guest says how large its disk is and what it finds far behind its file system; the first time it
#: leaves a word there.
SCRIPT = '''#!/bin/sh
found=$(dd if=/dev/vda bs=512 skip=409600 count=1 2>/dev/null | tr -d '\\000' | head -c 40)
echo "test-disk: found=[$found] sectors=$(cat /sys/block/vda/size)" > /dev/ttyS0
[ -n "$found" ] || echo "WORD" | dd of=/dev/vda bs=512 seek=409600 2>/dev/null
sync
echo "test-disk: done" > /dev/ttyS0
'''
HOST = 'OS-EXT-SRV-ATTR:host'
GIB_SECTORS = 1 << 21


class Moves:
    def __init__(self, lab: Lab) -> None:
        self.lab, self.api, self.word = lab, lab.api, f'mark-{uuid.uuid4().hex[:12]}'
        name = f'r-{uuid.uuid4().hex[:8]}'
        self.small = self.api.flavor(f'{name}-1', ram=128, disk=1)
        self.large = self.api.flavor(f'{name}-2', ram=160, disk=2)
        self.servers: list[str] = []

    def boot(self, host: str) -> str:
        script = base64.b64encode(SCRIPT.replace('WORD', self.word).encode()).decode()
        server = self.lab.boot(self.word, host, flavor=self.small, user_data=script)
        self.servers.append(server['id'])
        self.lab.wait_console(server['id'], 'test-disk: done')
        assert self.seen(server['id'])[-1] == ('', GIB_SECTORS)
        return str(server['id'])

    def seen(self, server: str) -> list[tuple[str, int]]:
        """(word, sectors) of each boot that the console of its present host knows"""
        return [(word, int(sectors)) for word, sectors in re.findall(
            r'test-disk: found=\[(.*?)\] sectors=(\d+)', self.lab.console(server))]

    def wait_seen(self, server: str, word: str, sectors: int) -> None:
        wait_for(lambda: self.seen(server)[-1:] == [(word, sectors)], BOOT, f'{word} on a disk of {sectors} sectors: '
                 f'{self.seen(server)}', pause=1)

    def act(self, server: str, name: str, argument: Any = None) -> None:
        status, document = self.api.request('POST', f'/servers/{server}/action', {name: argument})
        assert status in (202, 204), document

    def status(self, server: str, wanted: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            shown = dict(self.api.ok('GET', f'/servers/{server}')['server'])
            done = shown['status'] == wanted and shown['OS-EXT-STS:task_state'] is None
            assert done or shown['OS-EXT-STS:task_state'] or shown['status'] == wanted, self.why(server)
            return shown if done else None
        return dict(wait_for(look, BOOT, f'{server} {wanted}', pause=0.5))

    def why(self, server: str) -> Any:
        newest = self.api.ok('GET', f'/servers/{server}/os-instance-actions')['instanceActions'][0]
        return self.api.ok('GET', f"/servers/{server}/os-instance-actions/{newest['request_id']}")

    def resize(self, server: str) -> str:
        self.act(server, 'resize', {'flavorRef': self.large})
        return str(self.status(server, 'VERIFY_RESIZE')[HOST])

    def directories(self, server: str) -> list[str]:
        return [host for host in self.lab.hosts if server in self.files(host)]

    def domains(self, server: str) -> list[str]:
        return [host for host in self.lab.hosts if server in self.lab.virsh(host, 'list', '--all', '--uuid').split()]

    def markers(self) -> list[str]:
        return [name for host in self.lab.hosts for name in self.files(host) if name.startswith('.moving')]

    def instances(self) -> str:
        """Where the disks lie on each host."""
        return str(self.lab.directory / 'node' / 'state' / 'instances')

    def files(self, host: str) -> list[str]:
        return self.lab.execute(host, 'ls', '-A', self.instances()).split()

    def pools(self) -> str:
        return ''.join(self.lab.virsh(host, 'pool-list', '--all', '--name') for host in self.lab.hosts)


@contextlib.contextmanager
def moves_in(lab: Lab) -> Iterator[Moves]:
    made = Moves(lab)
    try:
        yield made
    finally:
        lab.delete(*made.servers)
    for server in made.servers:
        assert made.directories(server) == [] and made.domains(server) == []
    assert made.markers() == [] and 'minicompute-move' not in made.pools()


@pytest.fixture
def moves(lab: Lab) -> Iterator[Moves]:
    with moves_in(lab) as made:
        yield made


@pytest.fixture
def shared(shared_lab: Lab) -> Iterator[Moves]:
    with moves_in(shared_lab) as made:
        yield made


def test_the_disk_comes_along_and_grows(moves: Moves) -> None:
    server = moves.boot('host1')
    dest = moves.resize(server)
    assert dest != 'host1' and moves.lab.running_on(server) == [dest]
    assert moves.directories(server) == sorted(['host1', dest]) == moves.domains(server)
    moves.wait_seen(server, moves.word, 2 * GIB_SECTORS)
    moves.act(server, 'confirmResize')
    moves.status(server, 'ACTIVE')
    assert moves.directories(server) == [dest] == moves.domains(server) == moves.lab.running_on(server)


def test_a_revert_finds_all_as_it_was(moves: Moves) -> None:
    server = moves.boot('host2')
    dest = moves.resize(server)
    moves.wait_seen(server, moves.word, 2 * GIB_SECTORS)
    moves.act(server, 'revertResize')
    assert moves.status(server, 'ACTIVE')[HOST] == 'host2'
    moves.wait_seen(server, moves.word, GIB_SECTORS)
    assert dest not in moves.directories(server) + moves.domains(server)
    assert moves.lab.running_on(server) == ['host2']


@pytest.mark.parametrize('who', ['host1', 'host2'])
def test_a_daemon_that_dies_under_the_copy(moves: Moves, who: str) -> None:
    server = moves.boot('host1')

    def moving() -> bool:
        task = moves.api.ok('GET', f'/servers/{server}')['server']['OS-EXT-STS:task_state']
        assert task is not None, moves.why(server)
        return str(task) != 'resize_prep'
    moves.act(server, 'migrate', {'host': 'host2'})
    wait_for(moving, 60, 'the guest to be stopped', pause=0.1)
    moves.lab.kill(who)
    moves.lab.start(who)
    assert moves.status(server, 'VERIFY_RESIZE')[HOST] == 'host2'
    assert moves.lab.running_on(server) == ['host2']
    moves.wait_seen(server, moves.word, GIB_SECTORS)


def test_nothing_is_copied_on_a_shared_directory(shared: Moves) -> None:
    server = shared.boot('host1')
    dest = shared.resize(server)
    assert dest == 'host2' and shared.lab.running_on(server) == ['host2']
    shared.wait_seen(server, shared.word, 2 * GIB_SECTORS)
    events = shared.why(server)['instanceAction']['events']
    assert 'carry_disks' not in [event['event'] for event in events]
    shared.act(server, 'confirmResize')
    shared.status(server, 'ACTIVE')
    assert shared.domains(server) == ['host2'] == shared.lab.running_on(server)
    assert shared.directories(server)
    shared.act(server, 'migrate')
    assert shared.status(server, 'VERIFY_RESIZE')[HOST] == 'host1'
    shared.act(server, 'revertResize')
    assert shared.status(server, 'ACTIVE')[HOST] == 'host2'
    shared.wait_seen(server, shared.word, 2 * GIB_SECTORS)
    assert shared.domains(server) == ['host2'] == shared.lab.running_on(server)
