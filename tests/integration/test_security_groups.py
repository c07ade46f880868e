"""Security groups on a real libvirtd: what passes to a guest, and what does not."""
from __future__ import annotations

import contextlib
import socket
import struct

import libvirt
import pytest

from minicompute.virt.libvirt import firewall
from tests.integration.test_libvirt_driver import (  # noqa: F401
    cloud,
    driver,
    heard,
    libvirtd,
    reachable,
    request,
    source,
    state,
    up,
    wait_for,
)

OUT = ['egress', None, None, None, None]
SSH = ['ingress', 'tcp', 22, 22, None]


def wall(*rules, name='minicompute-sg-test0'):
    return {'name': name, 'rules': list(rules)}


def answers_ping(instance):
    address = instance.network_info[0].fixed_ips[0].address
    echo = struct.pack('!BBHHH', 8, 0, 0xf7fd, 0, 2)    # whose checksum that is
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.connect((address, 0))
        raw.settimeout(2)
        try:
            raw.send(echo)
            return raw.recv(1500)[20] == 0
        except OSError:
            return False


def refused(instance):
    """What nobody answers, for as long as a try takes."""
    address = instance.network_info[0].fixed_ips[0].address
    try:
        socket.create_connection((address, 22), timeout=3).close()
    except TimeoutError:
        return True
    return False


@pytest.fixture
def none_left(libvirtd):  # noqa: F811
    """libvirt keeps filters on disk: those of a run that was broken off would hold in the next."""
    def forget():
        for name in filters(libvirtd):
            with contextlib.suppress(libvirt.libvirtError):     # a guest that a test left has it
                libvirtd.nwfilterLookupByName(name).undefine()
    forget()
    yield
    forget()


def filters(libvirtd):  # noqa: F811
    return {one.name() for one in libvirtd.listAllNWFilters() if one.name().startswith('minicompute-sg-test')}


@pytest.mark.usefixtures('none_left')
def test_what_passes(driver, cloud, libvirtd, state, monkeypatch):  # noqa: F811
    monkeypatch.setattr(firewall, 'DOMAIN_FOLLOWS', 0.0)    # the domain is there: nothing waits for its filter
    instance = cloud.server()
    card = instance.network_info[0]
    card.details['firewall'] = wall(OUT, SSH)
    driver.spawn(request(instance))
    console = up(driver, instance)
    assert card.fixed_ips[0].address in console, 'DHCP always passes'
    wait_for('ssh', lambda: reachable(instance))
    assert not answers_ping(instance)

    def keep(*rules, name='minicompute-sg-test0'):
        wanted = wall(*rules, name=name) if rules else None
        assert driver.keep_firewalls({instance.uuid: {card.mac_address: wanted}}) is bool(rules)

    number = libvirtd.lookupByUUIDString(instance.uuid).ID()
    keep(OUT, ['ingress', 'icmp', None, None, None])
    wait_for('ping', lambda: answers_ping(instance))
    assert refused(instance)
    keep(OUT, ['ingress', 'tcp', 20, 25, f'{cloud.subnet}.0/24'], name='minicompute-sg-test1')
    wait_for('ssh', lambda: reachable(instance))
    assert not answers_ping(instance) and filters(libvirtd) == {'minicompute-sg-test1'}
    keep(OUT, ['ingress', 'tcp', 20, 25, '192.0.2.0/24'], name='minicompute-sg-test1')
    assert refused(instance)
    keep()
    wait_for('ssh', lambda: reachable(instance))
    wait_for('ping', lambda: answers_ping(instance))
    assert filters(libvirtd) == set()
    assert libvirtd.lookupByUUIDString(instance.uuid).ID() == number, 'all of that while it ran'

    card.details['firewall'] = wall(OUT)
    driver.power_off(instance)
    driver.power_on(instance)
    up(driver, instance)
    assert refused(instance) and filters(libvirtd) == {'minicompute-sg-test0'}
    driver.destroy(instance)
    assert driver.keep_firewalls({}) is False and filters(libvirtd) == set()
