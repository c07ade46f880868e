from __future__ import annotations

import pytest

from minicompute import exception
from minicompute.compute.api import block_devices
from minicompute.objects import Flavor, Volume

PLAIN = Flavor(flavorid='1', name='f', memory_mb=64, vcpus=1, root_gb=1)
RICH = Flavor(flavorid='2', name='g', memory_mb=64, vcpus=1, root_gb=1, ephemeral_gb=10, swap=128)
ROOT = {'source_type': 'image', 'uuid': 'i', 'destination_type': 'local', 'boot_index': 0}


def blank(**more):
    return {'source_type': 'blank', 'destination_type': 'local', **more}


def test_the_root_is_always_explicit_and_first():
    for entries in ([], [ROOT], [blank(volume_size=1), ROOT]):
        devices = block_devices.plan(entries, 'i', RICH)
        assert (devices[0].source_type, devices[0].image_id, devices[0].boot_index) == ('image', 'i', 0)
        assert all(device.delete_on_termination for device in devices)


def test_the_flavor_fills_what_is_not_given():
    assert [d.volume_size for d in block_devices.plan([], 'i', RICH)] == [None, 10, 128]
    assert [d.volume_size for d in block_devices.plan([], 'i', PLAIN)] == [None]
    assert [d.volume_size for d in block_devices.plan([blank()], 'i', RICH)] == [None, 10, 128]
    assert [d.volume_size for d in block_devices.plan([blank(guest_format='swap')], 'i', RICH)] == [None, 10, 128]
    assert len(block_devices.plan([{'no_device': True, 'device_name': 'vdb'}], 'i', PLAIN)) == 1


@pytest.mark.parametrize('entries, image, flavor, why', [
    ([], None, PLAIN, 'Boot sequence'), ([ROOT], None, PLAIN, 'Mapping image to local'),
    ([ROOT], 'other', PLAIN, 'image of imageRef'), ([ROOT, ROOT], 'i', PLAIN, 'Boot sequence'),
    ([blank(boot_index=0)], 'i', RICH, 'cannot be booted from'),
    ([blank(volume_size=11)], 'i', RICH, 'Ephemeral disks'), ([blank(), blank()], 'i', RICH, 'Ephemeral disks'),
    ([blank(guest_format='swap', volume_size=129)], 'i', RICH, 'Swap drive'),
    ([blank(guest_format='swap', volume_size=1)] * 2, 'i', RICH, 'More than one swap'),
    ([blank(volume_size=1)] * 3, 'i', RICH, 'local devices'),
    ([{'source_type': 'snapshot', 'uuid': 's'}], 'i', PLAIN, 'failed to get snapshot')])
def test_refusals(entries, image, flavor, why):
    with pytest.raises(exception.Invalid, match=why):
        block_devices.plan(entries, image, flavor)


FREE = Volume(id='v', project_id='p', size=5, bootable=True, made=True)
TO_VOLUME = {'source_type': 'image', 'uuid': 'i', 'destination_type': 'volume', 'boot_index': 0, 'volume_size': 2}


def mapped(**more):
    return {'source_type': 'volume', 'uuid': 'v', 'destination_type': 'volume', **more}


def test_volumes_come_last_and_have_names():
    found = block_devices.plan([mapped(boot_index=-1, device_name='vdz'), ROOT], 'i', RICH, {'v': FREE})
    assert [(d.destination_type, d.device_name) for d in found] == [
        ('local', None), ('local', None), ('local', None), ('volume', '/dev/vdz')]
    one = found[-1]
    assert (one.volume_size, one.delete_on_termination, one.connection_info) == (
        5, False, {'state': 'attaching', 'made': True})
    taken = block_devices.plan([mapped(device_name='/dev/vda'), ROOT], 'i', RICH, {'v': FREE})
    assert taken[-1].device_name == '/dev/vdd', 'a name that is taken is no reason to refuse'


def test_a_root_disk_that_is_a_volume():
    for entry, image in ((mapped(boot_index=0), None), (TO_VOLUME, None), (TO_VOLUME, 'i')):
        assert block_devices.boot_image([entry], image) == (None if entry != TO_VOLUME else 'i')
        root = block_devices.plan([entry], image, PLAIN, {'v': FREE}, root_device_name='/dev/sda')[0]
        assert (root.boot_index, root.device_name, root.destination_type) == (0, '/dev/sda', 'volume')
    made = block_devices.new_volume(root, 'p', 'u', {'hw_disk_bus': 'scsi'})
    assert made.bootable and made.image_metadata and made.size == 2 and root.volume_id == made.id


def test_volume_ids():
    entries = [mapped(), mapped(no_device=True, uuid='w'), {'volume_id': 'x'}, ROOT, {'source_type': 'blank'}]
    assert block_devices.volume_ids(entries) == ['v', 'x']


@pytest.mark.parametrize('entries, image, why', [
    ([mapped(boot_index=0)], 'i', 'Boot sequence'), ([mapped(boot_index=0, uuid='w')], None, 'failed to get volume w'),
    ([mapped(destination_type='local')], 'i', 'Mapping volume to local'), ([mapped()] * 2, 'i', 'named twice'),
    ([{**TO_VOLUME, 'volume_size': None}], None, 'non-zero size'), ([{**TO_VOLUME, 'uuid': 'j'}], 'i', 'imageRef'),
    ([ROOT, {**TO_VOLUME, 'boot_index': 1}], 'i', 'failed to get image i'),
    ([{'source_type': 'blank', 'destination_type': 'volume'}], 'i', 'Blank volumes'),
    ([mapped(volume_type='gold')], 'i', 'Volume type gold')])
def test_volumes_that_cannot_be(entries, image, why):
    with pytest.raises(exception.Invalid, match=why):
        block_devices.plan(entries, image, PLAIN, {'v': FREE})
