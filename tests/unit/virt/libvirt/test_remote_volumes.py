"""Volumes of a volume service in the verbs of the driver: reached, let go, and their secrets."""
from __future__ import annotations

import contextlib
import os
import sys
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import libvirt
import pytest

from minicompute import exception
from minicompute.objects import BlockDevice
from minicompute.virt.libvirt import blockcopy, brick, guest, secrets, sources, volumes
from minicompute.virt.libvirt.driver import LibvirtDriver
from minicompute.virt.libvirt.verbs import devices

from .conftest import make_instance

VOLUME = '00000000-0000-4000-8000-00000000000a'
OTHER = '00000000-0000-4000-8000-00000000000c'
ISCSI = {'driver_volume_type': 'iscsi', 'target_portal': '127.0.0.1:3260', 'target_iqn': 'iqn.2026-01.org:v',
         'target_lun': 1, 'auth_method': 'CHAP', 'auth_username': 'u', 'auth_password': 's3cret'}
SENSELESS = {'driver_volume_type': 'iscsi', 'target_portal': '127.0.0.1:3260'}
FIBRE = {'driver_volume_type': 'fibre_channel', 'target_wwn': 'w'}


class Libvirtd:
    """Its secrets: each new one gets a uuid, and a usage has one."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}

    def connection(self) -> Libvirtd:
        return self

    def _refused(self, code: int) -> libvirt.libvirtError:
        error = libvirt.libvirtError('refused')
        error.err = (code, 0, 'refused', 0, '', '', '', 0, 0)
        return error

    def _secret(self, usage: str) -> Any:
        return SimpleNamespace(setValue=lambda value, flags: self.secrets.update({usage: value}),
                               undefine=lambda: self.secrets.pop(usage))

    def secretDefineXML(self, xml: str, flags: int) -> Any:
        usage = ElementTree.fromstring(xml).findtext('usage/target') or ''
        if usage in self.secrets:
            raise self._refused(libvirt.VIR_ERR_INTERNAL_ERROR)
        self.secrets[usage] = b''
        return self._secret(usage)

    def secretLookupByUsage(self, kind: int, usage: str) -> Any:
        if usage not in self.secrets:
            raise self._refused(libvirt.VIR_ERR_NO_SECRET)
        return self._secret(usage)


class Domain:
    """A guest with one disk, of which only this is known."""

    def __init__(self, volume_id: str = '', running: bool = True) -> None:
        self.disk = f'<disk><serial>{volume_id}</serial><target dev="vdb"/></disk>' if volume_id else ''
        self.runs = running
        self.started = False

    def running(self) -> bool:
        return self.runs

    def saved(self) -> bool:
        return not self.runs

    def start(self) -> None:
        self.started = True

    def tree(self, inactive: bool = False) -> ElementTree.Element:
        return ElementTree.fromstring(f'<domain><devices>{self.disk}</devices></domain>')


@pytest.fixture
def libvirtd() -> Libvirtd:
    return Libvirtd()


@pytest.fixture
def driver(libvirtd: Libvirtd, monkeypatch: pytest.MonkeyPatch) -> LibvirtDriver:
    made = LibvirtDriver.__new__(LibvirtDriver)
    made._host = libvirtd  # type: ignore[assignment]
    made._networks = SimpleNamespace(plug=lambda one: None, unplug=lambda one: None)  # type: ignore[assignment]
    made._disks = SimpleNamespace(remove=lambda uuid: None)  # type: ignore[assignment]
    made._events = SimpleNamespace(quiet=lambda uuid: contextlib.nullcontext())  # type: ignore[assignment]
    made._cache = None  # type: ignore[assignment]
    monkeypatch.setattr(guest, 'remove', lambda host, uuid: True)
    monkeypatch.setattr('minicompute.virt.libvirt.carrier.Landing',
                        lambda host, uuid: SimpleNamespace(close=lambda: None))
    return made


def device(info: dict[str, Any], volume_id: str = VOLUME) -> BlockDevice:
    return BlockDevice(source_type='volume', destination_type='volume', volume_id=volume_id,
                       device_name='/dev/vdb', instance_uuid=make_instance().uuid, volume_size=1,
                       connection_info={'connection': info})


def has(monkeypatch: pytest.MonkeyPatch, domain: Domain) -> Domain:
    monkeypatch.setattr(guest, 'find', lambda host, uuid: domain)
    return domain


def test_a_server_with_chap_starts_more_than_once(libvirtd: Libvirtd, driver: LibvirtDriver) -> None:
    one = device(ISCSI)
    server = make_instance(block_devices=[one])
    driver._reach(server)
    one.connection_info = {'connection': {**ISCSI, 'auth_password': 'newer'}}
    driver._reach(server)
    assert libvirtd.secrets == {f'volume-{VOLUME}': b'newer'}
    driver._remove(server)
    assert libvirtd.secrets == {}
    driver._remove(server)


def test_a_secret_that_libvirt_cannot_look_for_is_not_made_anew(libvirtd: Libvirtd,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(kind: int, usage: str) -> Any:
        raise libvirtd._refused(libvirt.VIR_ERR_INTERNAL_ERROR)
    monkeypatch.setattr(libvirtd, 'secretLookupByUsage', broken)
    with pytest.raises(libvirt.libvirtError):
        secrets.keep(libvirtd, sources.of(device(ISCSI)))  # type: ignore[arg-type]
    assert libvirtd.secrets == {}


def test_a_swap_brings_its_own_secret(libvirtd: Libvirtd, driver: LibvirtDriver,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, Domain(VOLUME))
    old, new = device(ISCSI), device(ISCSI, OTHER)
    secrets.keep(libvirtd, sources.of(old))  # type: ignore[arg-type]
    seen: list[set[str]] = []

    def replace(domain: Any, was: Any, to: Any, xml: str, prepare: Any, progress: Any, stop: Any) -> None:
        prepare()
        seen.append(set(libvirtd.secrets))
    monkeypatch.setattr(blockcopy, 'replace', replace)
    monkeypatch.setattr(devices, 'file_disk', lambda disk, wanted: None)
    monkeypatch.setattr(devices, 'render', lambda part: '')
    monkeypatch.setattr(devices.layout, 'volume', lambda one, wanted, taken: None)
    monkeypatch.setattr(LibvirtDriver, '_builder', SimpleNamespace(hardware=lambda one: None))
    driver.swap_volume(make_instance(), old, new)
    assert seen == [{f'volume-{VOLUME}', f'volume-{OTHER}'}] and set(libvirtd.secrets) == {f'volume-{OTHER}'}


def test_what_was_never_connected_is_let_go(driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    one = device(SENSELESS)
    with pytest.raises(exception.InvalidVolume):
        sources.of(one)
    has(monkeypatch, Domain())
    driver.detach_volume(make_instance(), one)
    driver._remove(make_instance(block_devices=[one]))
    has(monkeypatch, Domain(VOLUME))        # the guest has it, whatever the record says now
    with pytest.raises(exception.InvalidVolume):
        driver.detach_volume(make_instance(), one)


def test_a_disk_of_the_host_is_nothing_to_disconnect(driver: LibvirtDriver, bricks: Brick) -> None:
    """An image's or an ephemeral disk is no volume: it has no id, and no server with one could be deleted."""
    driver._give_up(BlockDevice(instance_uuid='i', source_type='image', destination_type='local', boot_index=0))
    assert bricks.asked == []


def test_os_brick_keeps_no_server_from_being_deleted(driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails(one: BlockDevice) -> None:
        tried.append(one.volume_id)
        raise exception.InvalidVolume(reason='no path')
    monkeypatch.setattr(brick, 'disconnect', fails)
    driver._remove(make_instance(block_devices=[device(FIBRE), device(FIBRE, OTHER)]))
    assert tried == [VOLUME, OTHER]


class Brick:
    """os-brick: it has a device of each volume that is connected."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, Any]] = []

    def factory(self, *args: Any, **more: Any) -> Brick:
        return self

    def connect_volume(self, info: dict[str, Any]) -> dict[str, str]:
        self.asked.append(('connect', info['target_wwn'], None))
        return {'path': f"/dev/of-{info['target_wwn']}"}

    def disconnect_volume(self, info: dict[str, Any], found: Any) -> None:
        self.asked.append(('disconnect', info['target_wwn'], found))


@pytest.fixture
def bricks(monkeypatch: pytest.MonkeyPatch) -> Brick:
    made = Brick()
    connector = SimpleNamespace(InitiatorConnector=made)
    monkeypatch.setitem(sys.modules, 'os_brick', SimpleNamespace())
    monkeypatch.setitem(sys.modules, 'os_brick.initiator', SimpleNamespace(connector=connector))
    return made


def connected(name: str, instance_uuid: str | None = None) -> BlockDevice:
    one = device({**FIBRE, 'target_wwn': name})
    one.instance_uuid = instance_uuid or one.instance_uuid
    os.makedirs(os.path.dirname(brick.link_of(str(one.instance_uuid), VOLUME)))
    volumes.reach(one)
    return one


@pytest.mark.parametrize('info', [{**FIBRE, 'target_wwn': 'there'}, {}, SENSELESS])
def test_a_host_disconnects_what_it_connected(driver: LibvirtDriver, bricks: Brick, info: dict[str, Any]) -> None:
    """The record names the connection of the host where the server lives now, which may share the directory."""
    one = connected('here')
    link = brick.link_of(str(one.instance_uuid), VOLUME)
    assert os.readlink(link) == '/dev/of-here'
    os.unlink(link)
    os.symlink('/dev/of-there', link)
    one.connection_info = {'connection': info}
    for _ in range(2):
        driver._give_up(one)
    assert bricks.asked == [('connect', 'here', None), ('disconnect', 'here', {'path': '/dev/of-here'})]
    assert os.readlink(link) == '/dev/of-there'


def test_a_volume_of_two_servers_of_a_host_is_disconnected_with_the_second(
        driver: LibvirtDriver, bricks: Brick) -> None:
    first, second = connected('here'), connected('here')
    driver._give_up(first)
    assert [verb for verb, _, _ in bricks.asked] == ['connect', 'connect']
    driver._give_up(second)
    assert [verb for verb, _, _ in bricks.asked] == ['connect', 'connect', 'disconnect']


@pytest.mark.parametrize('verb', ['leave', 'end_swap', 'give_back'])
def test_who_has_no_use_for_a_volume_disconnects_it(driver: LibvirtDriver, bricks: Brick, verb: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(host: Any, uuid: str) -> Any:
        raise exception.DomainNotFound(instance_id=uuid)
    monkeypatch.setattr(guest, 'find', gone)
    monkeypatch.setattr(LibvirtDriver, '_builder', SimpleNamespace(disks=lambda one: []))
    one = connected('here')
    server = make_instance(uuid=str(one.instance_uuid), block_devices=[one])
    if verb == 'leave':
        driver.leave(server, server.flavor, {'marker': 'x'}, 0)  # type: ignore[arg-type]
    elif verb == 'give_back':
        driver.give_back(server, 'h2')
    else:
        assert not driver.end_swap(server, device(ISCSI, OTHER), one)
    assert [asked[0] for asked in bricks.asked] == ['connect', 'disconnect']


def test_a_suspended_server_finds_its_volumes_after_a_restart_of_its_host(
        libvirtd: Libvirtd, driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    domain = has(monkeypatch, Domain(running=False))
    monkeypatch.setattr(LibvirtDriver, '_builder', SimpleNamespace(
        hardware=lambda one: SimpleNamespace(guest_agent=False)))
    connected: list[str] = []
    monkeypatch.setattr(brick, 'connect', lambda one: connected.append(one.volume_id))
    monkeypatch.setattr(LibvirtDriver, '_grow_in_guest', lambda self, one, found: None)
    driver.resume(make_instance(block_devices=[device(ISCSI), device(FIBRE, OTHER)]))
    assert domain.started and connected == [OTHER] and libvirtd.secrets == {f'volume-{VOLUME}': b's3cret'}


def test_what_could_not_be_connected_leaves_nothing_to_disconnect(
        driver: LibvirtDriver, bricks: Brick, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any) -> Any:
        raise RuntimeError('no path')
    monkeypatch.setattr(Brick, 'disconnect_volume', fails)
    one = connected('here')
    monkeypatch.setattr(Brick, 'connect_volume', fails)
    with pytest.raises(exception.InvalidVolume):
        volumes.reach(one)
    with pytest.raises(exception.InvalidVolume):    # it is connected still
        volumes.let_go(one)
    other = device({**FIBRE, 'target_wwn': 'x'}, OTHER)
    with pytest.raises(exception.InvalidVolume):
        volumes.reach(other)
    volumes.let_go(other)
