"""Volumes of a volume service in the verbs of the driver: reached, let go, and their secrets."""
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import libvirt
import pytest

from minicompute import exception
from minicompute.objects import BlockDevice
from minicompute.virt.libvirt import blockcopy, brick, disks, guest, layout, secrets, sources, volumes
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
        #: {server: XML} of its domains
        self.domains: dict[str, str] = {}

    def listAllDomains(self, flags: int) -> list[Any]:
        return [SimpleNamespace(UUIDString=lambda uuid=uuid: uuid, XMLDesc=lambda flags, xml=xml: xml)
                for uuid, xml in self.domains.items()]

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

    def __init__(self, volume_id: str = '', running: bool = True, place: str = '') -> None:
        source = f'<source dev="{place}"/>' if place else ''
        self.disk = f'<disk>{source}<serial>{volume_id}</serial><target dev="vdb"/></disk>' if volume_id else ''
        self.runs = running
        self.started = False

    def running(self) -> bool:
        return self.runs

    def saved(self) -> bool:
        return not self.runs

    def start(self) -> None:
        self.started = True

    def detach(self, xml: str, flags: int) -> None:
        self.disk = ''

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


# -- a volume that its service has moved has its old id again ------------------------------

def moved(one: BlockDevice) -> BlockDevice:
    """As the record is after a retype."""
    return dataclasses.replace(one, volume_id=OTHER, connection_info={**one.connection_info, 'named': VOLUME})


def test_a_moved_volume_is_taken_from_the_guest(driver: LibvirtDriver, bricks: Brick,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    one = connected('here')
    domain = has(monkeypatch, Domain(OTHER, place=brick.link_of(str(one.instance_uuid), VOLUME)))
    domain.runs = False
    driver.detach_volume(make_instance(uuid=one.instance_uuid), moved(one))
    assert not domain.disk and [verb for verb, _, _ in bricks.asked] == ['connect', 'disconnect']


def test_a_moved_volume_takes_its_secret_along(libvirtd: Libvirtd, driver: LibvirtDriver) -> None:
    one = device(ISCSI)
    secrets.keep(libvirtd, sources.of(one))  # type: ignore[arg-type]
    driver._give_up(moved(one))
    assert libvirtd.secrets == {}


def test_a_volume_that_the_guest_has_elsewhere_is_not_detached(driver: LibvirtDriver, bricks: Brick,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it plugged in a second time when that is undone."""
    one = connected('here')
    domain = has(monkeypatch, Domain(VOLUME, place='/dev/somewhere'))
    server = make_instance(uuid=one.instance_uuid, block_devices=[one])
    with pytest.raises(exception.DeviceNotReleased, match='not at the place'):
        driver.detach_volume(server, one)
    driver.attach_volume(server, one)
    assert domain.disk and [verb for verb, _, _ in bricks.asked] == ['connect']


def test_a_disk_of_another_volume_may_have_the_serial(driver: LibvirtDriver, bricks: Brick,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """It took the place of this one, which came back later and is gone again."""
    first = dataclasses.replace(device(FIBRE, OTHER), uuid='1')
    gone = dataclasses.replace(device(FIBRE), uuid='2', instance_uuid=first.instance_uuid)
    domain = has(monkeypatch, Domain(VOLUME, place=brick.link_of(str(first.instance_uuid), OTHER)))
    driver.detach_volume(make_instance(uuid=first.instance_uuid, block_devices=[first, gone]), gone)
    assert domain.disk


def test_what_makes_no_sense_is_plugged_in_again_if_the_guest_has_it(driver: LibvirtDriver,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """The undo of a detachment that said why it could not be."""
    has(monkeypatch, Domain(VOLUME))
    driver.attach_volume(make_instance(), device(SENSELESS))
    has(monkeypatch, Domain())
    with pytest.raises(exception.InvalidVolume):
        driver.attach_volume(make_instance(), device(SENSELESS))


# -- what this host has connected ----------------------------------------------------------

@pytest.mark.parametrize('too_late', [True, False])
def test_a_swap_that_is_broken_off_leaves_one_volume(driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch,
                                                     too_late: bool) -> None:
    has(monkeypatch, Domain(VOLUME))
    monkeypatch.setattr(blockcopy, 'call_off', lambda domain, old, new: too_late)
    gone: list[str | None] = []
    monkeypatch.setattr(brick, 'disconnect', lambda one: gone.append(one.volume_id))
    assert driver.end_swap(make_instance(), device(ISCSI), device(ISCSI, OTHER)) is too_late
    assert gone == [VOLUME if too_late else OTHER]


def test_a_swap_before_the_guest_switched_itself_off(driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    new = device(FIBRE, OTHER)
    has(monkeypatch, Domain(VOLUME, running=False, place=brick.link_of(str(new.instance_uuid), OTHER)))
    gone: list[str | None] = []
    monkeypatch.setattr(brick, 'disconnect', lambda one: gone.append(one.volume_id))
    driver.swap_volume(make_instance(), device(FIBRE), new)
    assert gone == [VOLUME]


@pytest.mark.parametrize('how', ['record', 'none', 'sweep'])
def test_a_server_leaves_nothing_connected(driver: LibvirtDriver, bricks: Brick, how: str) -> None:
    """Who cleans up behind a move or an evacuation may have no record of it."""
    one = connected('here')
    if how == 'sweep':
        assert driver.connected() == {one.instance_uuid}
        driver.disconnect(str(one.instance_uuid))
    else:
        driver._remove(make_instance(uuid=one.instance_uuid, block_devices=[one] if how == 'record' else []))
    assert [verb for verb, _, _ in bricks.asked] == ['connect', 'disconnect'] and driver.connected() == set()


def note_of(one: BlockDevice) -> str:
    return os.path.join(brick._notes(), f'{one.instance_uuid}.{one.volume_id}')


@pytest.mark.parametrize('text', ['', '[]', '{"connection": null}'])
def test_a_note_that_cannot_be_read(driver: LibvirtDriver, bricks: Brick, text: str, caplog: Any) -> None:
    one = connected('here')
    with open(note_of(one), 'w') as file:
        file.write(text)
    driver._give_up(one)
    assert bricks.asked[-1] == ('disconnect', 'here', {'path': '/dev/of-here'}) and 'cannot be read' in caplog.text
    assert driver.connected() == set()


def test_whatever_goes_wrong_with_one_keeps_nobody_from_the_next(driver: LibvirtDriver, bricks: Brick,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    one, real = connected('here'), brick.disconnect

    def fails(found: BlockDevice) -> None:
        if found.volume_id == OTHER:
            raise exception.Unavailable
        real(found)
    monkeypatch.setattr(brick, 'disconnect', fails)
    driver._give_up(device(FIBRE, OTHER), one)
    assert driver.connected() == set()


@pytest.mark.parametrize('owner', ['h1', 'h2'])
def test_what_an_earlier_version_connected_it_did_not_note(driver: LibvirtDriver, bricks: Brick, owner: str) -> None:
    one = connected('here')
    os.unlink(note_of(one))
    disks.own(str(one.instance_uuid), owner)
    driver._give_up(one)
    assert len(bricks.asked) == (2 if owner == 'h1' else 1)     # else the link is that host's
    assert os.path.lexists(brick.link_of(str(one.instance_uuid), VOLUME)) is (owner == 'h2')


def test_a_device_that_two_hosts_call_the_same_keeps_its_link(driver: LibvirtDriver, bricks: Brick) -> None:
    one = connected('multipath')
    disks.own(str(one.instance_uuid), 'h2')     # the destination, which shares our directory
    driver._give_up(one)
    assert bricks.asked[-1][0] == 'disconnect'
    assert os.readlink(brick.link_of(str(one.instance_uuid), VOLUME)) == '/dev/of-multipath'


def test_another_server_has_it_by_another_name(driver: LibvirtDriver, bricks: Brick) -> None:
    """It was moved when the first of them had it alone."""
    first, second = connected('here'), device({**FIBRE, 'target_wwn': 'here'}, OTHER)
    os.makedirs(layout.directory(str(second.instance_uuid)))
    volumes.reach(second)
    driver._give_up(second)
    assert 'disconnect' not in [verb for verb, _, _ in bricks.asked]
    driver._give_up(moved(first))
    assert [verb for verb, _, _ in bricks.asked].count('disconnect') == 1


def test_names_of_devices_are_of_one_run_of_the_host(driver: LibvirtDriver, bricks: Brick) -> None:
    first, second = connected('here'), device({**FIBRE, 'target_wwn': 'here'}, OTHER)
    with open(note_of(first)) as file:
        said = json.load(file)
    brick._write(note_of(first), {**said, 'boot': 'before'})
    os.makedirs(layout.directory(str(second.instance_uuid)))
    volumes.reach(second)
    driver._give_up(second)
    assert bricks.asked[-1][0] == 'disconnect'


def test_one_comes_while_another_goes(driver: LibvirtDriver, bricks: Brick, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers of one volume: whether the other has it does not change while it goes."""
    first, others, order = connected('here'), [], []
    second = dataclasses.replace(first, instance_uuid=make_instance().uuid)
    os.makedirs(layout.directory(str(second.instance_uuid)))

    def disconnect_volume(self: Brick, info: Any, found: Any) -> None:
        others.append(threading.Thread(target=volumes.reach, args=(second,)))
        others[0].start()
        others[0].join(0.2)
        order.append('gone')
    monkeypatch.setattr(Brick, 'disconnect_volume', disconnect_volume)
    monkeypatch.setattr(Brick, 'connect_volume', lambda self, info: (order.append('come'), {'path': '/dev/x'})[1])
    driver._give_up(first)
    others[0].join()
    assert order == ['gone', 'come']


def test_a_secret_stays_for_another_server_of_the_volume(libvirtd: Libvirtd, driver: LibvirtDriver) -> None:
    one = device(ISCSI)
    uses = f"<secret type='iscsi' usage='volume-{VOLUME}'/>"
    xml = '<domain><devices><disk>%s</disk></devices></domain>'
    libvirtd.domains = {str(one.instance_uuid): xml % uses, 'another': xml % f'<source><auth>{uses}</auth></source>'}
    secrets.keep(libvirtd, sources.of(one))  # type: ignore[arg-type]
    driver._give_up(one)
    assert set(libvirtd.secrets) == {f'volume-{VOLUME}'}
    del libvirtd.domains['another']
    driver._give_up(one)
    assert libvirtd.secrets == {}


def test_a_live_migration_finds_a_directory_for_its_links(driver: LibvirtDriver, bricks: Brick,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    one = device({**FIBRE, 'target_wwn': 'here'})
    server = make_instance(uuid=one.instance_uuid, block_devices=[one], host='h2')
    live = sys.modules['minicompute.virt.libvirt.verbs.live']
    monkeypatch.setattr(live.migration, 'find', lambda host, uuid: live.live.ABSENT)
    monkeypatch.setattr(live.remote, 'address', lambda host: 'here')
    monkeypatch.setattr(live.vif, 'interfaces', lambda *args: [])
    monkeypatch.setattr(live.carrier, 'Landing', lambda host, uuid: SimpleNamespace(
        mark=lambda: 'm', open=lambda: 'pool', close=lambda: None))
    monkeypatch.setattr(LibvirtDriver, '_builder', SimpleNamespace(hardware=lambda one: None))
    driver._serial_ports = SimpleNamespace(of=lambda uuid: None)  # type: ignore[assignment]
    driver.live_prepare(SimpleNamespace(instance=server), {'host': 'h2', 'disks': [], 'files': [], 'elsewhere': []},  # type: ignore
                        False)
    assert os.readlink(brick.link_of(server.uuid, VOLUME)) == '/dev/of-here'


@pytest.mark.parametrize('verb', ['leave', 'power_off', 'unrescue'])
def test_a_guest_that_is_novas_is_not_stopped(driver: LibvirtDriver, monkeypatch: pytest.MonkeyPatch,
                                              verb: str) -> None:
    """It could not be started again."""
    novas = '<n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/1.1"/>'
    tree = ElementTree.fromstring(f'<domain><metadata>{novas}</metadata></domain>')
    monkeypatch.setattr(guest, 'find', lambda host, uuid: SimpleNamespace(
        uuid=uuid, tree=lambda inactive=False: tree, running=lambda: True, metadata=lambda: None))
    monkeypatch.setattr(LibvirtDriver, '_builder', SimpleNamespace(disks=lambda one: []))
    server = make_instance()
    asked = {'leave': lambda: driver.leave(server, server.flavor, {'marker': 'x'}, 0),  # type: ignore[arg-type]
             'power_off': lambda: driver.power_off(server), 'unrescue': lambda: driver.unrescue(server)}
    with pytest.raises(exception.Conflict, match='was made by Nova'):
        asked[verb]()
