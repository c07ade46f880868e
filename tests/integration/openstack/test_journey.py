"""What a user does, first to last, by the unmodified `openstack` command: in one project, and then in another one.

Neither user is an administrator; the one thing that users may not do, a migration, is asked for by one who is. The
guests run on two hosts (tools/lab.sh up --neighbours), and what they have is looked at by SSH to a floating address.
"""
from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.test_console_proxy import read
from tests.integration.openstack.conftest import GUEST, HOME, Lab
from tests.integration.test_consoles_libvirt import open_socket

VERSIONS = ('--os-compute-api-version', '2.95', '--os-volume-api-version', '3.60')
UP = 'minicompute-guest: up'
HOST = 'OS-EXT-SRV-ATTR:host'


class Person:
    """A user, and what it takes to remove all that he made."""

    def __init__(self, lab: Lab, user: str, zone: str) -> None:
        self.lab, self.user, self.zone = lab, user, zone
        self.name = f'day-{uuid.uuid4().hex[:6]}'
        self.undo: list[tuple[str, ...]] = []
        self.ids: dict[str, list[str]] = {}

    def do(self, *words: str) -> str:
        return self.lab.client(self.user, *VERSIONS, *words)

    def look(self, *words: str) -> Any:
        return json.loads(self.do(*words, '-f', 'json'))

    def make(self, *words: str) -> dict[str, Any]:
        made: dict[str, Any] = self.look(*words)
        noun = words[:words.index('create')]
        wait = ('--wait',) if noun == ('server',) else ()
        self.undo.append((*noun, 'delete', *wait, made['id']))
        self.ids.setdefault(' '.join(noun), []).append(made['id'])
        return made

    def delete_all(self) -> None:
        while self.undo:
            words = self.undo.pop()
            self.do(*words)
            if words[:3] == ('server', 'remove', 'volume'):
                self.status('volume', 'show', words[-1], wanted='available')

    def status(self, *words: str, wanted: str) -> None:
        def look() -> bool:
            found = str(self.look(*words)['status'])
            assert 'error' not in found.lower(), f'{words}: {found}'
            return found == wanted
        self.lab.until(look, f'{" ".join(words)} to be {wanted}')

    # -- what it takes ---------------------------------------------------------------------

    def network(self, prefix: str) -> None:
        net = self.make('network', 'create', self.name)
        subnet = self.make('subnet', 'create', self.name, '--network', net['id'], '--subnet-range', f'{prefix}.0/24')
        router = self.make('router', 'create', self.name)
        self.do('router', 'set', '--external-gateway', 'public', router['id'])
        self.do('router', 'add', 'subnet', router['id'], subnet['id'])
        self.undo.append(('router', 'remove', 'subnet', router['id'], subnet['id']))
        group = self.make('security', 'group', 'create', self.name)
        for rule in (('--protocol', 'tcp', '--dst-port', '22'), ('--protocol', 'icmp')):
            self.do('security', 'group', 'rule', 'create', *rule, '--ingress', group['id'])
        self.do('keypair', 'create', '--public-key', str(HOME / 'demo_key.pub'), self.name)
        self.undo.append(('keypair', 'delete', self.name))

    def boot(self, *source: str) -> str:
        """-> the id of a server that has said that it is up"""
        made = self.make('server', 'create', f'{self.name}-{len(self.undo)}', '--flavor', 'm1.nano', *source,
                         '--network', self.name, '--security-group', self.name, '--key-name', self.name,
                         '--availability-zone', self.zone, '--wait')
        assert made['status'] == 'ACTIVE', made
        self.lab.until(lambda: UP in self.do('console', 'log', 'show', made['id']), 'the guest to come up')
        return str(made['id'])

    def reach(self, server: str) -> str:
        """-> its floating address, at which it answers"""
        address = str(self.make('floating', 'ip', 'create', 'public')['floating_ip_address'])
        self.do('server', 'add', 'floating', 'ip', server, address)
        self.says(address, 'echo here', 'here')
        return address

    def says(self, address: str, command: str, wanted: str) -> None:
        self.lab.until(lambda: ssh(address, command) == wanted, f'{address} to say {wanted!r} to {command!r}', 400)


def ssh(address: str, command: str) -> str | None:
    done = subprocess.run(
        ['ssh', '-i', str(HOME / 'demo_key'), '-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=no',
         '-o', 'UserKnownHostsFile=/dev/null', '-o', 'ConnectTimeout=5', '-o', 'ServerAliveInterval=5',
         '-o', 'ServerAliveCountMax=2', f'root@{address}', command], capture_output=True, text=True, timeout=120)
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.fixture(params=[('demo', 'other', '10.97.1'), ('other', 'demo', '10.97.2')], ids=['demo', 'other'])
def people(lab: Lab, zone: str, request: pytest.FixtureRequest) -> Iterator[tuple[Person, Person]]:
    """One with a network, and one of another project who has nothing."""
    user, other, prefix = request.param
    one = Person(lab, user, zone)
    try:
        one.network(prefix)
        yield one, Person(lab, other, zone)
    finally:
        one.delete_all()


def test_a_day_in_a_project(lab: Lab, people: tuple[Person, Person]) -> None:
    one, other = people
    image = one.make('image', 'create', one.name, '--file', str(GUEST), '--disk-format', 'qcow2',
                     '--container-format', 'bare', '--private')['id']
    server = one.boot('--image', image)
    address = one.reach(server)
    consoles_open(one, server)
    a_volume_comes_and_grows(one, server, address)
    snapshot = one.make('server', 'image', 'create', server, '--name', f'{one.name}-copy', '--wait')
    one.ids.setdefault('image', []).append(snapshot['id'])
    one.undo[-1] = ('image', 'delete', snapshot['id'])
    resized_and_moved(lab, one, server, address)
    from_a_volume(one, image)
    nobody_else_sees(lab, one, other)
    ids = dict(one.ids)
    one.delete_all()
    for noun in ('server', 'volume', 'image', 'network', 'router', 'floating ip', 'security group'):
        left = {row['ID'] for row in one.look(*noun.split(), 'list')}
        assert not left & set(ids[noun]), f'{noun}: {left}'


def consoles_open(one: Person, server: str) -> None:
    """Both kinds, once each: a second use of the URL is refused."""
    url = one.look('console', 'url', 'show', '--novnc', server)['url']
    viewer = open_socket(url)
    assert read(viewer, 12) == b'RFB 003.008\n'
    viewer.close()
    with pytest.raises(Exception, match='403'):
        open_socket(url)
    viewer = open_socket(one.look('console', 'url', 'show', '--serial', server)['url'])
    viewer.socket.settimeout(5)
    mark, seen = f'typed-{uuid.uuid4().hex[:8]}', b''

    def echoed() -> bool:
        nonlocal seen
        viewer.send(f'{mark}\r'.encode())
        try:
            while mark.encode() not in seen:
                seen += read(viewer, 1)
        except TimeoutError:
            return False
        return True
    one.lab.until(echoed, 'the guest to echo what is typed')
    viewer.close()
    one.lab.until(lambda: mark in one.do('console', 'log', 'show', server), 'the log to have what was typed')


def a_volume_comes_and_grows(one: Person, server: str, address: str) -> None:
    volume = one.make('volume', 'create', one.name, '--size', '1', '--type', 'rbd1')['id']
    one.status('volume', 'show', volume, wanted='available')
    one.do('server', 'add', 'volume', server, volume)
    one.undo.append(('server', 'remove', 'volume', server, volume))
    one.status('volume', 'show', volume, wanted='in-use')
    one.says(address, 'cat /sys/block/vdb/size', '2097152')
    assert ssh(address, 'echo mine | dd of=/dev/vdb bs=512 conv=fsync 2>/dev/null && sync && echo ok') == 'ok'
    one.do('volume', 'set', '--size', '2', volume)
    one.says(address, 'cat /sys/block/vdb/size', '4194304')
    one.status('volume', 'show', volume, wanted='in-use')


def resized_and_moved(lab: Lab, one: Person, server: str, address: str) -> None:
    """The owner resizes, the administrator migrates, cold and live; disk, volume and address go along."""
    one.do('server', 'resize', '--flavor', 'm1.tiny', '--wait', server)
    assert one.look('server', 'show', server)['status'] == 'VERIFY_RESIZE'
    one.do('server', 'resize', 'confirm', server)
    one.status('server', 'show', server, wanted='ACTIVE')
    admin = Person(lab, 'admin', one.zone)
    for words in ((), ('--live-migration',)):
        before = admin.look('server', 'show', server)[HOST]
        admin.do('server', 'migrate', *words, '--wait', server)
        if not words:
            admin.do('server', 'resize', 'confirm', server)
        admin.status('server', 'show', server, wanted='ACTIVE')
        assert admin.look('server', 'show', server)[HOST] not in (before, None)
        one.says(address, 'dd if=/dev/vdb bs=512 count=1 2>/dev/null | head -n 1', 'mine')
    assert one.look('server', 'show', server)['flavor']['ram'] == 512


def from_a_volume(one: Person, image: str) -> None:
    volume = one.make('volume', 'create', f'{one.name}-root', '--image', image, '--size', '1', '--type', 'rbd1')['id']
    one.status('volume', 'show', volume, wanted='available')
    server = one.boot('--volume', volume)
    shown = one.look('server', 'show', server)
    assert [row['id'] for row in shown['volumes_attached']] == [volume], shown
    assert one.look('volume', 'show', volume)['status'] == 'in-use'
    one.reach(server)


def nobody_else_sees(lab: Lab, one: Person, other: Person) -> None:
    for noun in ('server', 'volume', 'image', 'network', 'router', 'floating ip', 'security group'):
        listed = {row['ID'] for row in other.look(*noun.split(), 'list')}
        assert not listed & set(one.ids[noun]), noun
        shown = lab.client(other.user, *VERSIONS, *noun.split(), 'show', one.ids[noun][0], code=1)
        assert 'o ' in shown and one.ids[noun][0] in shown, shown
    server = one.ids['server'][0]
    compute = lab.of(other.user).compute
    for method, path, body in (
            ('GET', '', None), ('DELETE', '', None), ('GET', '/os-volume_attachments', None),
            ('GET', '/os-interface', None), ('GET', '/os-instance-actions', None),
            ('POST', '/action', {'os-stop': None}),
            ('POST', '/remote-consoles', {'remote_console': {'protocol': 'vnc', 'type': 'novnc'}})):
        answer = compute.request(f'/servers/{server}{path}', method, json=body, microversion='2.95')
        assert answer.status_code == 404, f'{method} {path}: {answer.status_code} {answer.text}'
