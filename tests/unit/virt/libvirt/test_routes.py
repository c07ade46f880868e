"""A network of a user must not cover one that the host needs."""
from __future__ import annotations

import ipaddress
import pathlib

import pytest

from minicompute.virt.libvirt import routes

TABLE = '''Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
mcbr1\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
'''


@pytest.fixture
def table(tmp_path: pathlib.Path) -> str:
    (tmp_path / 'route').write_text(TABLE)
    return str(tmp_path / 'route')


def test_the_routes_are_read(table: str) -> None:
    assert routes.connected(table) == [('eth0', ipaddress.IPv4Network('192.0.2.0/24')),
                                       ('mcbr1', ipaddress.IPv4Network('10.77.0.0/24'))]


@pytest.mark.parametrize(('gateway', 'prefix', 'bridge', 'found'), [
    ('192.0.2.1', 24, 'mcbr9', 'eth0'), ('192.0.2.129', 25, 'mcbr9', 'eth0'), ('192.0.0.1', 16, 'mcbr9', 'eth0'),
    ('10.77.1.1', 24, 'mcbr9', None), ('10.77.0.1', 24, 'mcbr9', 'mcbr1'), ('10.77.0.1', 24, 'mcbr1', None)])
def test_what_overlaps_is_named(table: str, gateway: str, prefix: int, bridge: str, found: str | None) -> None:
    assert routes.collision(gateway, prefix, bridge, table) == found
