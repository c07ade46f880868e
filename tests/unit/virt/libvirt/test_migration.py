"""What of a live migration needs no libvirtd: the domain that travels, and who believes that disks are shared."""
from __future__ import annotations

import os
from typing import Any

import libvirt
import pytest

from minicompute import exception
from minicompute.virt.interface import live as where
from minicompute.virt.libvirt import disks, layout, migration
from minicompute.virt.libvirt.builder import Builder
from minicompute.virt.libvirt.config.base import parse, render
from minicompute.virt.libvirt.config.metadata import read
from minicompute.virt.libvirt.verbs import live

from .conftest import make_caps, make_instance, make_vif

#: a domain as libvirt tells of it while it runs: with addresses, backing files and ports
RUNNING = '''
<domain type='qemu' id='3'>
  <name>instance-00000005</name>
  <metadata><mc:instance xmlns:mc='https://minicompute.dev/xmlns/libvirt/1'><mc:host>h1</mc:host>
    <mc:name>/here/u/&lt;b&gt;</mc:name></mc:instance></metadata>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type><kernel>/here/u/kernel</kernel></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/here/u/disk' index='2'/>
      <backingStore type='file'><format type='raw'/><source file='/here/_base/abc.raw'/></backingStore>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>
    </disk>
    <disk type='file' device='cdrom'><source file='/here/u/disk.config'/><target dev='hda' bus='ide'/><readonly/></disk>
    <disk type='file' device='disk'><source file='/volumes/v1'/><target dev='vdb' bus='virtio'/></disk>
    <interface type='network'>
      <mac address='FA:16:3E:00:00:01'/><source network='old' portid='1' bridge='virbr9'/><target dev='tap-old'/>
      <model type='virtio'/><filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.9'/></filterref>
      <address type='pci' slot='0x03'/>
    </interface>
    <serial type='pty'><source path='/dev/pts/4'/><log file='/here/u/console.log' append='off'/></serial>
    <graphics type='vnc' port='5901' autoport='yes' listen='10.1.1.1'>
      <listen type='address' address='10.1.1.1'/></graphics>
  </devices>
</domain>'''


def travelled(**changes: Any) -> Any:
    card = ("<interface type='bridge'><mac address='fa:16:3e:00:00:01'/><source bridge='br1'/><target dev='tap-new'/>"
            "<filterref filter='clean-traffic'><parameter name='IP' value='10.9.0.5'/></filterref></interface>")
    there = {'directory': '/there/u', 'host': 'h2', 'vnc': '10.2.2.2', 'cards': {'fa:16:3e:00:00:01': card}, **changes}
    return parse(migration.travelling(RUNNING, '/here/u', there))


def test_what_belongs_to_a_host_becomes_the_destinations() -> None:
    tree = travelled()
    assert [one.get('file') for one in tree.findall('devices/disk/source')] == [
        '/there/u/disk', '/there/u/disk.config', '/volumes/v1']
    assert tree.findtext('os/kernel') == '/there/u/kernel'
    assert tree.find('devices/serial/log').get('file') == '/there/u/console.log'
    screen = tree.find('devices/graphics')
    assert (screen.get('listen'), screen.get('port'), screen[0].get('address')) == ('10.2.2.2', '-1', '10.2.2.2')
    card = tree.find('devices/interface')
    assert card.get('type') == 'bridge' and card.find('source').attrib == {'bridge': 'br1'}
    assert [one.get('dev') for one in card.findall('target')] == ['tap-new']
    assert [one.get('value') for one in card.findall('filterref/parameter')] == ['10.9.0.5']


ADDRESS = "<mac address='fa:16:3e:00:00:01'/>"
GUEST = ("<model type='virtio'/><driver name='vhost' queues='4'/><mtu size='1450'/><alias name='net0'/>"
         "<address type='pci' slot='0x03'/>")
OF_OVS = ("<source bridge='br-int'/><virtualport type='openvswitch'><parameters interfaceid='p1'/></virtualport>"
          "<target dev='tap1'/>")
OF_LINUX = "<source bridge='brq1'/><target dev='tap1'/>"


@pytest.mark.parametrize(('old', 'new', 'port'), [
    (OF_OVS, OF_LINUX, False), (OF_LINUX, OF_OVS, True), (OF_OVS, OF_OVS.replace('p1', 'p2'), True),
    (OF_OVS + "<filterref filter='x'/><bandwidth><inbound average='1'/></bandwidth>", OF_LINUX, False)])
def test_a_card_is_plugged_as_the_destination_plugs(old: str, new: str, port: bool) -> None:
    """Another firewall driver there, or Linux bridges: the element is the destination's, the device the guest's."""
    here = (RUNNING[:RUNNING.index('<interface')] + f"<interface type='bridge'>{ADDRESS}{old}{GUEST}</interface>"
            + RUNNING[RUNNING.index('</interface>') + 12:])
    card = f"<interface type='bridge'>{ADDRESS}{new}<model type='e1000'/><mtu size='9000'/></interface>"
    there = {'directory': '/there/u', 'host': 'h2', 'vnc': '', 'cards': {'fa:16:3e:00:00:01': card}}
    made = parse(migration.travelling(here, '/here/u', there)).find('devices/interface')
    wanted = parse(f"<interface type='bridge'>{ADDRESS}{GUEST}{new}</interface>")
    assert made is not None and [_flat(one) for one in made] == [_flat(one) for one in wanted]
    assert (made.find('virtualport') is not None) == port


def _flat(one: Any) -> list[Any]:
    return [(part.tag, part.attrib) for part in one.iter()]


def test_consoles_listen_where_the_destination_says() -> None:
    source = "<source mode='bind' host='10.1.1.1' service='10000'/>"
    text = RUNNING.replace("<serial type='pty'>", f"<console type='tcp'>{source}</console><serial type='tcp'>{source}")
    text = text.replace("<graphics type='vnc'", "<graphics type='spice' port='5902' tlsPort='5903' autoport='yes' "
                        "listen='10.1.1.1'/><graphics type='vnc'")
    there = {'directory': '/there/u', 'host': 'h2', 'vnc': '10.2.2.2', 'spice': '10.2.2.3', 'cards': {},
             'serial_address': '10.2.2.4', 'serial_port': 10007}
    tree = parse(migration.travelling(text, '/here/u', there))
    assert [(one.get('host'), one.get('service')) for one in tree.findall("devices/*/source[@mode='bind']")] == [
        ('10.2.2.4', '10007')] * 2
    spice, vnc = tree.findall('devices/graphics')
    assert (spice.get('listen'), spice.get('port'), spice.get('tlsPort')) == ('10.2.2.3', '-1', None)
    assert vnc.get('listen') == '10.2.2.2'
    older = parse(migration.travelling(text, '/here/u', {**there, 'serial_port': None}))
    assert older.find('devices/serial/source').get('service') == '10000'


def test_a_guest_on_shared_disks_keeps_its_console() -> None:
    assert travelled(shared=True).find('devices/serial/log').get('append') == 'on'
    assert travelled(shared=False).find('devices/serial/log').get('append') == 'off'


def test_the_machine_that_the_guest_sees_stays() -> None:
    before, after = parse(RUNNING), travelled()
    for xpath in ('os/type', 'devices/disk/target', 'devices/disk/address', 'devices/interface/address',
                  'devices/interface/model'):
        assert [one.attrib for one in after.findall(xpath)] == [one.attrib for one in before.findall(xpath)], xpath
    assert not after.findall('devices/disk/backingStore')


def test_its_owner_is_the_destination() -> None:
    there = {'directory': '/there/u', 'host': 'h2', 'vnc': '', 'cards': {}}
    said = read(migration.travelling(RUNNING, '/here/u', there))
    assert said is not None and said.host == 'h2'
    assert said.name == '/here/u/<b>'       # what a user wrote is nobody's path


def test_a_card_that_nobody_knows_stays() -> None:
    assert travelled(cards={}).find('devices/interface/source').get('network') == 'old'


def test_deviations() -> None:
    instance = make_instance(network_info=[make_vif(1)])
    os.makedirs(layout.directory(instance.uuid))
    plan = parse(render(Builder(make_caps()).domain(instance)))
    assert migration.deviations(plan, plan) == []
    other = parse(render(Builder(make_caps()).domain(make_instance(uuid=instance.uuid, network_info=[make_vif(2)]))))
    assert migration.deviations(plan, other) == ['network cards: fa:16:3e:00:00:02 instead of fa:16:3e:00:00:01']


def test_a_token_is_of_one_directory() -> None:
    first, second = make_instance().uuid, make_instance().uuid
    assert live._token(first) == ''
    for uuid in (first, second):
        os.makedirs(layout.directory(uuid))
        disks.own(uuid)
    assert live._token(first) == live._token(first) != live._token(second)
    disks.own(first, 'h2')
    assert live._token(first).startswith('h2 ')


@pytest.mark.parametrize('wrong', [
    {'name': '../../etc/passwd'}, {'name': '..'}, {'name': ''}, {'name': '.hidden'}, {'format': 'vmdk'},
    {'name': 'a/b'}])
def test_a_disk_that_another_host_offers_is_checked(wrong: dict[str, str]) -> None:
    live._check({'name': 'disk.eph0', 'format': 'raw'})
    with pytest.raises(exception.InvalidInput):
        live._check({'name': 'disk', 'format': 'qcow2', **wrong})


class Told:
    """A libvirtd with one domain: its state, and what its job says (a code: it refuses)."""

    def __init__(self, state: tuple[int, int] | int, job: dict[str, Any] | int) -> None:
        self._state, self._job = state, job

    def connection(self) -> Any:
        return self

    def lookupByUUIDString(self, uuid: str) -> Any:  # noqa: N802
        return self._answer(self._state) and self

    def state(self) -> Any:
        return self._answer(self._state)

    def jobStats(self, flags: int) -> Any:  # noqa: N802
        return self._answer(self._job)

    def _answer(self, said: Any) -> Any:
        if isinstance(said, int):
            error = libvirt.libvirtError('planned')
            error.err = (said, libvirt.VIR_FROM_QEMU, 'planned', 1, '', '', '', 0, 0)
            raise error
        return said


RUNS = (libvirt.VIR_DOMAIN_RUNNING, 1)
HELD = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
PAUSED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER)
OFF = (libvirt.VIR_DOMAIN_SHUTOFF, 0)
IDLE = {'type': libvirt.VIR_DOMAIN_JOB_NONE}
COPIES = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED, 'operation': libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT}
BACKUP = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED, 'operation': libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP}


@pytest.mark.parametrize(('state', 'job', 'expect'), [
    (RUNS, IDLE, where.RUNNING), (RUNS, BACKUP, where.RUNNING), (RUNS, COPIES, where.OUTGOING),
    (HELD, COPIES, where.OUTGOING), (PAUSED, IDLE, where.PAUSED), (HELD, IDLE, where.HELD),
    (HELD, libvirt.VIR_ERR_OPERATION_UNSUPPORTED, where.INCOMING),      # what a libvirtd says that receives
    (OFF, libvirt.VIR_ERR_OPERATION_INVALID, where.STOPPED), (libvirt.VIR_ERR_NO_DOMAIN, IDLE, where.ABSENT),
    (RUNS, libvirt.VIR_ERR_NO_DOMAIN, where.ABSENT)])
def test_where_a_domain_is(state: Any, job: Any, expect: str) -> None:
    host: Any = Told(state, job)
    assert migration.find(host, 'u') == expect


@pytest.mark.parametrize(('there', 'unsafe', 'copied'), [
    ({'shared': True, 'copy': []}, True, False), ({'shared': False, 'copy': ['vda']}, False, True),
    ({'shared': False, 'copy': ['vda'], 'seen': True}, True, True)])
def test_files_that_the_destination_has_seen(there: dict[str, Any], unsafe: bool, copied: bool) -> None:
    """A volume in a share beside a disk of the host: libvirt would refuse the file system of the first, unless told,
    and must copy the second nevertheless."""
    flags = migration.Copy(None, 'u', {'full': False, **there}, None)._flags()    # type: ignore[arg-type]
    assert bool(flags & libvirt.VIR_MIGRATE_UNSAFE) == unsafe
    assert bool(flags & libvirt.VIR_MIGRATE_NON_SHARED_INC) == copied
