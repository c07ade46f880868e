from __future__ import annotations

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
        hardware.refuse_unkept({key: value})


def test_shared_cpus_and_small_pages_are_what_everybody_gets():
    hardware.refuse_unkept({'hw:cpu_policy': 'shared', 'hw:mem_page_size': 'small'})


def test_uptime_reads_like_uptime():
    assert ' up ' in hardware.uptime() and 'load average: ' in hardware.uptime()
