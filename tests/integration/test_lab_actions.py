"""What an owner does with a guest in its life, on the hosts of a lab: what the API says, what libvirt has, and what the
guest itself shows on its console. In the end nothing is wrong, by the timelines and by the audit.
"""
from __future__ import annotations

import base64
import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.api.openstack.api_version_request import parse
from minicompute.api.openstack.compute.schemas import server_diagnostics
from tests.integration.lab import BOOT, Lab, named_lab, running
from tests.integration.stack import BIN, Api, wait_for

pytestmark = pytest.mark.long

HOST = 'OS-EXT-SRV-ATTR:host'
TASK = 'OS-EXT-STS:task_state'
MIB, GIB = 1 << 20, 1 << 30
SETTINGS = '[DEFAULT]\nreclaim_instance_interval = 3600\nresize_confirm_window = 5\n'
#: said at each boot: how large the disks are; then what appears as a second disk is given a word
SCRIPT = '''#!/bin/sh
size() { [ ! -e "/sys/block/$1" ] || echo $(($(cat "/sys/block/$1/size") * 512)); }
echo "act-test: TITLE vda=$(size vda) vdb=$(size vdb)" > /dev/ttyS0
[ -n "WORD" ] || exit 0
(until [ -b /dev/vdb ]; do sleep 1; done
echo "WORD" | dd of=/dev/vdb conv=fsync
echo 'act-test: written' > /dev/ttyS0) > /dev/null 2>&1 &
'''


class Guests:
    """The servers of one test."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.api = lab, lab.api
        self.volumes = Api(f'http://127.0.0.1:{lab.port}/volume/v3')
        self.flavor = self.api.flavor(f'a-{uuid.uuid4().hex[:8]}', ram=128, disk=1)
        self.servers: list[str] = []

    def boot(self, host: str, word: str = '') -> str:
        server = str(self.lab.boot('actor', host, flavor=self.flavor, user_data=script('first', word),
                                   metadata={'count': 'true'})['id'])
        self.servers.append(server)
        assert self.told(server) == ('first', str(GIB), '')
        self.counts_on(server, 0)
        return server

    def act(self, server: str, name: str, argument: Any = None, expect: int = 202) -> Any:
        status, document = self.api.request('POST', f'/servers/{server}/action', {name: argument})
        assert status == expect, document
        return document

    def rest(self, server: str, status: str = 'ACTIVE') -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            shown = dict(self.api.ok('GET', f'/servers/{server}')['server'])
            assert shown['status'] != 'ERROR', shown.get('fault')
            return shown if shown[TASK] is None and shown['status'] == status else None
        return dict(wait_for(look, BOOT, f'{server} {status}: {self.timelines(server)[0]}', pause=0.5))

    def idle(self, server: str) -> None:
        """Until the newest action has ended, for those that change no state."""
        def look() -> bool:
            newest = self.api.ok('GET', f'/servers/{server}/os-instance-actions')['instanceActions'][0]
            events = self.api.ok('GET', f"/servers/{server}/os-instance-actions/{newest['request_id']}")
            found = events['instanceAction']['events']
            return bool(found) and all(event['finish_time'] for event in found)
        wait_for(look, BOOT, f'{server} idle', pause=0.5)
        self.rest(server)

    def domain(self, host: str, server: str) -> str:
        return self.lab.virsh(host, 'domstate', server)

    def domains(self, server: str) -> list[str]:
        return [host for host in self.lab.hosts if server in self.lab.virsh(host, 'list', '--all', '--uuid').split()]

    def told(self, server: str) -> tuple[str, str, str]:
        """What the guest said at its last boot."""
        def look() -> Any:
            text = self.lab.console(server)
            return re.findall(r'act-test: (\w+) vda=(\d+) vdb=(\d*)', text)[-1:]
        return tuple(wait_for(look, BOOT, f'{server} to say what it has', pause=0.5)[0])

    def last(self, server: str) -> int:
        return ([0] + self.lab.counts(server))[-1]

    def counts_on(self, server: str, before: int) -> None:
        wait_for(lambda: self.last(server) > before + 1, BOOT, f'{server} to count beyond {before}', pause=0.5)

    def volume(self, name: str) -> str:
        made = str(self.volumes.ok('POST', '/volumes', {'volume': {'name': name, 'size': 1}})['volume']['id'])
        self.volume_is(made, 'available')
        return made

    def volume_is(self, volume: str, status: str) -> None:
        wait_for(lambda: self.volumes.ok('GET', f'/volumes/{volume}')['volume']['status'] == status, BOOT,
                 f'volume {volume} {status}', pause=0.5)

    def plugged(self, host: str, server: str) -> str:
        """The second disk."""
        lines = self.lab.virsh(host, 'domblklist', server).splitlines()
        return next((line.split()[-1] for line in lines if line.split()[:1] == ['vdb']), '')

    def timelines(self, server: str) -> list[dict[str, Any]]:
        """Of all that was done to it, as the command line tells them; the newest first."""
        actions = self.api.ok('GET', f'/servers/{server}/os-instance-actions')['instanceActions']
        return [json.loads(self.told_by('minicompute', '--json', 'timeline', server, action['request_id']))
                for action in actions]

    def told_by(self, program: str, *words: str) -> str:
        env = {'PATH': '/usr/bin:/bin', 'OS_AUTH_TYPE': 'none', 'OS_USERNAME': 'admin', 'OS_PROJECT_NAME': 'admin',
               'OS_ENDPOINT': self.api.endpoint}
        done = subprocess.run([str(BIN / program), *words], env=env, text=True, capture_output=True, timeout=BOOT)
        return done.stdout if done.returncode == 0 else f'{done.returncode}: {done.stdout} {done.stderr}'

    def failed(self, server: str) -> set[str]:
        """The actions of which a step failed."""
        found = self.timelines(server)
        assert any(one['action'] == 'create' and one['steps'] for one in found)
        return {one['action'] for one in found for step in one['steps'] if step['result'] != 'Success'}

    def audited(self) -> None:
        def look() -> str:
            return self.told_by('minicompute-manage', '--config-file', str(self.lab.directory / 'minicompute.conf'),
                                '--config-file', str(self.lab.directory / 'local.conf'), 'audit').strip()
        wait_for(lambda: look() == 'Nothing is wrong.', BOOT, f'an audit that finds nothing: {look()}', pause=2)

    def end(self) -> None:
        for server in self.servers:
            self.api.request('POST', f'/servers/{server}/action', {'forceDelete': None})
        for server in self.servers:
            self.gone(server)

    def gone(self, server: str) -> None:
        wait_for(lambda: self.api.request('GET', f'/servers/{server}')[0] == 404, BOOT, f'the end of {server}')
        assert self.domains(server) == []


def script(title: str, word: str = '') -> str:
    return base64.b64encode(SCRIPT.replace('TITLE', title).replace('WORD', word).encode()).decode()


@pytest.fixture(scope='module')
def acting() -> Iterator[Lab]:
    """With a while in which a delete may be taken back, and resizes that confirm themselves."""
    with running(named_lab('a', 3), '--hosts', '2', settings=SETTINGS) as lab:
        yield lab


@pytest.fixture
def guests(acting: Lab) -> Iterator[Guests]:
    made = Guests(acting)
    try:
        yield made
    finally:
        made.end()
    made.audited()


# -- what its owner does to a guest that stays where it is ------------------------------

def test_a_life_on_one_host(guests: Guests) -> None:
    server = guests.boot('host1')
    measured(guests, server)
    stopped_in_its_tracks(guests, server)
    locked(guests, server)
    asked_of_the_guest(guests, server)
    wired_again(guests, server)
    rescued(guests, server)
    assert guests.failed(server) == {'changePassword'}
    taken_back(guests, server)


def measured(guests: Guests, server: str) -> None:
    found = {}
    for version in ('2.1', '2.48'):
        status, found[version] = guests.api.request('GET', f'/servers/{server}/diagnostics', microversion=version)
        assert status == 200 and server_diagnostics.answer.wrong(found[version], parse(version)) is None
    old, new = found['2.1'], found['2.48']
    assert old['memory'] == 128 * 1024 and old['cpu0_time'] > 0 and old['vda_read'] > 0
    assert (new['state'], new['driver'], new['config_drive'], new['num_cpus']) == ('running', 'libvirt', True, 1)
    assert new['memory_details']['maximum'] == 128 and new['disk_details'][0]['read_bytes'] > 0
    card, = guests.api.ok('GET', f'/servers/{server}/os-interface')['interfaceAttachments']
    assert [nic['mac_address'] for nic in new['nic_details']] == [card['mac_addr']]


def stopped_in_its_tracks(guests: Guests, server: str) -> None:
    number = guests.lab.virsh('host1', 'domid', server)
    guests.act(server, 'pause')
    guests.rest(server, 'PAUSED')
    assert guests.domain('host1', server) == 'paused'
    before = guests.last(server)
    guests.act(server, 'unpause')
    guests.rest(server)
    guests.counts_on(server, before)
    assert guests.domain('host1', server) == 'running' and guests.lab.virsh('host1', 'domid', server) == number

    before = guests.last(server)
    guests.act(server, 'suspend')
    guests.rest(server, 'SUSPENDED')
    assert guests.domain('host1', server) == 'shut off'
    assert server in guests.lab.virsh('host1', 'list', '--all', '--with-managed-save', '--uuid').split()
    guests.act(server, 'resume')
    guests.rest(server)
    guests.counts_on(server, before)
    counts = guests.lab.counts(server)
    assert counts == sorted(counts), 'it went on where it was, and did not begin anew'
    assert server not in guests.lab.virsh('host1', 'list', '--all', '--with-managed-save', '--uuid').split()


def locked(guests: Guests, server: str) -> None:
    guests.act(server, 'lock', {'locked_reason': 'on display'})
    shown = guests.rest(server)
    assert (shown['locked'], shown['locked_reason']) == (True, 'on display')
    owner = Api(guests.api.endpoint, user='ann')
    status, answer = owner.request('POST', f'/servers/{server}/action', {'os-stop': None})
    assert status == 409 and answer['conflictingRequest']['message'] == f'Instance {server} is locked'
    assert guests.domain('host1', server) == 'running'
    guests.act(server, 'unlock')
    shown = guests.rest(server)
    assert (shown['locked'], shown['locked_reason']) == (False, None)


def asked_of_the_guest(guests: Guests, server: str) -> None:
    guests.act(server, 'trigger_crash_dump')
    guests.lab.wait_console(server, 'NMI')
    status, answer = guests.api.request('POST', f'/servers/{server}/action', {'changePassword': {'adminPass': 'n3w'}})
    assert status == 409 and 'Guest agent is not enabled' in answer['conflictingRequest']['message'], answer
    guests.rest(server)


def wired_again(guests: Guests, server: str) -> None:
    """Somebody has taken the guest's address out of libvirt's DHCP server."""
    card, = guests.api.ok('GET', f'/servers/{server}/os-interface')['interfaceAttachments']
    line = f"<host mac='{card['mac_addr']}' ip='{card['fixed_ips'][0]['ip_address']}'/>"
    network = guests.lab.virsh('host1', 'net-list', '--name').split()[0]
    guests.lab.virsh('host1', 'net-update', network, 'delete', 'ip-dhcp-host', line)
    assert card['mac_addr'] not in guests.lab.virsh('host1', 'net-dumpxml', network)
    guests.act(server, 'injectNetworkInfo')
    guests.idle(server)
    assert guests.lab.virsh('host1', 'net-dumpxml', network).count(card['mac_addr']) == 1


def rescued(guests: Guests, server: str) -> None:
    assert guests.act(server, 'rescue', {'adminPass': 's3cret'}, expect=200) == {'adminPass': 's3cret'}
    guests.rest(server, 'RESCUE')
    assert 'disk.rescue' in guests.lab.virsh('host1', 'domblklist', server)
    assert guests.told(server) == ('first', str(64 * MIB), str(GIB)), 'its own disk is the second'
    guests.act(server, 'unrescue')
    guests.rest(server)
    assert 'disk.rescue' not in guests.lab.virsh('host1', 'domblklist', server)
    wait_for(lambda: guests.told(server) == ('first', str(GIB), ''), BOOT, 'its own disk again', pause=1)


def taken_back(guests: Guests, server: str) -> None:
    guests.api.ok('DELETE', f'/servers/{server}')
    guests.rest(server, 'SOFT_DELETED')
    assert guests.domain('host1', server) == 'shut off'
    guests.act(server, 'restore')
    guests.rest(server)
    assert guests.domain('host1', server) == 'running'
    assert guests.told(server) == ('first', str(GIB), '')
    guests.api.ok('DELETE', f'/servers/{server}')
    guests.rest(server, 'SOFT_DELETED')
    guests.act(server, 'forceDelete')
    guests.gone(server)
    instances = guests.lab.execute('host1', 'ls', '-A', str(guests.lab.directory / 'node/state/instances')).split()
    assert server not in instances


# -- and to its disks -------------------------------------------------------------------

def test_disks_images_and_moves(guests: Guests) -> None:
    word = f'mark-{uuid.uuid4().hex[:12]}'
    server = guests.boot('host1', word)
    volume = swapped(guests, server, word)
    backed_up(guests, server)
    rebuilt(guests, server)
    moved_by_the_shelf(guests, server, volume)
    grown(guests, server)
    assert guests.failed(server) == set()
    guests.act(server, 'forceDelete')
    guests.gone(server)
    guests.volume_is(volume, 'available')
    guests.volumes.ok('DELETE', f'/volumes/{volume}')


def swapped(guests: Guests, server: str, word: str) -> str:
    """-> the volume that is its second disk now"""
    one, two = guests.volume('one'), guests.volume('two')
    path = f'/servers/{server}/os-volume_attachments'
    guests.api.ok('POST', path, {'volumeAttachment': {'volumeId': one}})
    guests.lab.wait_console(server, 'act-test: written')
    assert one in guests.plugged('host1', server)
    guests.api.ok('PUT', f'{path}/{one}', {'volumeAttachment': {'volumeId': two}})
    guests.volume_is(one, 'available')
    guests.volume_is(two, 'in-use')
    guests.idle(server)
    assert [each['volumeId'] for each in guests.api.ok('GET', path)['volumeAttachments']] == [two]
    file = guests.plugged('host1', server)
    assert two in file
    with open(file, 'rb') as disk:
        assert word.encode() in disk.read(), 'what the guest wrote came along'
    guests.counts_on(server, guests.last(server))
    guests.volumes.ok('DELETE', f'/volumes/{one}')
    return two


def backed_up(guests: Guests, server: str) -> None:
    made = []
    for _ in range(2):
        backup = {'name': f'backup-{server}', 'backup_type': 'daily', 'rotation': 1}
        made.append(guests.act(server, 'createBackup', backup)['image_id'])
        guests.rest(server)
        guests.idle(server)

    def images() -> list[tuple[str, str]]:
        status, document = guests.api.request('GET', f'/images/detail?name=backup-{server}', microversion='2.35')
        assert status == 200, document
        return [(image['id'], image['status']) for image in document['images']]
    wait_for(lambda: images() == [(made[1], 'ACTIVE')], BOOT, f'the second backup alone: {images()}', pause=1)
    assert guests.domain('host1', server) == 'running'
    assert guests.api.request('DELETE', f'/images/{made[1]}', microversion='2.35')[0] == 204


def rebuilt(guests: Guests, server: str) -> None:
    guests.act(server, 'rebuild', {'imageRef': guests.lab.image(), 'name': 'anew', 'user_data': script('second')})
    assert guests.rest(server)['name'] == 'anew'
    wait_for(lambda: guests.told(server) == ('second', str(GIB), str(GIB)), BOOT, 'its new user data', pause=1)
    assert guests.domains(server) == ['host1']


def moved_by_the_shelf(guests: Guests, server: str, volume: str) -> None:
    guests.act(server, 'shelve')
    assert guests.rest(server, 'SHELVED_OFFLOADED')[HOST] is None
    assert guests.domains(server) == []
    guests.act(server, 'unshelve', {'host': 'host2'})
    assert guests.rest(server)[HOST] == 'host2'
    assert guests.domains(server) == ['host2'] and volume in guests.plugged('host2', server)
    assert guests.told(server) == ('second', str(GIB), str(GIB))


def grown(guests: Guests, server: str) -> None:
    """Nobody confirms it."""
    larger = guests.api.flavor(f'a-{uuid.uuid4().hex[:8]}', ram=160, disk=2)
    guests.act(server, 'resize', {'flavorRef': larger})
    host = guests.rest(server)[HOST]
    wait_for(lambda: guests.domains(server) == [host], BOOT, f'{server} on {host} alone', pause=1)
    assert guests.told(server) == ('second', str(2 * GIB), str(GIB))
    assert guests.timelines(server)[0]['action'] == 'confirmResize'


# -- and to several ---------------------------------------------------------------------

def test_a_group_whose_members_keep_apart(guests: Guests) -> None:
    group = guests.api.ok('POST', '/os-server-groups', {'server_group': {
        'name': 'apart', 'policy': 'anti-affinity'}})['server_group']['id']
    for number in range(3):
        server = {'name': f'apart-{number}', 'flavorRef': guests.flavor, 'imageRef': guests.lab.image(),
                  'networks': 'auto', 'config_drive': True}
        made = guests.api.ok('POST', '/servers', {'server': server, 'os:scheduler_hints': {'group': group}})['server']
        guests.servers.append(made['id'])
        guests.api.wait_status(made['id'], 'ACTIVE' if number < 2 else 'ERROR', BOOT)
    one, two, third = guests.servers
    assert sorted(guests.lab.running_on(one) + guests.lab.running_on(two)) == ['host1', 'host2']
    shown = guests.api.ok('GET', f'/servers/{third}')['server']
    assert 'No valid host' in shown['fault']['message'] and guests.domains(third) == []
    # Nor does a move put them together.
    status, answer = guests.api.request('POST', f'/servers/{one}/action', {'os-migrateLive': {
        'host': guests.lab.running_on(two)[0], 'block_migration': 'auto'}})
    assert status in (202, 400), answer
    guests.idle(one)
    assert sorted(guests.lab.running_on(one) + guests.lab.running_on(two)) == ['host1', 'host2']
    members = guests.api.ok('GET', f'/os-server-groups/{group}')['server_group']['members']
    assert set(members) == {one, two, third}
    guests.end()
    assert guests.api.request('DELETE', f'/os-server-groups/{group}')[0] == 204
