from __future__ import annotations

import pytest

from minicompute import exception
from minicompute.compute.api import block_devices
from minicompute.objects import Flavor

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
    ([{'source_type': 'snapshot', 'uuid': 's'}], 'i', PLAIN, 'no snapshots')])
def test_refusals(entries, image, flavor, why):
    with pytest.raises(exception.Invalid, match=why):
        block_devices.plan(entries, image, flavor)
