"""Moves between hosts in a real OpenStack: the guest's port and its volumes go along.

`tools/lab.sh up --neighbours` adds two hosts to the lab. Each guest has one card on a network of Neutron, a volume of
Ceph and one in Cinder's NFS share; it is asked by SSH, over Neutron's network, whether it has what it wrote there.
After each move Neutron, Cinder and the records of claims are asked where they think it is.
"""
from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import Lab as Machines
from tests.integration.openstack.conftest import HOME, Lab
from tests.integration.openstack.truth import Truth

HOSTS = ('host1', 'host2')
#: Cinder's volume types, in the order in which the guest has them: vdb, vdc
KINDS = ('rbd1', 'nfs1')
HOST = 'OS-EXT-SRV-ATTR:host'


@pytest.fixture(scope='module')
def group(lab: Lab) -> Iterator[str]:
    """A security group of the administrator that lets SSH in."""
    network = lab.of('admin').network
    made = network.create_security_group(name=f'moves-{uuid.uuid4().hex[:6]}')
    network.create_security_group_rule(security_group_id=made.id, direction='ingress', ethertype='IPv4',
                                       protocol='tcp', port_range_min=22, port_range_max=22)
    yield str(made.name)
    network.delete_security_group(made.id)


@pytest.fixture(scope='module')
def flavors(lab: Lab) -> Iterator[tuple[str, str]]:
    compute, name = lab.of('admin').compute, f'moves-{uuid.uuid4().hex[:6]}'
    made = [compute.create_flavor(name=f'{name}-{ram}', ram=ram, vcpus=1, disk=1) for ram in (128, 160)]
    yield made[0].id, made[1].id
    for one in made:
        compute.delete_flavor(one)


class Guest:
    """A server of the administrator (who may name hosts) on host1, with a card and two volumes; its zone has host2."""

    def __init__(self, lab: Lab, machines: Machines, truth: Truth, group: str, zone: str,
                 flavors: tuple[str, str]) -> None:
        self.lab, self.machines, self.truth, self.flavors = lab, machines, truth, flavors
        self.cloud = lab.of('admin')
        self.word = f'mark{uuid.uuid4().hex[:12]}'
        self.network = self.cloud.network.find_network('demo').id
        self.volumes = [self.cloud.block_storage.create_volume(name=f'{self.word}-{kind}', size=1, volume_type=kind).id
                        for kind in KINDS]
        for volume in self.volumes:
            self.lab.until(lambda volume=volume: self._volume(volume)['status'] == 'available', 'the volume')
        image = self.cloud.image.find_image('minicompute-guest').id
        body = {'name': self.word, 'flavorRef': flavors[0], 'imageRef': image,
                'networks': [{'uuid': self.network}], 'key_name': 'demo', 'host': HOSTS[0], 'availability_zone': zone,
                'security_groups': [{'name': group}]}
        self.id = str(self.ok('POST', '/servers', {'server': body})['server']['id'])

    def prepare(self) -> None:
        """It runs, and has left its word on its disk and its volumes, and in its memory."""
        self.rests('ACTIVE', HOSTS[0])
        for volume in self.volumes:
            self.ok('POST', f'/servers/{self.id}/os-volume_attachments', {'volumeAttachment': {'volumeId': volume}})
            self.lab.until(lambda volume=volume: self._volume(volume)['status'] == 'in-use', 'the attachment')
        self.until_says('test -b /dev/vdb && test -b /dev/vdc && echo both', 'both')
        for place in ('vda bs=512 seek=409600', 'vdb bs=512', 'vdc bs=512'):
            self.says(f'echo {self.word} | dd of=/dev/{place} conv=fsync 2>/dev/null && sync')
        self.boot_id = self.says('cat /proc/sys/kernel/random/boot_id')
        self.address = self.cloud.network.get_port(next(iter(self.truth.bindings(self.id)))).fixed_ips[0]['ip_address']

    # -- requests --------------------------------------------------------------------------

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.cloud.compute.request(path, method, json=body, microversion='2.95')
        assert answer.status_code < 300, f'{method} {path}: {answer.status_code} {answer.text}'
        return answer.json() if answer.content else {}

    def act(self, name: str, argument: Any = None) -> None:
        self.ok('POST', f'/servers/{self.id}/action', {name: argument})

    def rests(self, status: str, host: str | None, patience: float = 300) -> None:
        def look() -> Any:
            shown = self.ok('GET', f'/servers/{self.id}')['server']
            if shown['OS-EXT-STS:task_state'] is None and shown['status'] in (status, 'ERROR'):
                return shown
            return None
        shown = self.lab.until(look, f'{self.id} to be {status}', patience)
        assert (shown['status'], shown[HOST]) == (status, host), self.why()

    def force_down(self, host: str, word: bool) -> None:
        (service,) = self.ok('GET', f'/os-services?binary=nova-compute&host={host}')['services']
        self.ok('PUT', f'/os-services/{service["id"]}', {'forced_down': word})
        self.lab.until(lambda: (self.ok('GET', f'/os-services?binary=nova-compute&host={host}')['services'][0]['state']
                                == 'down') == word, f'{host} to be {"down" if word else "up"}')

    def why(self) -> Any:
        """The newest action, step by step."""
        newest = self.ok('GET', f'/servers/{self.id}/os-instance-actions')['instanceActions'][0]
        return self.ok('GET', f'/servers/{self.id}/os-instance-actions/{newest["request_id"]}')

    def _volume(self, volume: str) -> dict[str, Any]:
        return dict(self.cloud.block_storage.get(f'/volumes/{volume}').json()['volume'])

    # -- the guest itself ------------------------------------------------------------------

    def says(self, command: str) -> str | None:
        """By SSH from the namespace of its network's DHCP server; None while it does not answer."""
        address = self.truth.neutron_ports(self.id)[0]['fixed_ips'][0]['ip_address']
        done = subprocess.run(
            ['ip', 'netns', 'exec', f'qdhcp-{self.network}', 'ssh', '-i', str(HOME / 'demo_key'), '-o', 'BatchMode=yes',
             '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'ConnectTimeout=5',
             '-o', 'ServerAliveInterval=5', '-o', 'ServerAliveCountMax=2', f'root@{address}', command],
            capture_output=True, text=True, timeout=120)
        return done.stdout.strip() if done.returncode == 0 else None

    def until_says(self, command: str, text: str) -> None:
        self.lab.until(lambda: (self.says(command) or '') == text, f'the guest to say {text!r} to {command!r}', 300)

    # -- what must hold ---------------------------------------------------------------------

    def is_whole(self, host: str, *, rebooted: bool, disk: bool = True) -> None:
        """All of it is on `host` and nowhere else, and the guest has what it had. `disk`: on its root disk, too."""
        self.until_says('echo here', 'here')
        found = {name: self.says(f'dd if=/dev/{place} bs=512 count=1 2>/dev/null | tr -d "\\000" | head -n 1')
                 for name, place in (('vda', 'vda skip=409600'), ('vdb', 'vdb'), ('vdc', 'vdc'))}
        assert (found['vdb'], found['vdc']) == (self.word, self.word), found
        assert (found['vda'] == self.word) == disk, found
        assert self.address in str(self.says('ip -4 addr show'))
        assert (self.says('cat /proc/sys/kernel/random/boot_id') != self.boot_id) == rebooted
        assert self.machines.running_on(self.id) == [host]
        (port,) = self.truth.neutron_ports(self.id)
        assert (port['binding:host_id'], port['status'], port['binding:vif_type']) == (host, 'ACTIVE', 'ovs')
        assert self.truth.bindings(self.id) == {port['id']: [(host, 'ACTIVE')]}
        self.volumes_are_at(host)
        assert self.truth.claims(self.id) == [host]
        assert self.truth.going_on([self.id]) == []

    def volumes_are_at(self, host: str | None, status: str = 'attached') -> None:
        found = self.truth.attachments(self.id)
        assert sorted(one['volume'] for one in found) == sorted(self.volumes), found
        assert {(one['host'], one['status']) for one in found} == {(host, status)}, found

    def end(self) -> None:
        """Gone, and nothing of it is left anywhere."""
        self.cloud.compute.delete_server(self.id, ignore_missing=True)
        self.lab.until(lambda: self.cloud.compute.find_server(self.id, ignore_missing=True) is None, 'its end')
        self.lab.until(lambda: self.truth.left(self.id) == {}, f'nothing to be left: {self.truth.left(self.id)}', 90)
        for volume in self.volumes:
            self.lab.until(lambda volume=volume: self._volume(volume)['status'] == 'available', 'the volume to be free')
            self.cloud.block_storage.delete_volume(volume)


@pytest.fixture
def guest(lab: Lab, machines: Machines, group: str, zone: str, flavors: tuple[str, str]) -> Iterator[Guest]:
    made = Guest(lab, machines, Truth(HOME, lab.of('admin')), group, zone, flavors)
    try:
        made.prepare()
        yield made
    finally:
        made.end()


def test_live_there_and_back(guest: Guest) -> None:
    """By two bindings of one port: the guest does not notice."""
    for host in (HOSTS[1], HOSTS[0]):
        guest.act('os-migrateLive', {'host': host, 'block_migration': 'auto'})
        guest.rests('ACTIVE', host)
        guest.is_whole(host, rebooted=False)


def test_cold_and_resized(guest: Guest) -> None:
    """A cold migration that is confirmed, then a resize that is taken back."""
    guest.act('migrate', {'host': HOSTS[1]})
    guest.rests('VERIFY_RESIZE', HOSTS[1])
    guest.volumes_are_at(HOSTS[1])
    assert guest.truth.claims(guest.id) == sorted(HOSTS)
    guest.act('confirmResize')
    guest.rests('ACTIVE', HOSTS[1])
    guest.is_whole(HOSTS[1], rebooted=True)
    guest.boot_id = guest.says('cat /proc/sys/kernel/random/boot_id')
    guest.act('resize', {'flavorRef': guest.flavors[1]})
    guest.rests('VERIFY_RESIZE', HOSTS[0])
    guest.act('revertResize')
    guest.rests('ACTIVE', HOSTS[1])
    guest.is_whole(HOSTS[1], rebooted=True)


def test_shelved_and_brought_back_elsewhere(guest: Guest) -> None:
    guest.act('shelve')
    guest.rests('SHELVED_OFFLOADED', None)
    guest.volumes_are_at(None, 'reserved')
    assert guest.truth.claims(guest.id) == []
    guest.act('unshelve', {'host': HOSTS[1]})
    guest.rests('ACTIVE', HOSTS[1])
    guest.is_whole(HOSTS[1], rebooted=True)


def test_evacuated_from_a_lost_host(guest: Guest) -> None:
    """Its power is cut: the guest is made anew elsewhere, with its port and volumes; what is left there goes later."""
    lost, machines = HOSTS[0], guest.machines
    machines.kill(lost, 'all')
    guest.force_down(lost, True)
    try:
        guest.act('evacuate', {'host': HOSTS[1]})
        guest.rests('SHUTOFF', HOSTS[1])         # since 2.95 it is its owner who starts it
        guest.volumes_are_at(HOSTS[1])
        guest.act('os-start')
        guest.rests('ACTIVE', HOSTS[1])
        guest.is_whole(HOSTS[1], rebooted=True, disk=False)
        assert machines.path(lost, 'state', 'instances', guest.id).exists(), 'nobody could remove it yet'
    finally:
        machines.start(lost)
        guest.force_down(lost, False)
    guest.lab.until(lambda: not machines.path(lost, 'state', 'instances', guest.id).exists(), 'the lost host to clean')
    assert guest.id not in machines.virsh(lost, 'list', '--all', '--uuid')
    guest.is_whole(HOSTS[1], rebooted=True, disk=False)
    (move,) = [one for one in guest.ok('GET', f'/os-migrations?instance_uuid={guest.id}')['migrations']
               if one['migration_type'] == 'evacuation']
    assert (move['source_compute'], move['dest_compute'], move['status']) == (lost, HOSTS[1], 'completed')
