from __future__ import annotations

import re

import pytest

from minicompute import exception
from minicompute.objects import Flavor
from minicompute.virt import hardware
from minicompute.virt.hardware import Topology


def flavor(vcpus=1, **specs):
    return Flavor(
        '1',
        'm1',
        memory_mb=256,
        vcpus=vcpus,
        root_gb=1,
        extra_specs={k.replace('__', ':'): v for k, v in specs.items()},
    )


@pytest.mark.parametrize('vcpus, specs, image, expected', [
    (1, {}, {}, (1, 1, 1)),
    (4, {}, {}, (4, 1, 1)),
    (4, {'hw:cpu_cores': '4'}, {}, (1, 4, 1)),
    (4, {'hw:cpu_sockets': '2'}, {}, (2, 2, 1)),
    (8, {'hw:cpu_sockets': '2', 'hw:cpu_threads': '2'}, {}, (2, 2, 2)),
    (8, {'hw:cpu_max_sockets': '2'}, {}, (2, 4, 1)),
    (8, {'hw:cpu_max_sockets': '2', 'hw:cpu_max_cores': '2'}, {}, (2, 2, 2)),
    # the flavor's preference goes before the image's, the image's before none
    (4, {'hw:cpu_sockets': '1'}, {'hw_cpu_sockets': 4}, (1, 4, 1)),
    (4, {}, {'hw_cpu_sockets': 1}, (1, 4, 1)),
    # a preference that cannot be met is only a preference
    (3, {'hw:cpu_sockets': '2'}, {}, (3, 1, 1)),
    (8, {'hw:cpu_max_sockets': '8'}, {'hw_cpu_max_sockets': '1'}, (1, 8, 1)),
])
def test_topology(vcpus, specs, image, expected):
    assert hardware.topology(vcpus, specs, image) == Topology(*expected)


@pytest.mark.parametrize('vcpus, specs, image', [
    (7, {'hw:cpu_max_sockets': '2', 'hw:cpu_max_cores': '2', 'hw:cpu_max_threads': '2'}, {}),
    (4, {'hw:cpu_max_sockets': '1'}, {'hw_cpu_max_sockets': '2'}),
    (4, {'hw:cpu_sockets': 'many'}, {}),
    (4, {'hw:cpu_sockets': '0'}, {}),
])
def test_topology_refused(vcpus, specs, image):
    with pytest.raises(exception.InvalidInput):
        hardware.topology(vcpus, specs, image)


def test_defaults():
    wanted = hardware.guest(flavor(), {})
    assert (wanted.firmware, wanted.vif_model, wanted.rng, wanted.guest_agent, wanted.watchdog) == (
        'bios', 'virtio', True, False, 'disabled')
    assert wanted.disk_bus is None and wanted.machine_type is None and wanted.tuning == {}


def test_wishes():
    wanted = hardware.guest(
        flavor(
            hw_rng__allowed='False',
            hw__watchdog_action='reset',
            quota__disk_read_bytes_sec='100',
            quota__cpu_quota='-1',
            hw_video__ram_max_mb='64',
        ),
        {
            'hw_watchdog_action': 'pause',
            'hw_disk_bus': 'SCSI',
            'hw_qemu_guest_agent': 'yes',
            'hw_video_ram': '16',
            'hw_firmware_type': 'uefi',
            'os_secure_boot': 'required',
            'hw_machine_type': 'q35',
        },
    )
    assert not wanted.rng and wanted.guest_agent and wanted.secure_boot
    assert (wanted.watchdog, wanted.disk_bus, wanted.video_ram_mb) == ('reset', 'scsi', 16)
    assert wanted.tuning == {'disk_read_bytes_sec': 100, 'cpu_quota': -1}


@pytest.mark.parametrize('specs, image', [
    ({}, {'hw_disk_bus': 'punchcard'}),
    ({}, {'hw_machine_type': 'pc,accel=x'}),
    ({}, {'os_secure_boot': 'required'}),
    ({}, {'hw_video_ram': '16'}),
    ({'quota__cpu_shares': 'all'}, {}),
    ({}, {'hw_rng_model': 'haveged'}),
    ({}, {'hw_input_bus': 'ps2'}),
    ({}, {'hw_sound_model': 'loud'}),
    ({}, {'hw_usb_model': 'uhci'}),
    ({}, {'hw_serial_port_count': '5'}),
])
def test_what_a_user_got_wrong_names_the_key(specs, image):
    with pytest.raises(exception.InvalidInput) as caught:
        hardware.guest(flavor(**specs), image)
    key = next(iter({**specs, **image})).replace('__', ':')
    assert key in str(caught.value)


@pytest.mark.parametrize('key, value', [('hw:cpu_policy', 'dedicated'), ('hw:numa_nodes', '2'),
                                        ('hw:mem_page_size', 'large'), ('pci_passthrough:alias', 'gpu:1')])
def test_a_promise_that_is_not_kept_is_refused(key, value):
    with pytest.raises(exception.NotImplementedHere, match=key):
        hardware.guest(flavor(**{key.replace(':', '__'): value}), {})


def test_shared_cpus_and_small_pages_are_what_everybody_gets():
    hardware.guest(flavor(hw__cpu_policy='shared', hw__mem_page_size='small', hw__mem_encryption='False'),
                   {'hw_cpu_policy': 'shared', 'hw_mem_page_size': 'any', 'hw_mem_encryption': 'false',
                    'hw_architecture': 'x86_64', 'hw_emulation_architecture': 'x86_64'})


@pytest.mark.parametrize('key, value', [
    ('hw_cpu_policy', 'dedicated'), ('hw_cpu_thread_policy', 'isolate'), ('hw_cpu_realtime_mask', '^0'),
    ('hw_numa_nodes', '2'), ('hw_numa_cpus.0', '0,1'), ('hw_numa_mem.1', '512'), ('hw_mem_page_size', '1GB'),
    ('hw_mem_encryption', 'true'), ('hw_tpm_version', '2.0'), ('hw_locked_memory', 'yes'), ('hw_viommu_model', 'intel'),
    ('hw_virtio_packed_ring', 'true'), ('hw_maxphysaddr_mode', 'emulate'), ('hw_ephemeral_encryption', 'true'),
    ('hw_firmware_stateless', 'true'), ('hw_redirected_usb_ports', '2'), ('hw_emulation_architecture', 'aarch64')])
def test_what_an_image_asks_for_and_cannot_have(key, value):
    with pytest.raises(exception.NotImplementedHere, match=re.escape(key)):
        hardware.guest(flavor(), {key: value})


@pytest.mark.parametrize('specs, image, field, expected', [
    ({'hw__pmu': 'false'}, {}, 'pmu', False), ({}, {'hw_pmu': 'true'}, 'pmu', True), ({}, {}, 'pmu', None),
    ({}, {'hw_time_hpet': 'true'}, 'hpet', True), ({}, {'hw_input_bus': 'virtio'}, 'input_bus', 'virtio'),
    ({'hw__sound_model': 'ich9'}, {}, 'sound_model', 'ich9'), ({}, {'hw_sound_model': 'ac97'}, 'sound_model', 'ac97'),
    ({'hw__usb_model': 'qemu-xhci'}, {'hw_usb_model': 'qemu-xhci'}, 'usb_model', 'qemu-xhci'),
    ({'hw__serial_port_count': '3'}, {}, 'serial_ports', 3),
    ({'hw__serial_port_count': '3'}, {'hw_serial_port_count': '2'}, 'serial_ports', 2), ({}, {}, 'serial_ports', 1)])
def test_wishes_of_either(specs, image, field, expected):
    assert getattr(hardware.guest(flavor(**specs), image), field) == expected


@pytest.mark.parametrize('specs, image, key', [
    ({'hw__pmu': 'true'}, {'hw_pmu': 'false'}, 'hw_pmu'),
    ({'hw__sound_model': 'ich9'}, {'hw_sound_model': 'ac97'}, 'hw_sound_model'),
    ({'hw__serial_port_count': '1'}, {'hw_serial_port_count': '2'}, 'hw_serial_port_count')])
def test_flavor_and_image_may_not_disagree(specs, image, key):
    with pytest.raises(exception.InvalidInput, match=key):
        hardware.guest(flavor(**specs), image)


@pytest.mark.parametrize('specs, image, key', [
    ({}, {'hw_numa_nodes': '2'}, 'hw_numa_nodes'), ({}, {'hw_tpm_version': '2.0'}, 'hw_tpm_version'),
    ({'hw__cpu_policy': 'dedicated'}, {}, 'hw:cpu_policy'), ({}, {'hw_vif_model': 'xen'}, 'hw_vif_model'),
    ({}, {'hw_rng_model': 'isa'}, 'hw_rng_model'), ({}, {'hw_firmware_type': 'rom'}, 'hw_firmware_type'),
    ({}, {'hw_cpu_max_cores': 'many'}, 'hw_cpu_max_cores'),
    ({'hw__sound_model': 'ich9'}, {'hw_sound_model': 'ac97'}, 'hw_sound_model')])
def test_a_guest_that_lives_goes_on_without_what_is_refused(specs, image, key):
    with pytest.raises((exception.InvalidInput, exception.NotImplementedHere), match=key):
        hardware.guest(flavor(4, **specs), image)
    wanted, left = hardware.living(flavor(4, **specs), {**image, 'hw_disk_bus': 'scsi'})
    assert wanted == hardware.guest(flavor(4), {'hw_disk_bus': 'scsi'})
    assert len(left) == 1 and key in left[0]


def test_a_guest_that_lives_has_all_its_wishes():
    specs, image = {'hw__cpu_cores': '2', 'quota__cpu_shares': '7'}, {
        'hw_firmware_type': 'uefi', 'os_secure_boot': 'required', 'hw_vif_model': 'e1000', 'hw_pmu': 'true'}
    assert hardware.living(flavor(4, **specs), image) == (hardware.guest(flavor(4, **specs), image), [])


def test_uptime_reads_like_uptime():
    assert ' up ' in hardware.uptime() and 'load average: ' in hardware.uptime()
