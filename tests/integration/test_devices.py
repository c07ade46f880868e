"""Disks and network cards come to real guests and go, and the guests say so on their consoles."""
from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, Instance
from minicompute.virt import images
from minicompute.virt.libvirt import blockcopy, guest
from minicompute.virt.libvirt.driver import LibvirtDriver
from minicompute.volume import files
from tests.integration.test_libvirt_driver import (  # noqa: F401  (fixtures)
    cloud,
    driver,
    heard,
    image,
    left_of,
    libvirtd,
    request,
    source,
    state,
    up,
    wait_for,
)

pytestmark = pytest.mark.long

GIB = 1 << 30
#: seconds; a guest whose disk was copied while it wrote has first to mend its file systems
SLOW_BOOT = 600
#: says what the first bytes of a second disk are, and writes some; again each second
SCRIPT = """#!/bin/sh
( while :; do
    if [ -b /dev/vdb ]; then
        echo "vdb holds <$(head -c 5 /dev/vdb | tr -cd a-z)>" > /dev/console
        echo hello | dd of=/dev/vdb conv=notrunc,fsync 2> /dev/null
    fi
    sleep 1
  done ) &
"""


def volume(instance: Instance, size: int = 1, **facts: Any) -> BlockDevice:
    return BlockDevice(**{'source_type': 'volume', 'destination_type': 'volume', 'volume_id': str(uuid.uuid4()),
                          'volume_size': size, 'device_name': '/dev/vdb', 'uuid': str(uuid.uuid4()),
                          'instance_uuid': instance.uuid, **facts})


def says(driver: LibvirtDriver, instance: Instance, text: str) -> None:  # noqa: F811
    wait_for(text, lambda: text in driver.console_output(instance, None))


def talker(cloud: Any) -> Instance:  # noqa: F811
    return cloud.server(user_data=base64.b64encode(SCRIPT.encode()).decode(), config_drive=True)


def file_of(libvirtd: Any, instance: Instance, target: str) -> str:  # noqa: F811
    disks = guest.parse(libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0)).findall('devices/disk')
    return next(disk.find('source').get('file') for disk in disks if disk.find('target').get('dev') == target)


def test_a_disk_comes_and_goes(driver, cloud, libvirtd, state):  # noqa: F811
    instance = talker(cloud)
    driver.spawn(request(instance))
    up(driver, instance)
    disk = volume(instance)
    driver.attach_volume(instance, disk)
    driver.attach_volume(instance, disk)
    says(driver, instance, 'hotplug add vdb')
    says(driver, instance, 'vdb holds <hello>')
    path = files.path_of(disk.volume_id)
    assert file_of(libvirtd, instance, 'vdb') == path
    assert images.info(path, 'qcow2', in_use=True).virtual_size == GIB

    driver.detach_volume(instance, disk)
    driver.detach_volume(instance, disk)
    says(driver, instance, 'hotplug remove vdb')
    assert path not in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0)
    assert images.info(path, 'qcow2').virtual_size == GIB, 'nobody has it open any more'

    # Another server gets it, larger, with what the first one wrote; and keeps it over a power cycle.
    driver.destroy(instance)
    other = talker(cloud)
    larger = dataclasses.replace(disk, volume_size=2, connection_info={'made': True})
    other.block_devices = [larger]
    driver.spawn(request(other))
    says(driver, other, 'vdb holds <hello>')
    driver.power_off(other)
    driver.power_on(other)
    says(driver, other, 'vdb holds <hello>')
    driver.destroy(other)
    assert left_of(libvirtd, state, other) == [] and images.info(path, 'qcow2').virtual_size == 2 * GIB
    files.remove(disk.volume_id)


def test_a_server_that_does_not_run_has_it_at_its_next_start(driver, cloud, libvirtd):  # noqa: F811
    instance = cloud.server(network=False)
    driver.spawn(request(instance))
    driver.power_off(instance)
    disk = volume(instance)
    driver.attach_volume(instance, disk)
    assert os.path.exists(files.path_of(disk.volume_id))
    instance.block_devices = [disk]
    driver.power_on(instance)
    # The guest is in its firmware: it lets the disk go when it has booted.
    driver.detach_volume(instance, disk)
    instance.block_devices = []
    up(driver, instance)
    assert disk.volume_id not in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0)
    driver.destroy(instance)


def test_a_volume_whose_file_is_elsewhere_is_not_made_anew(driver, cloud):  # noqa: F811
    instance = cloud.server(network=False)
    lost = volume(instance, connection_info={'made': True})
    with pytest.raises(exception.VolumeLost):
        driver.attach_volume(instance, lost)
    assert not os.path.exists(files.path_of(lost.volume_id))
    assert [name for name in os.listdir(CONF.local_volumes.path) if lost.volume_id in name] == []


def test_a_card_comes_and_goes(driver, cloud, libvirtd, state):  # noqa: F811
    instance = cloud.server()
    driver.spawn(request(instance))
    up(driver, instance)
    cloud.number += 1
    card = cloud.vif()
    driver.attach_interface(instance, card)
    driver.attach_interface(instance, card)
    address = card.fixed_ips[0].address
    says(driver, instance, 'hotplug add')
    says(driver, instance, f' {address}/')
    assert libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0).count(card.mac_address) == 1
    driver.detach_interface(instance, card)
    driver.detach_interface(instance, card)
    says(driver, instance, 'hotplug remove')
    assert card.mac_address not in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0)
    network = libvirtd.networkLookupByName(card.details['libvirt_network'])
    assert card.mac_address not in network.XMLDesc(), 'its address is free'
    driver.destroy(instance)
    assert left_of(libvirtd, state, dataclasses.replace(instance, network_info=[card])) == []


class Died(BaseException):
    """What kill -9 looks like from inside."""


def die() -> bool:
    raise Died


@contextlib.contextmanager
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A copy that is never ready."""
    def mirror(guest: Any, path: str, real: Any = blockcopy._mirror) -> Any:
        found = real(guest, path)
        if found is not None:
            found.attrib.pop('ready', None)
        return found
    with monkeypatch.context() as patched:
        patched.setattr(blockcopy, '_mirror', mirror)
        yield


def test_a_volume_takes_the_place_of_another(driver, cloud, libvirtd, monkeypatch):  # noqa: F811
    instance = talker(cloud)
    driver.spawn(request(instance))
    up(driver, instance)
    old, new = volume(instance), volume(instance)
    driver.attach_volume(instance, old)
    says(driver, instance, 'vdb holds <hello>')
    driver.swap_volume(instance, old, new)
    driver.swap_volume(instance, old, new)
    assert file_of(libvirtd, instance, 'vdb') == files.path_of(new.volume_id)
    assert images.info(files.path_of(old.volume_id), 'qcow2').virtual_size == GIB, 'nobody has the old one open'
    assert driver.end_swap(instance, old, new), 'it is too late to call it off'
    assert file_of(libvirtd, instance, 'vdb') == files.path_of(new.volume_id)
    with pytest.raises(exception.DeviceNotAttached, match='stopped'), slowly(monkeypatch):
        driver.swap_volume(instance, new, old, stop=lambda: True)
    assert 'mirror' not in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0)
    with pytest.raises(Died), slowly(monkeypatch):
        driver.swap_volume(instance, new, old, stop=die)
    assert 'mirror' in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0), 'QEMU goes on'
    driver.detach_volume(instance, old)
    assert 'mirror' not in libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0), 'it is nobody else\'s to write to'
    assert file_of(libvirtd, instance, 'vdb') == files.path_of(new.volume_id)
    driver.swap_volume(instance, new, old)     # and back
    assert file_of(libvirtd, instance, 'vdb') == files.path_of(old.volume_id)
    driver.swap_volume(instance, old, new)
    driver.detach_volume(instance, new)
    says(driver, instance, 'hotplug remove vdb')
    instance.block_devices = [new]
    driver.reboot(instance, hard=True)
    says(driver, instance, 'vdb holds <hello>')
    driver.destroy(instance)


def test_a_swap_whose_guest_switches_itself_off(driver, cloud, libvirtd, monkeypatch):  # noqa: F811
    instance = talker(cloud)
    driver.spawn(request(instance))
    up(driver, instance)
    old, new, never = volume(instance), volume(instance), volume(instance)
    driver.attach_volume(instance, old)
    says(driver, instance, 'vdb holds <hello>')

    def cut_off(guest: Any, target: str, xml: str, copy: Any = guest.Guest.copy_disk) -> None:
        copy(guest, target, xml)
        libvirtd.lookupByUUIDString(instance.uuid).destroy()
    with monkeypatch.context() as patched:
        patched.setattr(guest.Guest, 'copy_disk', cut_off)
        with pytest.raises(exception.DeviceNotAttached):
            driver.swap_volume(instance, old, new)
    assert not driver.end_swap(instance, old, new)
    with pytest.raises(exception.InstanceNotRunning):
        driver.swap_volume(instance, old, new)
    instance.block_devices = [old]
    driver.power_on(instance)
    says(driver, instance, 'vdb holds <hello>')
    assert not driver.end_swap(instance, old, never), 'nothing was begun'

    driver.swap_volume(instance, old, new)
    libvirtd.lookupByUUIDString(instance.uuid).destroy()
    assert driver.end_swap(instance, old, new), 'the guest wrote to it last'
    driver.swap_volume(instance, old, new)
    instance.block_devices = [new]
    driver.power_on(instance)
    assert file_of(libvirtd, instance, 'vdb') == files.path_of(new.volume_id)
    driver.destroy(instance)


def test_the_volumes_of_a_guest_become_snapshots(driver, cloud, libvirtd, state):  # noqa: F811
    """All at one moment, while the guest writes; what begins with them is what it had written."""
    instance = dataclasses.replace(talker(cloud), image_ref='')
    root = volume(instance, source_type='image', boot_index=0, device_name='/dev/vda')
    data = volume(instance, source_type='blank', size=2)
    instance.block_devices = [root, data]
    driver.spawn(dataclasses.replace(request(instance), image=image()))
    up(driver, instance)
    says(driver, instance, 'vdb holds <hello>')
    xml = libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0)
    copies = {str(one.volume_id): str(uuid.uuid4()) for one in (root, data)}
    driver.copy_volumes(instance, copies)
    driver.copy_volumes(instance, copies)       # asked again, it begins anew
    assert libvirtd.lookupByUUIDString(instance.uuid).XMLDesc(0) == xml, 'the domain is what it was'
    for one in (root, data):
        facts = images.info(files.snapshot_path(copies[str(one.volume_id)]), 'qcow2')
        assert (facts.virtual_size, facts.backing_file) == (int(one.volume_size or 0) * GIB, None)
    driver.drop_copies(instance, copies)
    driver.drop_copies(instance, copies)
    assert not any(os.path.exists(files.snapshot_path(one)) for one in copies.values())
    driver.copy_volumes(instance, copies)
    driver.power_off(instance)
    off = {one: str(uuid.uuid4()) for one in copies}
    driver.copy_volumes(instance, off)
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []

    other = dataclasses.replace(talker(cloud), image_ref='')
    other.block_devices = [
        volume(other, source_type='snapshot', boot_index=0, device_name='/dev/vda', size=2,
               snapshot_id=copies[str(root.volume_id)]),
        volume(other, source_type='snapshot', size=2, snapshot_id=off[str(data.volume_id)])]
    driver.spawn(dataclasses.replace(request(other), image=None))
    wait_for('the guest', lambda: 'minicompute-guest: up' in driver.console_output(other, None), SLOW_BOOT)
    says(driver, other, 'vdb holds <hello>')
    first = driver.console_output(other, None).index('vdb holds <')
    assert driver.console_output(other, None)[first:].startswith('vdb holds <hello>'), 'written before, not by itself'
    assert images.info(files.path_of(other.block_devices[0].volume_id), 'qcow2', in_use=True).virtual_size == 2 * GIB
    driver.destroy(other)
    driver.drop_copies(other, {**copies})
    driver.drop_copies(other, off)


def test_a_guest_boots_from_a_volume(driver, cloud, libvirtd, state):  # noqa: F811
    instance = cloud.server(network=False, image_ref='')
    root = volume(instance, source_type='image', boot_index=0, device_name='/dev/vda')
    instance.block_devices = [root]
    driver.spawn(dataclasses.replace(request(instance), image=image()))
    up(driver, instance)
    assert file_of(libvirtd, instance, 'vda') == files.path_of(root.volume_id)
    facts = images.info(files.path_of(root.volume_id), 'qcow2', in_use=True)
    assert facts.virtual_size == GIB and facts.backing_file is None
    driver.destroy(instance)
    assert left_of(libvirtd, state, instance) == []

    other = cloud.server(network=False, image_ref='')
    other.block_devices = [dataclasses.replace(root, source_type='volume', instance_uuid=other.uuid,
                                               connection_info={'made': True})]
    driver.spawn(dataclasses.replace(request(other), image=None))
    up(driver, other)
    driver.destroy(other)
