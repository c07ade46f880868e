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
