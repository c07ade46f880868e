"""What a rescued server's domain is made of, and what making it leaves when it fails."""
from __future__ import annotations

import os
import uuid

import pytest

from minicompute import exception
from minicompute.objects import BlockDevice
from minicompute.virt.driver import SpawnRequest
from minicompute.virt.libvirt import layout, rescue
from minicompute.virt.libvirt.builder import Builder, digest
from minicompute.virt.libvirt.disks import Disks
from minicompute.virt.libvirt.space import GIB

from .conftest import make_caps, make_instance
from .test_disks import add_image, cache, source  # noqa: F401


def rescued(flavor=None, **changes):
    said = changes.pop('said', {})
    return make_instance(flavor, vm_state='rescued', system_metadata={'rescue_image_ref': 'r', **said}, **changes)


def domain(instance):
    return Builder(make_caps()).domain(instance).xml()


def disks(instance):
    """(target, file's name, boot order) of each disk."""
    return [(d.find('target').get('dev'), os.path.basename(d.find('source').get('file')),
             (d.find('boot').get('order') if d.find('boot') is not None else None))
            for d in domain(instance).findall('devices/disk')]


def test_the_rescue_disk_takes_the_place_of_the_root_disk():
    instance = rescued({'ephemeral_gb': 1, 'swap': 64}, config_drive=True)
    assert disks(instance) == [('vda', 'disk.rescue', '1'), ('vdb', 'disk', None), ('hda', 'disk.config.rescue', None)]
    scsi = rescued(image_properties={'hw_disk_bus': 'scsi', 'hw_cdrom_bus': 'scsi'}, config_drive=True)
    assert [target for target, _, _ in disks(scsi)] == ['sda', 'sdb', 'sdc']
    assert domain(scsi).find('devices/controller').get('type') == 'scsi'


@pytest.mark.parametrize(('said', 'last', 'device'), [
    ({'rescue_device': 'cdrom'}, ('hdb', 'disk.rescue', '1'), 'cdrom'),
    ({'rescue_bus': 'usb'}, ('sda', 'disk.rescue', '1'), 'disk'),
    ({'rescue_device': 'disk', 'rescue_bus': 'virtio'}, ('vdd', 'disk.rescue', '1'), 'disk')])
def test_a_stable_rescue_keeps_all_disks_where_they_are(said, last, device):
    own = make_instance({'ephemeral_gb': 1, 'swap': 64}, config_drive=True)
    instance = rescued({'ephemeral_gb': 1, 'swap': 64}, config_drive=True, said=said)
    assert disks(instance) == [(target, name, None) for target, name, _ in disks(own)] + [last]
    assert domain(instance).findall('devices/disk')[-1].get('device') == device


def test_a_stable_rescue_keeps_volumes_too():
    root, more = (BlockDevice(source_type='volume', destination_type='volume', volume_size=1, boot_index=index,
                              volume_id=str(uuid.uuid4())) for index in (0, None))
    facts = {'image_ref': '', 'block_devices': [root, more], 'config_drive': True}
    own = disks(make_instance(**facts))
    assert [target for target, _, _ in own] == ['vda', 'hda', 'vdb'] and own[0][2] == '1'
    stable = disks(rescued(said={'rescue_bus': 'virtio'}, **facts))
    assert stable == [(target, name, None) for target, name, _ in own] + [('vdc', 'disk.rescue', '1')]


def test_only_the_record_says_which_domain_it_is():
    own = rescue.unrescued(rescued())
    assert disks(own) == [('vda', 'disk', '1')]
    assert digest(own) == digest(make_instance()) != digest(rescue.rescued(own))
    assert digest(rescued()) != digest(rescued(said={'rescue_device': 'cdrom'}))
    with pytest.raises(exception.UnsupportedRescueBus):
        disks(rescued(said={'rescue_bus': 'xen'}))


def test_it_boots_with_the_kernel_of_the_rescue_image():
    instance = rescued()
    os.mkdir(layout.directory(instance.uuid))
    for name in ('kernel', 'kernel.rescue'):
        open(os.path.join(layout.directory(instance.uuid), name), 'w').close()
    assert domain(instance).find('os/kernel').text.endswith('/kernel.rescue')
    assert domain(rescue.unrescued(instance)).find('os/kernel').text.endswith('/kernel')
    os.unlink(os.path.join(layout.directory(instance.uuid), 'kernel.rescue'))
    assert domain(instance).find('os/kernel') is None


# -- the files -----------------------------------------------------------------

def make(cache, instance, image, **more):  # noqa: F811
    os.makedirs(layout.directory(instance.uuid), exist_ok=True)
    plan = Builder(make_caps()).all_disks(rescue.rescued(instance))
    Disks(cache).make_rescue(SpawnRequest(instance, image=image, **more), plan)


def files(instance) -> list[str]:
    return sorted(os.listdir(layout.directory(instance.uuid)))


def test_a_rescue_disk_is_made_again_and_removed(source, cache):  # noqa: F811
    instance = make_instance(config_drive=True, kernel_id='k')
    os.mkdir(layout.directory(instance.uuid))
    own = os.path.join(layout.directory(instance.uuid), 'disk')
    with open(own, 'w') as writer:
        writer.write('mine')
    kernel = add_image(source, 'k', 'raw')
    for _ in range(2):      # a step is run again after a crash
        make(cache, instance, add_image(source, 'r'), kernel=kernel, admin_password='s3cret')
    assert files(instance) == ['base.rescue', 'disk', 'disk.config.rescue', 'disk.rescue', 'kernel.rescue']
    with open(rescue.path(instance.uuid, 'disk.config'), 'rb') as reader:
        assert b's3cret' in reader.read()
    rescue.remove(instance.uuid)
    rescue.remove(instance.uuid)
    assert files(instance) == ['disk'] and open(own).read() == 'mine'


def test_a_rescue_disk_that_cannot_be_made_leaves_nothing(source, cache):  # noqa: F811
    instance = make_instance(config_drive=True)
    with pytest.raises(exception.ImageNotFound):
        make(cache, instance, None)
    with pytest.raises(exception.FlavorDiskTooSmall):
        make(cache, instance, add_image(source, 'big', size=2 * GIB))
    source.fault = OSError(28, 'No space left on device')
    with pytest.raises(exception.DiskFull):
        make(cache, instance, add_image(source, 'r'))
    assert files(instance) == []


def test_a_cdrom_may_be_larger_than_the_flavor(source, cache):  # noqa: F811
    instance = make_instance(system_metadata={'rescue_device': 'cdrom'})
    make(cache, instance, add_image(source, 'big', size=2 * GIB))
    assert files(instance) == ['base.rescue', 'disk.rescue']
