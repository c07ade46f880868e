from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from minicompute.objects.base import record


@record
class ImageMeta:
    """What the image service says of an image. `size` and `virtual_size` in bytes, `min_disk` in
    GiB, `min_ram` in MiB; `properties` holds hw_*, os_*, kernel_id, ramdisk_id and the user's own."""

    id: str | None = None
    name: str | None = None
    status: str = 'active'
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    min_disk: int = 0
    min_ram: int = 0
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    visibility: str = 'private'
    protected: bool = False
    owner: str | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    properties: dict[str, Any] = dataclasses.field(default_factory=dict)
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


_NAMES = {
    'hw': '''
        architecture auto_disk_config boot_menu cdrom_bus cpu_cores cpu_max_cores cpu_max_sockets
        cpu_max_threads cpu_policy cpu_realtime_mask cpu_sockets cpu_thread_policy cpu_threads device_id
        disk_bus disk_type emulation_architecture ephemeral_encryption ephemeral_encryption_format
        ephemeral_encryption_secret_uuid firmware_stateless firmware_type floppy_bus input_bus ipxe_boot
        locked_memory machine_type maxphysaddr_bits maxphysaddr_mode mem_encryption mem_encryption_model
        mem_page_size numa_cpus numa_mem numa_nodes pci_numa_affinity_policy pmu pointer_model qemu_guest_agent
        redirected_usb_ports rescue_bus rescue_device rng_model scsi_model serial_port_count sound_model
        time_hpet tpm_model tpm_version usb_model video_model video_ram vif_model vif_multiqueue_enabled
        viommu_model virtio_packed_ring vm_mode watchdog_action''',
    'img': '''
        bdm_v2 bittorrent block_device_mapping cache_in_nova compression_level config_drive hide_hypervisor_id
        hv_requested_version hv_type linked_clone mappings owner_id root_device_name signature
        signature_certificate_uuid signature_hash_method signature_key_type use_agent version''',
    'os': '''
        admin_user command_line distro require_quiesce secure_boot skip_agent_inject_files_at_boot
        skip_agent_inject_ssh type''',
}
_OLD_NAMES = '''
    architecture auto_disk_config bdm_v2 bittorrent block_device_mapping cache_in_nova hypervisor_type
    hypervisor_version_requires ipxe_boot mappings owner_id root_device_name vm_mode vmware_disktype
    vmware_image_version vmware_linked_clone vmware_ostype xenapi_device_id xenapi_image_compression_level
    xenapi_skip_agent_inject_files_at_boot xenapi_skip_agent_inject_ssh xenapi_use_agent'''
#: properties that mean something here; all others are their owner's own business
KNOWN_PROPERTIES = frozenset((
    'traits_required', *(f'{kind}_{name}' for kind, names in _NAMES.items() for name in names.split()),
    *_OLD_NAMES.split()))
