from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from minicompute.objects.base import record
from minicompute.objects.block_device import BlockDevice
from minicompute.objects.flavor import Flavor
from minicompute.objects.network_info import VIF


@record
class Instance:
    """A server. The same record in the database, on the wire and in the driver.

    `flavor` and `image_properties` are what they were when the server was built; `fault` is the newest
    reason why it is in ERROR ({'code', 'message', 'details', 'created'}); `network_info` is what the
    network backend gave; `metadata` is the user's.

    `old_flavor` is what a resized server goes back to until it is confirmed. `system_metadata` is what one action
    leaves for a later one (`old_vm_state`, `shelved_image_id`, `rescue_image_ref`, the chunks of the encrypted
    password, ...). `due_at` is when a sweep goes on with it by itself: a soft-deleted server is deleted then, a
    shelved one offloaded, a resized one confirmed.
    """

    uuid: str
    project_id: str
    user_id: str
    id: int | None = None
    reservation_id: str | None = None
    launch_index: int = 0
    display_name: str | None = None
    display_description: str | None = None
    hostname: str | None = None
    image_ref: str = ''
    kernel_id: str = ''
    ramdisk_id: str = ''
    flavor: Flavor | None = None
    vm_state: str = 'building'
    task_state: str | None = None
    power_state: int = 0
    progress: int = 0
    host: str | None = None
    node: str | None = None
    availability_zone: str | None = None
    key_name: str | None = None
    key_data: str | None = None
    user_data: str | None = None
    config_drive: bool = False
    root_device_name: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    auto_disk_config: bool = True
    locked: bool = False
    locked_by: str | None = None
    locked_reason: str | None = None
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    image_properties: dict[str, Any] = dataclasses.field(default_factory=dict)
    network_info: list[VIF] = dataclasses.field(default_factory=list)
    fault: dict[str, Any] | None = None
    trusted_certs: list[str] | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    launched_at: datetime.datetime | None = None
    terminated_at: datetime.datetime | None = None
    deleted_at: datetime.datetime | None = None
    deleted: bool = False
    old_flavor: Flavor | None = None
    system_metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    due_at: datetime.datetime | None = None
    block_devices: list[BlockDevice] = dataclasses.field(default_factory=list)
    tags: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """The domain's name on a host."""
        return 'instance-%08x' % (self.id or 0)
