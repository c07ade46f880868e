"""A guest that Nova had started goes on under our compute, and starts again from our records."""
from __future__ import annotations

import hashlib
import json
import subprocess

from tests.integration.test_libvirt_driver import (  # noqa: F401
    GUEST,
    IMAGES,
    cloud,
    driver,
    heard,
    left_of,
    libvirtd,
    source,
    state,
    up,
)

#: as Nova 34 defines it, without what a guest of the tests does not have
XML = '''<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
<nova:package version="34.0.0"/><nova:name>web</nova:name><nova:creationTime>2026-11-23 10:00:00</nova:creationTime>
<nova:flavor name="m1"><nova:memory>160</nova:memory><nova:disk>1</nova:disk><nova:vcpus>1</nova:vcpus></nova:flavor>
<nova:owner><nova:user uuid="u">jane</nova:user><nova:project uuid="p">shop</nova:project></nova:owner>
<nova:root type="image" uuid="{image}"/></nova:instance></metadata>
<memory unit='KiB'>163840</memory><vcpu>1</vcpu><os><type machine='pc'>hvm</type></os>
<features><acpi/><apic/></features><clock offset='utc'/>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk>
<serial type='pty'><log file='{log}' append='off'/><target port='0'/></serial>
<graphics type='vnc' autoport='yes' listen='127.0.0.1'/><video><model type='virtio'/></video></devices></domain>'''


def test_a_guest_of_novas(driver, cloud, libvirtd, state):  # noqa: F811
    instance = cloud.server(network=False)
    home, base = state / 'instances' / instance.uuid, state / 'instances' / '_base'
    base.mkdir(exist_ok=True)
    home.mkdir()
    raw = base / hashlib.sha1(b'nova').hexdigest()
    subprocess.run(['qemu-img', 'convert', '-O', 'raw', str(IMAGES / GUEST), str(raw)], check=True)
    disk = home / 'disk'
    subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', str(raw), '-F', 'raw', str(disk), '1G'],
                   check=True)
    (home / 'disk.info').write_text(json.dumps({str(disk): 'qcow2'}))
    domain = libvirtd.defineXML(XML.format(name=instance.name, uuid=instance.uuid, image=GUEST, disk=disk,
                                           log=home / 'console.log'))
    domain.create()
    number = domain.ID()
    assert [one.ours for one in driver.domains() if one.uuid == instance.uuid] == [False]

    assert driver.adopt_foreign(instance)
    assert domain.ID() == number, 'it must run on'
    assert [one.ours for one in driver.domains() if one.uuid == instance.uuid] == [True]
    assert 'nova:instance' in domain.XMLDesc(), 'Nova could take it back'
    assert instance.uuid in driver.holdings().present and raw.stat().st_nlink == 2
    up(driver, instance)                  # its console
    assert not driver.adopt_foreign(instance)     # it is ours already
    assert not [line for line in driver.sweep({instance.uuid}, 0) if str(raw) in line]

    driver.power_off(instance)
    driver.power_on(instance)
    assert 'nova:instance' not in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc()
    up(driver, instance)
    driver.destroy(instance)
    assert not left_of(libvirtd, state, instance)


def test_one_with_other_disks_is_left_alone(driver, cloud, libvirtd, state):  # noqa: F811
    instance = cloud.server(network=False)
    domain = libvirtd.defineXML(XML.format(name=instance.name, uuid=instance.uuid, image=GUEST, disk='/nonexistent',
                                           log='/dev/null'))
    try:
        assert not driver.adopt_foreign(instance)
        assert instance.uuid not in driver.holdings().present
        driver.sweep(set(), 0)
        assert libvirtd.lookupByUUIDString(instance.uuid).name() == instance.name
    finally:
        domain.undefine()
