"""Live migrations and evacuations of real guests between the hosts of the lab.

A guest counts aloud on its console, about once a second.  After a live migration the numbers go on: none is missing,
and none comes twice.  After an evacuation they begin anew.
"""
from __future__ import annotations

import contextlib
import pathlib
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import BOOT, Lab
from tests.integration.stack import BIN, wait_for

HOST = 'OS-EXT-SRV-ATTR:host'
TASK = 'OS-EXT-STS:task_state'
#: numbers that a guest says before and after it moves
SOME = 5


class Movers:
    """Servers of one test."""

    def __init__(self, lab: Lab, shared: bool = False) -> None:
        self.lab, self.api, self.shared = lab, lab.api, shared
        self.flavor = self.api.flavor(f'm-{uuid.uuid4().hex[:8]}', ram=128, disk=1)
        self.servers: list[str] = []

    def boot(self, host: str) -> str:
        server = self.lab.boot(f'mover-{len(self.servers)}', host, flavor=self.flavor, metadata={'count': 'true'})
        self.servers.append(server['id'])
        self.hears(server['id'])
        return str(server['id'])

    def hears(self, server: str, more_than: int = 0) -> list[int]:
        """Until the guest has said `SOME` numbers beyond `more_than`. -> all that it said"""
        wait_for(lambda: max(self.lab.counts(server), default=0) >= more_than + SOME, BOOT,
                 f'{server} to count beyond {more_than + SOME}', pause=0.5)
        return self.lab.counts(server)

    def act(self, server: str, name: str, argument: Any = None, expect: int = 202) -> Any:
        status, document = self.api.request('POST', f'/servers/{server}/action', {name: argument})
        assert status == expect, document
        return document

    def migrate(self, server: str, host: str, block: Any = 'auto') -> None:
        self.act(server, 'os-migrateLive', {'host': host, 'block_migration': block})

    def at_rest(self, server: str, status: str = 'ACTIVE', seconds: float = BOOT) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            shown = dict(self.api.ok('GET', f'/servers/{server}')['server'])
            return shown if shown[TASK] is None else None
        shown = dict(wait_for(look, seconds, f'{server} at rest', pause=0.5))
        assert shown['status'] == status, self.why(server)
        return shown

    def why(self, server: str) -> Any:
        newest = self.api.ok('GET', f'/servers/{server}/os-instance-actions')['instanceActions'][0]
        return self.api.ok('GET', f"/servers/{server}/os-instance-actions/{newest['request_id']}")

    def copying(self, server: str) -> dict[str, Any]:
        """-> the migration, once memory goes over"""
        def look() -> dict[str, Any] | None:
            found = self.api.ok('GET', f'/servers/{server}/migrations')['migrations']
            assert found or self.migration(server)['status'] == 'accepted', self.why(server)
            running = found and found[0]['status'] == 'running' and found[0]['memory_processed_bytes']
            return dict(found[0]) if running else None
        return dict(wait_for(look, BOOT, f'{server} to be copied', pause=0.2))

    def slow(self, server: str, host: str) -> None:
        """1 MiB a second: a copy of it can be met under way."""
        self.lab.virsh(host, 'migrate-setspeed', server, '1')

    def migration(self, server: str) -> dict[str, Any]:
        found = self.api.ok('GET', f'/os-migrations?instance_uuid={server}')['migrations']
        return dict(found[0])

    def places(self, server: str) -> dict[str, list[str]]:
        """Where something of it lies."""
        hosts = [host for host in self.lab.hosts if self.lab.is_on(host)]
        return {'domains': [h for h in hosts if server in self.lab.virsh(h, 'list', '--all', '--uuid').split()],
                'running': self.lab.running_on(server),
                'disks': [h for h in hosts if self.disks(h, server).exists()]}

    def disks(self, host: str, server: str) -> pathlib.Path:
        """The server's directory of this host. One that all hosts share is mounted only inside them."""
        own = self.lab.path(host, 'state', 'instances')
        return (self.lab.directory / 'shared' / 'instances' if self.shared else own) / server

    def only_on(self, server: str, host: str, *, shared: bool = False) -> None:
        wanted = {'domains': [host], 'running': [host], 'disks': self.lab.hosts if shared else [host]}
        wait_for(lambda: self.places(server) == wanted, BOOT, f'{server} on {host} alone: {self.places(server)}',
                 pause=1)


@contextlib.contextmanager
def movers_in(lab: Lab, *, shared: bool = False) -> Iterator[Movers]:
    made = Movers(lab, shared)
    try:
        yield made
    finally:
        for service in lab.api.ok('GET', '/os-services?binary=nova-compute')['services']:
            lab.api.request('PUT', f"/os-services/{service['id']}", {'status': 'enabled', 'forced_down': False})
        lab.delete(*made.servers)
    for server in made.servers:
        wait_for(lambda server=server: not any(made.places(server).values()), BOOT, f'the last of {server}', pause=1)


@pytest.fixture
def movers(lab: Lab) -> Iterator[Movers]:
    with movers_in(lab) as made:
        yield made


@pytest.fixture
def shared(shared_lab: Lab) -> Iterator[Movers]:
    with movers_in(shared_lab, shared=True) as made:
        yield made


def no_gap(numbers: list[int]) -> None:
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers


# -- live ------------------------------------------------------------------------

def test_with_its_disks_and_back(movers: Movers) -> None:
    server = movers.boot('host1')
    for source, dest in (('host1', 'host2'), ('host2', 'host1')):
        before = movers.lab.counts(server)
        movers.migrate(server, dest)
        assert movers.at_rest(server)[HOST] == dest
        movers.only_on(server, dest)
        no_gap(movers.hears(server, before[-1]))
        assert movers.migration(server)['status'] == 'completed', source
        events = movers.why(server)['instanceAction']['events']
        assert [e['details'] for e in events if e['event'] == 'finish_destination'] == [None], 'as the record says'
    assert 'backing file' in movers.lab.execute('host1', 'qemu-img', 'info', '-U', str(
        movers.lab.directory / 'node' / 'state' / 'instances' / server / 'disk'))


@pytest.mark.long
def test_on_disks_that_both_hosts_see(shared: Movers) -> None:
    server = shared.boot('host1')
    before = shared.lab.counts(server)
    status, answer = shared.api.request('POST', f'/servers/{server}/action', {
        'os-migrateLive': {'host': 'host2', 'block_migration': True}}, microversion='2.25')
    assert status == 400 and 'both hosts see' in answer['badRequest']['message']
    shared.migrate(server, 'host2')
    assert shared.at_rest(server)[HOST] == 'host2'
    shared.only_on(server, 'host2', shared=True)
    shared.hears(server)
    assert before


@pytest.mark.long
def test_called_off(movers: Movers) -> None:
    server = movers.boot('host1')
    movers.slow(server, 'host1')
    movers.migrate(server, 'host2')
    found = movers.copying(server)
    assert found['memory_total_bytes'] >= 128 << 20
    assert movers.api.request('DELETE', f'/servers/{server}/migrations/{found["id"]}')[0] == 202
    assert movers.at_rest(server)[HOST] == 'host1'
    movers.only_on(server, 'host1')
    no_gap(movers.hears(server, movers.lab.counts(server)[-1]))
    assert movers.migration(server)['status'] == 'cancelled'


@pytest.mark.parametrize('who', ['host1', 'host2', 'control'])
@pytest.mark.long
def test_a_daemon_dies_in_the_middle_of_the_copy(movers: Movers, who: str) -> None:
    """kill -9 of the compute of the source or the destination, or of a conductor: the copy goes on, and the records
    tell the truth of it."""
    server = movers.boot('host1')
    movers.slow(server, 'host1')
    movers.migrate(server, 'host2')
    found = movers.copying(server)
    if who == 'control':
        movers.lab.do('kill', 'control', 'conductor-1')
    else:
        movers.lab.kill(who)
    movers.lab.start(who)
    movers.lab.virsh('host1', 'migrate-setspeed', server, '1000')
    wait_for(lambda: movers.api.request('POST', f'/servers/{server}/migrations/{found["id"]}/action', {
        'force_complete': None})[0] in (202, 400, 409), 60, 'the order to be heard', pause=1)
    at = movers.at_rest(server)[HOST]
    assert at == 'host2' and movers.migration(server)['status'] == 'completed', movers.why(server)
    movers.only_on(server, 'host2')
    movers.hears(server, movers.lab.counts(server)[-1])


# -- a lost host -----------------------------------------------------------------

def force_down(lab: Lab, host: str, down: bool) -> int:
    service = lab.api.ok('GET', f'/os-services?binary=nova-compute&host={host}')['services'][0]
    return int(lab.api.request('PUT', f"/os-services/{service['id']}", {'forced_down': down})[0])


def test_cut_off_evacuated_and_healed(movers: Movers) -> None:
    """One running copy in the end, and the host says what it removed."""
    lab = movers.lab
    server = movers.boot('host1')
    status, answer = movers.api.request('POST', f'/servers/{server}/action', {'evacuate': {}})
    assert status == 400 and 'in use' in answer['badRequest']['message']
    lab.partition('host1')
    try:
        assert force_down(lab, 'host1', True) == 200
        movers.act(server, 'evacuate', {'host': 'host2'}, expect=200)
        assert movers.at_rest(server, 'SHUTOFF')[HOST] == 'host2'
        movers.act(server, 'os-start')
        movers.at_rest(server)
    finally:
        lab.heal('host1')
    movers.only_on(server, 'host2')
    wait_for(lambda: movers.migration(server)['status'] == 'completed', BOOT, 'the end of the evacuation', pause=1)
    evacuation = next(a for a in movers.api.ok('GET', f'/servers/{server}/os-instance-actions')['instanceActions']
                      if a['action'] == 'evacuate')
    events = movers.api.ok('GET', f"/servers/{server}/os-instance-actions/{evacuation['request_id']}")
    assert any('is back' in str(event['details']) for event in events['instanceAction']['events'])
    log = '\n'.join(path.read_text() for path in (lab.directory / 'log').glob('compute-host1*'))
    assert 'removed' in log.lower()
    assert force_down(lab, 'host1', False) == 200
    movers.hears(server)


@pytest.mark.long
def test_power_cut_on_shared_disks(shared: Movers) -> None:
    """What was on the disk is there still, and the lost host, back, leaves it alone."""
    lab = shared.lab
    server = shared.boot('host1')
    lab.kill('host1', 'all')
    try:
        assert force_down(lab, 'host1', True) == 200
        shared.act(server, 'evacuate', {}, expect=200)
        assert shared.at_rest(server, 'SHUTOFF')[HOST] == 'host2'
        assert (shared.disks('host2', server) / 'owner').read_text() == 'host2'
    finally:
        lab.start('host1')
        lab.wait_service('host1', 'down')
    wait_for(lambda: shared.migration(server)['status'] == 'completed', BOOT, 'the end of the evacuation', pause=1)
    assert force_down(lab, 'host1', False) == 200
    shared.act(server, 'os-start')
    shared.at_rest(server)
    shared.only_on(server, 'host2', shared=True)
    shared.hears(server)


@pytest.mark.long
def test_drain(movers: Movers) -> None:
    running, off = movers.boot('host1'), movers.boot('host1')
    movers.act(off, 'os-stop')
    movers.at_rest(off, 'SHUTOFF')
    env = {'PATH': '/usr/bin:/bin', 'OS_AUTH_TYPE': 'none', 'OS_USERNAME': 'admin', 'OS_PROJECT_NAME': 'admin',
           'OS_ENDPOINT': f'http://127.0.0.1:{movers.lab.port}/v2.1'}
    done = subprocess.run([str(BIN / 'minicompute'), 'host', 'drain', 'host1', '--wait', '-f', 'value'], env=env,
                          text=True, capture_output=True, timeout=BOOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.split()[-1:]) == ['moved'] and 'of 2' in done.stderr
    for server in (running, off):
        assert movers.at_rest(server, 'ACTIVE' if server == running else 'SHUTOFF')[HOST] != 'host1'
        assert 'host1' not in movers.places(server)['disks']
    no_gap(movers.hears(running, movers.lab.counts(running)[-1]))
