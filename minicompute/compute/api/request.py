"""What a create asks for, in our words: the REST resource fills it, `create` works it off."""
from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(slots=True)
class CreateRequest:
    """`image_id` None: booted from a volume.  `networks` as `network.base` describes.
    `files`: {path: base64}.  `block_devices`: entries of block_device_mapping_v2, checked by the schema.
    `zone`, `force_host`, `force_node` are the parts of availability_zone; `host` and `node` those of 2.74.
    """

    name: str
    flavorid: str
    image_id: str | None = None
    least: int = 1
    most: int = 1
    description: str | None = None
    hostname: str | None = None
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    tags: list[str] = dataclasses.field(default_factory=list)
    key_name: str | None = None
    user_data: str | None = None
    config_drive: bool = False
    auto_disk_config: bool | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    admin_password: str = ''
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    trusted_certs: list[str] | None = None
    networks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    security_groups: list[str] = dataclasses.field(default_factory=list)
    block_devices: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    zone: str | None = None
    force_host: str | None = None
    force_node: str | None = None
    host: str | None = None
    node: str | None = None
    hints: dict[str, Any] = dataclasses.field(default_factory=dict)
    zero_disk_allowed: bool = True
    #: whether the caller's version knows of volumes that several servers have
    multiattach: bool = True


@dataclasses.dataclass(slots=True)
class Created:
    """What a client is told: the first server, or with return_reservation_id the whole reservation."""

    uuid: str
    reservation_id: str
    auto_disk_config: bool
