"""What the records render: compared as trees, never as text."""
from __future__ import annotations

from xml.etree import ElementTree

import pytest

from minicompute.virt.libvirt.config import base, devices, metadata
from minicompute.virt.libvirt.config.boot import Boot
from minicompute.virt.libvirt.config.cpu import Clock, Cpu, Features
from minicompute.virt.libvirt.config.disk import Controller, FileDisk
from minicompute.virt.libvirt.config.domain import Domain
from minicompute.virt.libvirt.config.interface import Interface
from minicompute.virt.libvirt.config.metadata import Metadata
from minicompute.virt.libvirt.config.network import DhcpHost, NatNetwork


def shape(tree):
    """An element as (tag, attributes, text, children): no white space, no order of attributes."""
    return (tree.tag, dict(tree.attrib), (tree.text or '').strip(), [shape(child) for child in tree])


def same(part, expected: str) -> None:
    assert shape(ElementTree.fromstring(base.render(part))) == shape(ElementTree.fromstring(expected))


@pytest.mark.parametrize(
    'part, expected',
    [
        (
            FileDisk('/i/disk', 'qcow2', 'vda', cache='none', boot_order=1),
            """
        <disk type="file" device="disk"><driver name="qemu" type="qcow2" cache="none" discard="unmap"/>
        <source file="/i/disk"/><target dev="vda" bus="virtio"/><boot order="1"/></disk>""",
        ),
        (
            FileDisk('/i/c', 'raw', 'hda', bus='ide', device='cdrom'),
            """
        <disk type="file" device="cdrom"><driver name="qemu" type="raw"/><source file="/i/c"/>
        <target dev="hda" bus="ide"/><readonly/></disk>""",
        ),
        (
            FileDisk('/i/d', 'raw', 'sda', bus='scsi', serial='s', iotune={'total_iops_sec': 9}),
            """
        <disk type="file" device="disk"><driver name="qemu" type="raw" discard="unmap"/><source file="/i/d"/>
        <target dev="sda" bus="scsi"/><serial>s</serial>
        <iotune><total_iops_sec>9</total_iops_sec></iotune></disk>""",
        ),
        (Controller('scsi', 0, 'virtio-scsi'), '<controller type="scsi" index="0" model="virtio-scsi"/>'),
        (
            Interface(
                'network',
                'n1',
                'fa:1',
                'tap1',
                mtu=1450,
                queues=2,
                filter='clean-traffic',
                addresses=['10.0.0.5'],
                bandwidth={'inbound': {'average': 5}},
            ),
            """
        <interface type="network"><mac address="fa:1"/><source network="n1"/><target dev="tap1"/>
        <model type="virtio"/><driver queues="2"/>
        <filterref filter="clean-traffic"><parameter name="IP" value="10.0.0.5"/></filterref>
        <bandwidth><inbound average="5"/></bandwidth><mtu size="1450"/></interface>""",
        ),
        (
            Interface('bridge', 'br0', 'fa:1', 'tap1', model='e1000'),
            """
        <interface type="bridge"><mac address="fa:1"/><source bridge="br0"/><target dev="tap1"/>
        <model type="e1000"/></interface>""",
        ),
        (Cpu(2, 1, 2), '<cpu><topology sockets="2" cores="1" threads="2"/></cpu>'),
        (
            Cpu(1, mode='custom', model='Haswell', flags={'pcid': 'require', 'avx': 'disable'}),
            """
        <cpu mode="custom" match="exact"><model fallback="forbid">Haswell</model>
        <topology sockets="1" cores="1" threads="1"/><feature policy="disable" name="avx"/>
        <feature policy="require" name="pcid"/></cpu>""",
        ),
        (
            Boot(machine='q35', firmware='efi', secure_boot=True),
            """
        <os firmware="efi"><type arch="x86_64" machine="q35">hvm</type><firmware>
        <feature enabled="yes" name="enrolled-keys"/><feature enabled="yes" name="secure-boot"/></firmware>
        <smbios mode="sysinfo"/></os>""",
        ),
        (
            Boot(machine='pc', kernel='/k', initrd='/r', cmdline='a=1', menu=True),
            """
        <os><type arch="x86_64" machine="pc">hvm</type><kernel>/k</kernel><initrd>/r</initrd>
        <cmdline>a=1</cmdline>        <bootmenu enable="yes"/><smbios mode="sysinfo"/></os>""",
        ),
        # a command line without a kernel is an error to libvirt
        (
            Boot(machine='pc', cmdline='a=1'),
            """
        <os><type arch="x86_64" machine="pc">hvm</type><smbios mode="sysinfo"/></os>""",
        ),
        (Features(), '<features><acpi/><apic/></features>'),
        (
            Features(hide_hypervisor=True, smm=True),
            """
        <features><acpi/><apic/><smm state="on"/><kvm><hidden state="on"/></kvm></features>""",
        ),
        (
            Clock(),
            """<clock offset="utc"><timer name="pit" tickpolicy="delay"/>
        <timer name="rtc" tickpolicy="catchup"/>        <timer name="hpet" present="no"/></clock>""",
        ),
        (
            devices.Serial('/i/console.log'),
            """
        <serial type="pty"><log file="/i/console.log" append="off"/><target port="0"/></serial>""",
        ),
        (
            devices.Serial('/i/console.log', listen='10.0.0.1', service=10007),
            """
        <serial type="tcp"><source mode="bind" host="10.0.0.1" service="10007"/><protocol type="raw"/>
        <log file="/i/console.log" append="off"/><target port="0"/></serial>""",
        ),
        (
            devices.Screen('spice', '127.0.0.1', secure=True),
            """<graphics type="spice" port="-1" autoport="yes" listen="127.0.0.1" defaultMode="secure">
        <listen type="address" address="127.0.0.1"/></graphics>""",
        ),
        (
            devices.SpiceAgent(),
            """<channel type="spicevmc"><target type="virtio" name="com.redhat.spice.0"/></channel>""",
        ),
        (
            devices.Screen('vnc', '127.0.0.1'),
            """<graphics type="vnc" port="-1" autoport="yes" listen="127.0.0.1">
        <listen type="address" address="127.0.0.1"/></graphics>""",
        ),
        (
            devices.Rng('/dev/urandom', (100, 1000)),
            """<rng model="virtio"><rate bytes="100" period="1000"/>
        <backend model="random">/dev/urandom</backend></rng>""",
        ),
        (devices.Balloon(), '<memballoon model="virtio"/>'),
        (
            devices.GuestAgent(),
            '<channel type="unix"><target type="virtio" name="org.qemu.guest_agent.0"/></channel>',
        ),
        (devices.Watchdog('reset'), '<watchdog model="i6300esb" action="reset"/>'),
        (
            NatNetwork(
                'n',
                'br',
                '10.0.0.1',
                24,
                mtu=1450,
                dns=['9.9.9.9'],
                hosts=[DhcpHost('fa:1', '10.0.0.5', 'vm')],
            ),
            """
        <network><name>n</name><forward mode="nat"/><bridge name="br" stp="off" delay="0"/><mtu size="1450"/>
        <dns><forwarder addr="9.9.9.9"/></dns><ip address="10.0.0.1" prefix="24"><dhcp>
        <host mac="fa:1" ip="10.0.0.5" name="vm"/></dhcp></ip></network>""",
        ),
        (
            NatNetwork('n', 'br', '10.0.0.1', 24, forward='none'),
            """
        <network><name>n</name><bridge name="br" stp="off" delay="0"/>
        <ip address="10.0.0.1" prefix="24"/></network>""",
        ),
    ],
)
def test_part(part, expected):
    same(part, expected)


def make_domain(**said) -> Domain:
    return Domain(
        uuid='6f0cf5a6-7a6c-4f2e-9d0b-0a3f6b1e5c11',
        name='instance-00000001',
        memory_mb=256,
        vcpus=2,
        metadata=Metadata(host='h1', **said),
        boot=Boot(machine='pc'),
        cpu=Cpu(2),
        cputune={'shares': 512},
        devices=[devices.Tablet()],
    )


def test_domain():
    tree = make_domain().xml()
    assert [child.tag for child in tree] == [
        'name', 'uuid', 'metadata', 'memory', 'vcpu', 'cputune', 'sysinfo', 'os', 'features', 'cpu', 'clock',
        'on_poweroff', 'on_reboot', 'on_crash', 'devices']
    assert (tree.get('type'), tree.findtext('memory'), tree.findtext('vcpu')) == ('qemu', '262144', '2')
    assert tree.findtext('cputune/shares') == '512'
    assert {e.get('name'): e.text for e in tree.findall('sysinfo/system/entry')}['uuid'] == tree.findtext(
        'uuid'
    )


@pytest.mark.parametrize('name', ['</mc:name><disk/>', 'a & "b" \'c\' ]]>', '<!--', '\N{SNOWMAN} ok'])
def test_what_a_user_wrote_is_never_markup(name):
    said = metadata.read(base.render(make_domain(name=name)))
    assert said is not None and said.name == name


def test_what_xml_cannot_carry_is_dropped():
    said = metadata.read(base.render(make_domain(name='a\x00b\x0bc\ufffe')))
    assert said is not None and said.name == 'abc'


def test_a_foreign_domain_says_nothing():
    assert metadata.read('<domain><name>x</name></domain>') is None


def test_metadata_of_a_newer_daemon_is_read():
    text = base.render(make_domain()).replace('</mc:instance>', '<mc:later>1</mc:later></mc:instance>')
    assert metadata.read(text) == Metadata(host='h1')
