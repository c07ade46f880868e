"""Known extra specs of flavors (checked from 2.86 on): their names and what their values may be.

A name in a namespace that is not ours passes: other filters may read it. So does one without a namespace. The
expressions are linear: no two ways to match one text, whatever an operator pastes.
"""
from __future__ import annotations

import functools
import re
from collections.abc import Callable

from oslo_utils import strutils

from minicompute import exception

Check = Callable[[str], bool]

CUSTOM = re.compile('CUSTOM_[A-Z0-9_]+')


def _number(low: int | None = None, high: int | None = None) -> Check:
    def fits(value: str) -> bool:
        try:
            number = int(value)
        except ValueError:
            return False
        return (low is None or low <= number) and (high is None or number <= high)
    return fits


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _like(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


def _boolean(value: str) -> bool:
    try:
        strutils.bool_from_string(value, strict=True)
    except ValueError:
        return False
    return True


def _text(_value: str) -> bool:
    return True


_CPUS = _like(r'\^?[0-9]+(-[0-9]+|,\^?[0-9]+)*')
_AMOUNT, _COUNT = _number(0), _number(1)

#: whole name, or name up to a `{parameter}` -> what its value may be
KNOWN: dict[str, Check] = {
    'hide_hypervisor_id': _boolean,
    'group_policy': _one_of('isolate', 'none'),
    'accel:device_profile': _text,
    'hw:cpu_policy': _one_of('dedicated', 'shared', 'mixed'),
    'hw:cpu_thread_policy': _one_of('prefer', 'isolate', 'require'),
    'hw:emulator_threads_policy': _one_of('isolate', 'share'),
    'hw:cpu_dedicated_mask': _CPUS,
    'hw:cpu_realtime_mask': _CPUS,
    'hw:numa_nodes': _COUNT,
    'hw:pci_numa_affinity_policy': _one_of('required', 'preferred', 'legacy', 'socket'),
    'hw:mem_page_size': _like(r'large|small|any|[0-9]+([kKMGT]i?)?(b|bit|B)?'),
    'hw:mem_encryption_model': _one_of('amd-sev', 'amd-sev-es', 'amd-sev-snp', 'intel-tdx'),
    'hw:pmem': _like(r'[a-zA-Z0-9_]+(,[a-zA-Z0-9_]+)*,?'),
    'hw:serial_port_count': _AMOUNT,
    'hw:tpm_model': _one_of('tpm-tis', 'tpm-crb'),
    'hw:tpm_version': _one_of('1.2', '2.0'),
    'hw:tpm_secret_security': _one_of('user', 'host', 'deployment'),
    'hw:watchdog_action': _one_of('none', 'pause', 'poweroff', 'reset', 'disabled'),
    'hw:viommu_model': _one_of('intel', 'smmuv3', 'virtio', 'auto'),
    'hw:sound_model': _one_of('sb16', 'es1370', 'pcspk', 'ac97', 'ich6', 'ich9', 'usb', 'virtio'),
    'hw:usb_model': _one_of('none', 'nec-xhci', 'qemu-xhci'),
    'hw:redirected_usb_ports': _number(0, 15),
    'hw:ephemeral_encryption_format': _one_of('plain', 'luks', 'luksv2'),
    'hw_rng:allowed': _boolean,
    'hw_rng:rate_bytes': _AMOUNT,
    'hw_rng:rate_period': _AMOUNT,
    'hw_video:ram_max_mb': _AMOUNT,
    'os:secure_boot': _one_of('disabled', 'required'),
    'pci_passthrough:alias': _like(r'[^:]+:[0-9]+(\s*,[^:]+:[0-9]+)*'),
    'quota:cpu_shares': _AMOUNT,
    'quota:cpu_period': _AMOUNT,
    'quota:cpu_quota': _number(),
    'vmware:hw_version': _text,
    'vmware:storage_policy': _text,
    **dict.fromkeys((f'hw:{name}' for name in (
        'boot_menu', 'cpu_realtime', 'ephemeral_encryption', 'hide_hypervisor_id', 'locked_memory', 'mem_encryption',
        'pmu', 'vif_multiqueue_enabled', 'virtio_packed_ring')), _boolean),
    **dict.fromkeys((f'hw:cpu_{most}{part}' for most in ('', 'max_') for part in ('sockets', 'cores', 'threads')),
                    _COUNT),
    **{f'quota:{part}_{name}': check for part in ('cpu', 'memory', 'disk_io', 'vif') for name, check in (
        ('limit', _AMOUNT), ('reservation', _number()), ('shares_share', _AMOUNT),
        ('shares_level', _one_of('custom', 'high', 'normal', 'low')))},
    **{f'quota:disk_{way}_{unit}_sec': _AMOUNT for way in ('read', 'write', 'total') for unit in ('bytes', 'iops')},
    **{f'quota:vif_{way}_{figure}': _AMOUNT for way in ('inbound', 'outbound')
       for figure in ('average', 'peak', 'burst')},
    **{f'capabilities:{name}': _text for name in (
        'id', 'uuid', 'service_id', 'host', 'vcpus', 'memory_mb', 'local_gb', 'vcpus_used', 'memory_mb_used',
        'local_gb_used', 'hypervisor_type', 'hypervisor_version', 'hypervisor_hostname', 'free_ram_mb', 'free_disk_gb',
        'current_workload', 'running_vms', 'disk_available_least', 'host_ip', 'mapped', 'cpu_allocation_ratio',
        'ram_allocation_ratio', 'disk_allocation_ratio', 'total_usable_ram_mb', 'total_usable_disk_gb', 'disk_mb_used',
        'free_disk_mb', 'vcpus_total', 'num_instances', 'num_io_ops', 'failed_builds', 'aggregates', 'cell_uuid',
        'updated')},
}

_NESTED = ('cpu_info', 'metrics', 'stats', 'numa_topology', 'supported_hv_specs', 'pci_device_pools', 'nodename',
           'pci_stats', 'supported_instances', 'limits', 'instances')
#: names with a parameter in them
PATTERNS: tuple[tuple[re.Pattern[str], Check], ...] = (
    (re.compile(r'hw:numa_cpus\.[0-9]+'), _CPUS),
    (re.compile(r'hw:numa_mem\.[0-9]+'), _COUNT),
    (re.compile(r'aggregate_instance_extra_specs:.+'), _text),
    (re.compile(rf'capabilities:({"|".join(_NESTED)})(:\w+)*'), _text),
)
_GROUPED = re.compile('(resources|trait)[a-zA-Z0-9_-]{0,64}')
NAMESPACES = frozenset(name.partition(':')[0] for name in KNOWN if ':' in name) | {
    'aggregate_instance_extra_specs'}


def check(name: str, value: str) -> None:
    """Raises Invalid for a name that is none in a namespace of ours, or a value that its name cannot have."""
    found = _check_of(name)
    if found is None:
        namespace, colon, _rest = name.partition(':')
        if colon and (namespace in NAMESPACES or _GROUPED.fullmatch(namespace)):
            raise exception.Invalid(f"Validation failed; '{name[:64]}' is not the name of an extra spec.")
    elif not found(value):
        raise exception.Invalid(f"Validation failed; invalid value '{value[:64]}' of extra spec '{name[:64]}'.")


def _check_of(name: str) -> Check | None:
    if name in KNOWN:
        return KNOWN[name]
    for pattern, check in PATTERNS:
        if pattern.fullmatch(name):
            return check
    namespace, _colon, thing = name.partition(':')
    grouped = _GROUPED.fullmatch(namespace)
    if grouped is None:
        return None
    if grouped[1] == 'resources':
        return _number() if thing in _resource_classes() or CUSTOM.fullmatch(thing) else None
    return _one_of('required', 'forbidden') if thing in _traits() or CUSTOM.fullmatch(thing) else None


@functools.cache
def _resource_classes() -> frozenset[str]:
    import os_resource_classes  # here, because few requests change extra specs

    return frozenset(os_resource_classes.STANDARDS)


@functools.cache
def _traits() -> frozenset[str]:
    import os_traits  # it looks through a folder of modules

    return frozenset(os_traits.get_traits())
