"""Known extra specs of flavors (checked from 2.86 on): their names and what their values may be.

A name in a namespace that is not ours passes: other filters may read it.
"""
from __future__ import annotations

import re
from collections.abc import Callable

from minicompute import exception
from minicompute.api.validation import parameter_types as types

Check = Callable[[str], bool]


def _number(low: int = 0, high: int = types.MAX_INTEGER) -> Check:
    return lambda value: re.fullmatch(r'-?[0-9]{1,12}', value) is not None and low <= int(value) <= high


def _one_of(*values: str) -> Check:
    return lambda value: value in values


def _like(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


_BOOLEAN = _like(r'(?i)(true|false|yes|no|on|off|1|0|t|f|y|n)')
_TEXT: Check = lambda value: True    # noqa: E731
_CPUS = r'\^?[0-9]+(-[0-9]+)?(,\^?[0-9]+(-[0-9]+)?)*'
_OPERATOR = _like(r'((<|>|==|!=|<=|>=|=|s<|s<=|s==|s!=|s>|s>=|<in>|<all-in>|<or>|<range-in>)\s+.+|[^<>=!].*)')

# (the whole name as a pattern, what its value may be)
KNOWN: tuple[tuple[str, Check], ...] = (
    (r'hw:cpu_policy', _one_of('dedicated', 'shared', 'mixed')),
    (r'hw:cpu_thread_policy', _one_of('prefer', 'isolate', 'require')),
    (r'hw:emulator_threads_policy', _one_of('isolate', 'share')),
    (r'hw:cpu_dedicated_mask', _like(_CPUS)),
    (r'hw:cpu_realtime', _BOOLEAN),
    (r'hw:cpu_realtime_mask', _like(rf'\^?{_CPUS}')),
    (r'hw:cpu_(sockets|cores|threads|max_sockets|max_cores|max_threads)', _number(1)),
    (r'hw:numa_nodes', _number(1)),
    (r'hw:numa_cpus\.[0-9]+', _like(_CPUS)),
    (r'hw:numa_mem\.[0-9]+', _number(1)),
    (r'hw:pci_numa_affinity_policy', _one_of('required', 'preferred', 'legacy', 'socket')),
    (r'hw:mem_page_size', _like(r'small|large|any|[0-9]+(Ki?B?|Mi?B?|Gi?B?|[kKMG]i?[bB]?)?')),
    (r'hw:mem_encryption|hw:locked_memory|hw:boot_menu|hw:pmu|hw:vif_multiqueue_enabled|hw:hide_hypervisor_id'
     r'|hw:virtio_packed_ring|hw:tpm_.*_enabled|hw_rng:allowed|hw:maxphysaddr_enabled', _BOOLEAN),
    (r'hw:mem_encryption_model', _one_of('amd-sev', 'amd-sev-es')),
    (r'hw:maxphysaddr_mode', _one_of('passthrough', 'emulate')),
    (r'hw:maxphysaddr_bits', _number(0)),
    (r'hw:serial_port_count', _number(0)),
    (r'hw:watchdog_action', _one_of('none', 'pause', 'poweroff', 'reset', 'disabled')),
    (r'hw:sound_model', _one_of('sb16', 'es1370', 'pcspk', 'ac97', 'ich6', 'ich9', 'usb', 'virtio')),
    (r'hw:usb_model', _one_of('piix3-uhci', 'piix4-uhci', 'ehci', 'ich9-ehci1', 'ich9-uhci1', 'vt82c686b-uhci',
                              'pci-ohci', 'nec-xhci', 'qemu-xhci')),
    (r'hw:redirected_usb_ports', _number(0, 15)),
    (r'hw:viommu_model', _one_of('auto', 'intel', 'smmuv3', 'virtio')),
    (r'hw:tpm_version', _one_of('1.2', '2.0')),
    (r'hw:tpm_model', _one_of('tpm-tis', 'tpm-crb')),
    (r'hw:tpm_secret_security', _one_of('user', 'host', 'deployment')),
    (r'hw:pmem', _TEXT),
    (r'hw:ephemeral_encryption', _BOOLEAN),
    (r'hw:ephemeral_encryption_format', _one_of('luks', 'luksv2', 'plain')),
    (r'hw_rng:rate_(bytes|period)', _number(0)),
    (r'hw_video:ram_max_mb', _number(0)),
    (r'quota:(cpu_shares|cpu_period|memory_limit|memory_reservation|memory_shares_share|disk_io_limit'
     r'|disk_io_reservation|disk_io_shares_share|vif_limit|vif_reservation|vif_shares_share|cpu_limit'
     r'|cpu_reservation|cpu_shares_share|disk_(read|write|total)_(bytes|iops)_sec(_max(_length)?)?'
     r'|vif_(inbound|outbound)_(average|burst|peak))', _number(0)),
    (r'quota:cpu_quota', _number(-1)),
    (r'quota:(cpu|memory|disk_io|vif)_shares_level', _one_of('custom', 'high', 'low', 'normal')),
    (r'os:secure_boot', _one_of('required', 'disabled', 'optional')),
    (r'os:monitors', _number(1, 8)),
    (r'os:vgpu.*', _TEXT),
    (r'trait(_?[A-Za-z0-9_,-]{1,64})?:[A-Z0-9_]{1,255}', _one_of('required', 'forbidden')),
    (r'resources(_?[A-Za-z0-9_,-]{1,64})?:[A-Z0-9_]{1,255}', _number(0)),
    (r'group_policy', _one_of('none', 'isolate')),
    (r'accel:device_profile', _TEXT),
    (r'aggregate_instance_extra_specs:.+', _TEXT),
    (r'capabilities:.+', _OPERATOR),
    (r'pci_passthrough:alias', _like(r'[^:]+:[0-9]+(,[^:]+:[0-9]+)*')),
    (r'powervm:.+|vmware:.+|hide_hypervisor_id', _TEXT),
)
_COMPILED = [(re.compile(pattern), check) for pattern, check in KNOWN]
_NAMESPACES = re.compile(r'(hw|hw_rng|hw_video|quota|os|trait\w*|resources\w*|accel|pci_passthrough):.*')


def check(name: str, value: str) -> None:
    """Raises Invalid for a name that is none in a namespace of ours, or a value that its name cannot have."""
    for pattern, fits in _COMPILED:
        if pattern.fullmatch(name):
            if not fits(value):
                raise exception.Invalid(f"Validation failed; invalid value '{value[:64]}' of extra spec '{name}'.")
            return
    if _NAMESPACES.fullmatch(name):
        raise exception.Invalid(f"Validation failed; '{name[:64]}' is not the name of an extra spec.")
