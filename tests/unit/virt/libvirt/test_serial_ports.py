from __future__ import annotations

import socket

import libvirt
import pytest

from minicompute import exception
from minicompute.virt.libvirt.serial_ports import SerialPorts


class FakeDomain:
    def __init__(self, uuid: str, port: int | None, running: bool = True) -> None:
        self._uuid, self._port, self._running = uuid, port, running

    def UUIDString(self) -> str: return self._uuid

    def state(self) -> list[int]:
        return [libvirt.VIR_DOMAIN_RUNNING if self._running else libvirt.VIR_DOMAIN_SHUTOFF, 0]

    def XMLDesc(self, flags: int) -> str:
        serial = '' if self._port is None else (
            f"<serial type='tcp'><source mode='bind' host='127.0.0.1' service='{self._port}'/></serial>")
        return f'<domain><devices>{serial}</devices></domain>'


class FakeHost:
    def __init__(self, *domains: FakeDomain) -> None:
        self.domains = list(domains)

    def connection(self) -> FakeHost: return self

    def listAllDomains(self, flags: int) -> list[FakeDomain]: return self.domains


@pytest.fixture
def first(option):
    """A port that nobody has, with nine more behind it that somebody may have."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    first = min(port, 60000)
    option('serial_console', enabled=True, port_range=f'{first}:{first + 10}')
    return first


def ports(*domains: FakeDomain) -> SerialPorts:
    return SerialPorts(FakeHost(*domains))   # type: ignore[arg-type]


def test_none_where_it_is_switched_off():
    assert ports().of('a') is None


def test_each_gets_one_of_its_own(first):
    given = ports()
    found = [given.of(name) for name in ('a', 'b', 'c')]
    assert len(set(found)) == 3 and all(first <= port < first + 10 for port in found)


def test_a_running_domain_keeps_its_own(first):
    assert ports(FakeDomain('a', first + 5)).of('a') == first + 5


def test_others_ports_are_theirs_also_while_they_are_off(first):
    taken = [FakeDomain(str(number), first + number, running=number % 2 == 0) for number in range(10)]
    with pytest.raises(exception.Conflict, match=f'{first}:{first + 10}'):
        ports(*taken).of('new')


def test_what_another_program_listens_at_is_not_given(first):
    given = ports()
    port = given.of('a')
    with socket.create_server(('127.0.0.1', port)):
        assert ports().of('b') != port
