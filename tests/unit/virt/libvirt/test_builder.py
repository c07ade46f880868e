from __future__ import annotations

import datetime
import os
import uuid
from unittest.mock import MagicMock

import pytest

from minicompute import exception
from minicompute.objects import BlockDevice, ImageMeta
from minicompute.virt.driver import SpawnRequest
from minicompute.virt.libvirt import guest, layout
from minicompute.virt.libvirt.builder import Builder, digest
from minicompute.virt.libvirt.driver import LibvirtDriver

from .conftest import make_caps, make_instance, make_vif


def domain(instance, **caps):
    return Builder(make_caps(**caps)).domain(instance).xml()


def test_a_plain_server():
    tree = domain(make_instance(network_info=[make_vif()]))
    assert tree.find('os/type').get('machine') == 'pc'
    assert [
        (d.find('target').get('dev'), d.find('driver').get('type')) for d in tree.findall('devices/disk')
    ] == [('vda', 'qcow2')]
    assert tree.find('cpu').get('mode') is None
    assert tree.find('devices/interface/filterref/parameter').get('value') == '10.9.0.5'
    assert tree.find('devices/serial/log').get('file').endswith('/console.log')
    assert tree.find('devices/graphics').get('listen') == '127.0.0.1'
    assert tree.find('devices/video/model').get('type') == 'vga'


@pytest.mark.parametrize(
    'virt_type, cpu_mode, expected',
    [
        ('qemu', None, None),
        ('kvm', None, 'host-model'),
        ('kvm', 'none', None),
        ('kvm', 'host-passthrough', 'host-passthrough'),
    ],
)
def test_cpu_mode(option, virt_type, cpu_mode, expected):
    option('libvirt', cpu_mode=cpu_mode)
    assert domain(make_instance(), virt_type=virt_type).find('cpu').get('mode') == expected


def test_custom_cpu_takes_the_newest_that_works(option):
    option(
        'libvirt',
        cpu_mode='custom',
        cpu_models=['Nehalem', 'Haswell', 'Icelake'],
        cpu_model_extra_flags=['+PCID', '-avx'],
    )
    cpu = domain(make_instance()).find('cpu')
    assert cpu.findtext('model') == 'Haswell'
    assert {f.get('name'): f.get('policy') for f in cpu.findall('feature')} == {
        'pcid': 'require',
        'avx': 'disable',
    }


def test_machine_type_of_the_image_then_of_the_configuration(option):
    option('libvirt', hw_machine_type=['x86_64=q35'])
    assert domain(make_instance()).find('os/type').get('machine') == 'q35'
    image = make_instance(image_properties={'hw_machine_type': 'pc'})
    assert domain(image).find('os/type').get('machine') == 'pc'


def test_the_config_drive_hangs_on_what_the_machine_has():
    for machine, bus, target in (('pc', 'ide', 'hda'), ('q35', 'sata', 'sda')):
        tree = domain(make_instance(config_drive=True, image_properties={'hw_machine_type': machine}))
        found = tree.find("devices/disk[@device='cdrom']/target")
        assert (found.get('bus'), found.get('dev')) == (bus, target)


def test_scsi_disks_get_a_controller():
    tree = domain(make_instance(image_properties={'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi'}))
    assert tree.find("devices/controller[@type='scsi']").get('model') == 'virtio-scsi'
    assert tree.find('devices/disk/target').get('dev') == 'sda'


def test_direct_boot_when_the_build_left_a_kernel(state):
    instance = make_instance()
    directory = state / 'instances' / instance.uuid
    directory.mkdir()
    assert domain(instance).find('os/kernel') is None
    (directory / 'kernel').touch()
    tree = domain(instance)
    assert tree.findtext('os/kernel') == str(directory / 'kernel')
    assert tree.findtext('os/cmdline') == 'root=/dev/vda console=tty0 console=ttyS0'


def test_many_queues_only_with_virtio_and_more_than_one_core(option):
    option('libvirt', max_queues=3)
    many = {'hw_vif_multiqueue_enabled': 'true'}
    for vcpus, model, queues in (
        (4, 'virtio', '3'),
        (2, 'virtio', '2'),
        (1, 'virtio', None),
        (4, 'e1000', None),
    ):
        tree = domain(
            make_instance(
                {'vcpus': vcpus}, network_info=[make_vif()], image_properties={**many, 'hw_vif_model': model}
            )
        )
        driver = tree.find('devices/interface/driver')
        assert (driver.get('queues') if driver is not None else None) == queues


def test_tuning_of_the_flavor():
    specs = {'quota:cpu_shares': '10', 'quota:disk_read_iops_sec': '20', 'quota:vif_inbound_average': '30'}
    tree = domain(make_instance({'extra_specs': specs}, network_info=[make_vif()], config_drive=True))
    assert tree.findtext('cputune/shares') == '10'
    assert [d.findtext('iotune/read_iops_sec') for d in tree.findall('devices/disk')] == ['20', None]
    assert tree.find('devices/interface/bandwidth/inbound').get('average') == '30'


def test_devices_on_demand():
    tree = domain(make_instance({'extra_specs': {'hw_rng:allowed': 'false', 'hw:watchdog_action': 'reset'}},
                                image_properties={'hw_qemu_guest_agent': 'yes', 'hw_video_model': 'none'}))
    assert tree.find('devices/rng') is None and tree.find('devices/watchdog').get('action') == 'reset'
    assert tree.find('devices/channel') is not None and tree.find('devices/video/model').get('type') == 'none'


def test_no_vnc_no_screen(option):
    option('vnc', enabled=False)
    tree = domain(make_instance())
    assert tree.find('devices/graphics') is None and tree.find('devices/video') is None


def test_spice_beside_vnc_or_alone(option):
    option('spice', enabled=True)
    tree = domain(make_instance())
    assert [one.get('type') for one in tree.findall('devices/graphics')] == ['vnc', 'spice']
    option('vnc', enabled=False)
    option('spice', agent_enabled=False)
    tree = domain(make_instance())
    assert [one.get('type') for one in tree.findall('devices/graphics')] == ['spice']
    assert tree.find('devices/video') is not None and tree.find('devices/channel') is None


def test_a_serial_console_that_users_type_into_listens(option):
    assert domain(make_instance()).find('devices/serial').get('type') == 'pty'
    option('serial_console', proxyclient_address='10.1.1.1')
    tree = Builder(make_caps(), lambda _uuid: 10007).domain(make_instance()).xml()
    assert tree.find('devices/serial').get('type') == 'tcp'
    assert tree.find('devices/serial/source').attrib == {'mode': 'bind', 'host': '10.1.1.1', 'service': '10007'}


@pytest.mark.parametrize('image, caps, error', [
    ({'hw_machine_type': 'sun4m'}, {}, exception.InvalidInput),
    ({'hw_firmware_type': 'uefi'}, {'uefi': False}, exception.NotImplementedHere),
    ({'hw_firmware_type': 'uefi', 'os_secure_boot': 'required'}, {}, exception.InvalidInput),
    ({'hw_architecture': 'aarch64'}, {}, exception.InvalidInput),
])
def test_what_this_host_cannot_give_is_refused(image, caps, error):
    with pytest.raises(error):
        domain(make_instance(image_properties=image), **caps)


@pytest.mark.parametrize('image', [{'hw_numa_nodes': '2'}, {'hw_vif_model': 'xen'}, {'hw_input_bus': 'adb'}])
def test_what_is_refused_to_new_servers_stops_none_that_ran_before(image, caplog):
    """An image of Nova's, or of a time when we did not know the property."""
    key = next(iter(image))
    new, old = make_instance(image_properties=image), make_instance(image_properties=image)
    old.launched_at = datetime.datetime(2026, 1, 1)
    with pytest.raises(exception.ComputeException, match=key):
        domain(new)
    assert domain(old).find('os') is not None
    assert f'Instance {old.uuid} has run before' in caplog.text and key in caplog.text
    assert Builder(make_caps()).disks(old)
    with pytest.raises(exception.ComputeException, match=key):      # it gets another image, or flavor
        Builder(make_caps()).check(old)
    assert old.launched_at


@pytest.mark.parametrize('verb', ['check_rebuild', 'fetch_image', 'free_root', 'rebuild'])
def test_a_rebuild_for_which_the_host_has_not_the_hardware_touches_nothing(verb, monkeypatch):
    """Whichever of them is first."""
    instance = make_instance(image_properties={'hw_machine_type': 'microvm'})
    driver = LibvirtDriver.__new__(LibvirtDriver)
    driver._host = driver._events = driver._networks = driver._cache = driver._disks = MagicMock()
    domain = MagicMock()
    monkeypatch.setattr(LibvirtDriver, '_builder', Builder(make_caps()))
    monkeypatch.setattr(LibvirtDriver, '_must_be_ours', lambda *_: None)
    monkeypatch.setattr(guest, 'find', lambda *_: domain)
    monkeypatch.setattr(guest, 'remove', domain)
    arguments = {'check_rebuild': (instance,), 'fetch_image': (instance, ImageMeta(id='i')),
                 'free_root': (instance, BlockDevice('blank', 'volume')), 'rebuild': (SpawnRequest(instance),)}[verb]
    with pytest.raises(exception.InvalidInput, match='hw_machine_type'):
        getattr(driver, verb)(*arguments, **({'preserve_ephemeral': False, 'start': True} if verb == 'rebuild' else {}))
    assert not domain.mock_calls and not driver._cache.disk.called and not driver._disks.remake.called


def test_hyperv_and_hidden_kvm_are_for_kvm():
    instance = make_instance(image_properties={'os_type': 'windows', 'img_hide_hypervisor_id': 'true'})
    assert domain(instance).find('features/kvm') is None and domain(instance).find('features/hyperv') is None
    assert domain(instance, virt_type='kvm').find('features/kvm/hidden') is not None
    assert domain(instance).find('clock').get('offset') == 'localtime'


def test_digest_is_about_what_a_domain_is_made_from():
    one = make_instance()
    before = digest(one)
    one.task_state, one.power_state, one.metadata = 'spawning', 1, {'a': 'b'}
    assert digest(one) == before
    one.network_info = [make_vif()]
    assert digest(one) != before


# -- the layout of the disks -------------------------------------------------------

def disks(instance):
    return Builder(make_caps()).disks(instance)


def test_disks_of_the_flavor():
    found = disks(make_instance({'ephemeral_gb': 2, 'swap': 64}))
    assert [(d.kind, d.target, d.size >> 20, d.filesystem) for d in found] == [
        ('root', 'vda', 1024, None), ('ephemeral', 'vdb', 2048, 'ext4'), ('swap', 'vdc', 64, 'swap')]


def test_disks_of_the_request_replace_those_of_the_flavor():
    blank = {'source_type': 'blank', 'destination_type': 'local'}
    found = disks(make_instance({'ephemeral_gb': 4, 'swap': 64}, block_devices=[
        BlockDevice('image', 'local', boot_index=0, image_id='img'),
        BlockDevice(**blank, volume_size=1, guest_format='vfat'), BlockDevice(**blank, volume_size=2),
        BlockDevice(**blank, volume_size=32, guest_format='swap')]))
    assert [(d.kind, d.size >> 20, d.filesystem) for d in found] == [
        ('root', 1024, None), ('ephemeral', 1024, 'vfat'), ('ephemeral', 2048, 'ext4'), ('swap', 32, 'swap')]


@pytest.mark.parametrize('device, error', [
    (BlockDevice('volume', 'volume', boot_index=0), exception.InvalidBDM),
    (BlockDevice('image', 'volume', boot_index=0, volume_size=1), exception.InvalidBDM),
    (BlockDevice('image', 'local', image_id='other'), exception.InvalidBDM),
    (BlockDevice('blank', 'local', boot_index=0), None),
])
def test_disks_that_cannot_be(device, error):
    if error is None:
        assert disks(make_instance(block_devices=[device]))[0].from_image is False
        return
    with pytest.raises(error):
        disks(make_instance(block_devices=[device]))


def test_the_format_goes_by_the_name_of_the_file(option, state):
    instance = make_instance()
    directory = state / 'instances' / instance.uuid
    directory.mkdir()
    assert disks(instance)[0].format == 'qcow2'
    option('libvirt', images_type='raw')
    assert disks(instance)[0].path == str(directory / 'disk.raw')
    (directory / 'disk').touch()   # built before the option was changed
    assert disks(instance)[0].format == 'qcow2'
    assert layout.directory(instance.uuid) == str(directory)


# -- volumes -------------------------------------------------------------------

def volume(**facts):
    return BlockDevice(**{'source_type': 'volume', 'destination_type': 'volume', 'volume_id': str(uuid.uuid4()),
                          'volume_size': 1, **facts})


def drives(instance):
    """(name, file, serial, boot order) of each disk of the domain"""
    return [(disk.find('target').get('dev'), os.path.basename(disk.find('source').get('file')),
             disk.findtext('serial'), disk.find('boot') is not None)
            for disk in domain(instance).findall('devices/disk')]


def test_volumes_have_the_names_that_users_were_told():
    one, two = volume(device_name='/dev/vdd'), volume(device_name='/dev/vdb')
    coming = volume(connection_info={'state': 'swapping'})
    found = drives(make_instance(block_devices=[one, two, coming], config_drive=True))
    assert [(name, serial) for name, _, serial, _ in found] == [
        ('vda', None), ('hda', None), ('vdd', one.volume_id), ('vdb', two.volume_id)]
    assert found[2][1] == f'{one.volume_id}.qcow2' and [boots for *_, boots in found] == [True, False, False, False]


def test_a_name_that_a_disk_of_the_server_has_is_not_given_twice():
    flavor = {'swap': 64}
    found = drives(make_instance(flavor=flavor, block_devices=[volume(device_name='/dev/vdb'), volume()]))
    assert [name for name, *_ in found] == ['vda', 'vdb', 'vdc', 'vdd']


def test_a_volume_to_boot_from_is_the_first_disk():
    root, more = volume(boot_index=0, device_name='/dev/vda'), volume(device_name='/dev/vdb')
    flavor = {'swap': 64}
    instance = make_instance(image_ref='', flavor=flavor, block_devices=[more, root])
    assert [(name, serial, boots) for name, _, serial, boots in drives(instance)] == [
        ('vda', root.volume_id, True), ('vdb', None, False), ('vdc', more.volume_id, False)]
    assert [disk.kind for disk in Builder(make_caps()).disks(instance)] == ['swap'], 'what a move copies'


def test_the_tuning_of_a_flavor_is_not_for_volumes():
    flavor = {'extra_specs': {'quota:disk_read_iops_sec': '10'}}
    tree = domain(make_instance(flavor=flavor, block_devices=[volume()]))
    assert [disk.find('iotune') is not None for disk in tree.findall('devices/disk')] == [True, False]


def test_a_bus_has_an_end():
    with pytest.raises(exception.InvalidBDM, match='no room'):
        domain(make_instance(block_devices=[volume() for _ in range(26)]))


def test_what_images_ask_for_beside_the_usual():
    tree = domain(make_instance(image_properties={
        'hw_pmu': 'false', 'hw_time_hpet': 'true', 'hw_input_bus': 'virtio', 'hw_sound_model': 'ich9',
        'hw_usb_model': 'qemu-xhci', 'hw_serial_port_count': '3', 'hw_rng_model': 'virtio'}))
    assert tree.find('features/pmu').get('state') == 'off'
    assert tree.find("clock/timer[@name='hpet']").get('present') == 'yes'
    assert [(one.get('type'), one.get('bus')) for one in tree.findall('devices/input')] == [
        ('tablet', 'virtio'), ('keyboard', 'virtio')]
    assert tree.find('devices/sound').get('model') == 'ich9'
    assert tree.find("devices/controller[@type='usb']").get('model') == 'qemu-xhci'
    ports = tree.findall('devices/serial')
    assert [one.find('target').get('port') for one in ports] == ['0', '1', '2']
    assert [one.find('log') is not None for one in ports] == [True, False, False]


def test_a_guest_without_usb_has_no_tablet_on_it():
    plain = domain(make_instance())
    assert plain.find('features/pmu') is None and plain.find('devices/sound') is None
    assert [one.get('bus') for one in plain.findall('devices/input')] == ['usb']
    assert domain(make_instance(image_properties={'hw_usb_model': 'none'})).find('devices/input') is None
