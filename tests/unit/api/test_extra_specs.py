"""Which extra specs of flavors 2.86 knows, and what their values may be."""
from __future__ import annotations

import pytest

from minicompute import exception
from minicompute.api.validation import extra_specs

GOOD = [
    ('hw:cpu_policy', 'mixed'), ('hw:cpu_thread_policy', 'isolate'), ('hw:cpu_realtime', 'TRUE'),
    ('hw:cpu_realtime_mask', '^0-1'), ('hw:cpu_dedicated_mask', '0-3,^2,5'), ('hw:numa_cpus.0', '0,1'),
    ('hw:numa_mem.12', '1'), ('hw:numa_nodes', ' 2 '), ('hw:mem_page_size', '2MB'), ('hw:mem_page_size', '1048576'),
    ('hw:mem_page_size', 'large'), ('hw:mem_page_size', '1Gib'), ('hw:mem_encryption_model', 'intel-tdx'),
    ('hw:pmem', 'a,b'), ('hw:pmem', 'a,'), ('hw:usb_model', 'none'), ('hw:redirected_usb_ports', '15'),
    ('hw:locked_memory', 'yes'), ('hw:viommu_model', 'auto'), ('hw:ephemeral_encryption_format', 'luksv2'),
    ('hw_rng:allowed', 'f'), ('hw_rng:rate_bytes', '0'), ('hw_video:ram_max_mb', '16'), ('os:secure_boot', 'disabled'),
    ('pci_passthrough:alias', 'a1:2, b2:1'), ('quota:cpu_quota', '-1'), ('quota:memory_reservation', '-5'),
    ('quota:disk_total_iops_sec', '100'), ('quota:vif_outbound_burst', '1'), ('quota:cpu_shares_level', 'custom'),
    ('capabilities:hypervisor_type', 's== QEMU'), ('capabilities:cpu_info:topology:cores', '>= 2'),
    ('aggregate_instance_extra_specs:ssd', 'true'), ('resources:VCPU', '2'), ('resources1:CUSTOM_GOLD', '-1'),
    ('resources_NUMA-a:PCPU', '1'), ('trait:HW_CPU_X86_AVX2', 'required'), ('trait7:CUSTOM_X', 'forbidden'),
    ('group_policy', 'none'), ('hide_hypervisor_id', '1'), ('accel:device_profile', 'any'), ('vmware:hw_version', 'x'),
    ('mine:any', 'thing'), ('any', 'thing'), ('powervm:min_mem', '1'), ('hwx:y', 'z')]
BAD = [
    ('hw:cpu_policy', 'sometimes'), ('hw:nonsense', '1'), ('hw:cpu_sockets', '0'), ('hw:cpu_realtime', 'maybe'),
    ('hw:cpu_dedicated_mask', '^'), ('hw:cpu_dedicated_mask', '1,'), ('hw:numa_cpus.x', '1'), ('hw:numa_mem.0', '0'),
    ('hw:mem_page_size', 'huge'), ('hw:pmem', ',a'), ('hw:pmem', 'a,,b'), ('hw:redirected_usb_ports', '16'),
    ('hw:maxphysaddr_mode', 'emulate'), ('hw_rng:rate_bytes', '-1'), ('os:secure_boot', 'optional'),
    ('os:monitors', '1'), ('pci_passthrough:alias', 'a1'), ('pci_passthrough:alias', 'a:x'),
    ('quota:cpu_limit', '-1'), ('quota:disk_read_bytes_sec_max', '1'), ('quota:nope', '1'),
    ('capabilities:nonsense', 'x'), ('resources:NONSENSE', '1'), ('resources:VCPU', 'x'), ('resources:CUSTOM_a', '1'),
    (f'resources{"x" * 64}:NONSENSE', '1'), ('trait:NONSENSE', 'required'), ('trait:HW_CPU_X86_AVX2', 'maybe'),
    ('group_policy', 'x'), ('accel:x', 'y'), ('vmware:x', 'y'), ('hw:cpu_policy\n', 'shared')]


@pytest.mark.parametrize(('name', 'value'), GOOD)
def test_good(name, value):
    extra_specs.check(name, value)


@pytest.mark.parametrize(('name', 'value'), BAD)
def test_bad(name, value):
    with pytest.raises(exception.Invalid) as caught:
        extra_specs.check(name, value)
    assert name[:64] in str(caught.value)


def test_the_registry_is_as_large_as_novas():
    assert len(extra_specs.KNOWN) == 111
    assert extra_specs.NAMESPACES == {'accel', 'aggregate_instance_extra_specs', 'capabilities', 'hw', 'hw_rng',
                                      'hw_video', 'os', 'pci_passthrough', 'quota', 'vmware'}


def test_no_text_takes_long():
    for name in ('hw:pmem', 'hw:cpu_dedicated_mask', 'pci_passthrough:alias', 'hw:mem_page_size'):
        with pytest.raises(exception.Invalid):
            extra_specs.check(name, 'a1-,:0' * 40 + '!')
        with pytest.raises(exception.Invalid):
            extra_specs.check(name, 'a' * 240 + '!')
