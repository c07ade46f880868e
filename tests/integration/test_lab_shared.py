"""Moves that stop half way, of real guests whose disks both hosts of the lab see: afterwards the disks are there, and
belong to the host where the guest is."""
from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.integration.lab import Lab
from tests.integration.stack import wait_for
from tests.integration.test_lab_moves import HOST, Movers, force_down, no_gap, shared  # noqa: F401

pytestmark = pytest.mark.long

# Fixtures of another module.
# ruff: noqa: F811

#: takes the name of a guest on a host where that is to be made
SQUATTER = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
</domain>
"""


def owner(movers: Movers, server: str) -> str:
    return (movers.disks('host1', server) / 'owner').read_text()


def test_a_live_migration_that_is_called_off(shared: Movers) -> None:
    server = shared.boot('host1')
    shared.slow(server, 'host1')
    shared.migrate(server, 'host2')
    found = shared.copying(server)
    assert shared.api.request('DELETE', f'/servers/{server}/migrations/{found["id"]}')[0] == 202
    assert shared.at_rest(server)[HOST] == 'host1'
    assert shared.migration(server)['status'] == 'cancelled'
    shared.only_on(server, 'host1', shared=True)
    assert owner(shared, server) == 'host1'
    no_gap(shared.hears(server, shared.lab.counts(server)[-1]))
    assert shared.lab.counts(server)[0] == 1, 'what it had said before is there still'
    shared.act(server, 'reboot', {'type': 'HARD'})
    shared.at_rest(server)
    shared.hears(server)


def test_a_live_migration_whose_hosts_both_die(shared: Movers) -> None:
    """Their daemons: whoever has the guest when they are back, has the disks, and the other leaves them alone."""
    server = shared.boot('host1')
    shared.slow(server, 'host1')
    shared.migrate(server, 'host2')
    shared.copying(server)
    for host in ('host1', 'host2'):
        shared.lab.kill(host)
    shared.lab.virsh('host1', 'migrate-setspeed', server, '1000')
    wait_for(lambda: shared.lab.running_on(server) == ['host2'], 120, 'the guest to arrive by itself', pause=1)
    for host in ('host1', 'host2'):
        shared.lab.start(host)
    assert shared.at_rest(server)[HOST] == 'host2'
    shared.only_on(server, 'host2', shared=True)
    assert owner(shared, server) == 'host2'
    shared.hears(server, shared.lab.counts(server)[-1])


def test_an_evacuation_that_is_rolled_back(shared: Movers) -> None:
    """The new host cannot make the domain: the disks are the lost host's again, and its guest boots from them."""
    lab = shared.lab
    server = shared.boot('host1')
    name = shared.api.ok('GET', f'/servers/{server}')['server']['OS-EXT-SRV-ATTR:instance_name']
    lab.path('host2', 'squatter.xml').write_text(SQUATTER.format(name=name))
    lab.virsh('host2', 'define', f'{lab.directory}/node/squatter.xml')
    lab.kill('host1', 'all')
    try:
        assert force_down(lab, 'host1', True) == 200
        shared.act(server, 'evacuate', {}, expect=200)
        shown = shared.at_rest(server, 'ERROR')
        assert shown[HOST] == 'host1' and 'already exists' in shown['fault']['message']
        assert owner(shared, server) == 'host1'
    finally:
        lab.virsh('host2', 'undefine', name)
        lab.start('host1')
    assert force_down(lab, 'host1', False) == 200
    shared.act(server, 'os-resetState', {'state': 'active'})
    shared.act(server, 'reboot', {'type': 'HARD'})
    shared.at_rest(server)
    shared.only_on(server, 'host1', shared=True)
    shared.hears(server)


@pytest.mark.parametrize('stopped', [False, True])
def test_the_lost_host_is_back_in_the_middle(shared: Movers, stopped: bool) -> None:
    """Its power is back before the new host has reported: it must not remove what it finds."""
    lab = shared.lab
    server = shared.boot('host1')
    if stopped:
        shared.act(server, 'os-stop')
        shared.at_rest(server, 'SHUTOFF')
    lab.kill('host1', 'all')
    try:
        assert force_down(lab, 'host1', True) == 200
        shared.act(server, 'evacuate', {}, expect=200)
    finally:
        lab.start('host1')
        lab.wait_service('host1', 'down')
    assert shared.at_rest(server, 'SHUTOFF')[HOST] == 'host2'
    wait_for(lambda: shared.migration(server)['status'] == 'completed', 90, 'the end of the evacuation', pause=1)
    assert force_down(lab, 'host1', False) == 200
    assert owner(shared, server) == 'host2'
    shared.act(server, 'os-start')
    shared.at_rest(server)
    shared.only_on(server, 'host2', shared=True)
    shared.hears(server)


# -- through a tunnel --------------------------------------------------------------------

@pytest.fixture
def tunnelled(shared: Movers) -> Iterator[Movers]:
    """QEMU without TLS of its own: what it sends goes through the connection of the two libvirtds."""
    lab, local = shared.lab, shared.lab.directory / 'local.conf'
    before = local.read_text()
    local.write_text('[libvirt]\nlive_migration_with_native_tls = false\n')
    _restart(lab, '0')
    yield shared
    local.write_text(before)
    _restart(lab, '1')


def _restart(lab: Lab, forced: str) -> None:
    for host in lab.hosts:
        config: pathlib.Path = lab.directory / 'hosts' / host / 'libvirt' / 'etc' / 'qemu.conf'
        config.write_text(re.sub(r'migrate_tls_force = \d', f'migrate_tls_force = {forced}', config.read_text()))
        lab.kill(host, 'libvirtd')
        lab.kill(host)
        lab.start(host)


def test_through_a_tunnel(tunnelled: Movers) -> None:
    server = tunnelled.boot('host1')
    before = tunnelled.lab.counts(server)
    tunnelled.migrate(server, 'host2')
    assert tunnelled.at_rest(server)[HOST] == 'host2'
    assert tunnelled.migration(server)['status'] == 'completed', tunnelled.why(server)
    tunnelled.only_on(server, 'host2', shared=True)
    tunnelled.hears(server)
    assert before
