from __future__ import annotations

import dataclasses
from typing import Any

from minicompute.objects.base import record

#: of `connection_info`: the image that a new volume begins with, when that is not the one which the server boots from
IMAGE = 'image'


@record
class BlockDevice:
    """One block device mapping (bdm) of a server. `volume_size` in GiB.

    source_type: image, blank, volume, snapshot.  destination_type: local, volume.
    A swap disk is blank -> local with guest_format 'swap'; its `volume_size` is in MiB, as only
    there the field's users count in MiB.
    """

    source_type: str
    destination_type: str
    uuid: str | None = None
    id: int | None = None
    instance_uuid: str | None = None
    boot_index: int | None = None
    device_name: str | None = None
    device_type: str | None = None
    disk_bus: str | None = None
    guest_format: str | None = None
    volume_size: int | None = None
    volume_type: str | None = None
    image_id: str | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    attachment_id: str | None = None
    connection_info: dict[str, Any] = dataclasses.field(default_factory=dict)
    delete_on_termination: bool = False
    no_device: bool = False
    tag: str | None = None
