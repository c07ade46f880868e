from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from minicompute.objects.base import record


class VolumeStatus:
    """What the Block Storage API calls it. Only the first five are ever written: who has a volume, and how far that
    is, is said by the block devices that refer to it."""

    AVAILABLE = 'available'
    CREATING = 'creating'      # of snapshots only
    SNAPSHOTTING = 'snapshotting'   # a host copies it, and nobody may have it meanwhile
    DELETING = 'deleting'
    ERROR = 'error'
    ATTACHING = 'attaching'
    DETACHING = 'detaching'
    IN_USE = 'in-use'


@record
class VolumeAttachment:
    """A server that has the volume, or is about to. `state`: attaching, attached, detaching, swapping."""

    id: str
    instance_uuid: str
    device_name: str | None = None
    state: str = 'attached'
    created_at: datetime.datetime | None = None
    host: str | None = None


@record
class Volume:
    """`size` in GiB. `image_metadata` are the properties of the image that it was made from, as a server has them;
    `snapshot_id` is what its content begins with."""

    id: str
    project_id: str
    size: int
    user_id: str | None = None
    name: str | None = None
    description: str | None = None
    status: str = VolumeStatus.AVAILABLE
    bootable: bool = False
    made: bool = False
    multiattach: bool = False
    volume_type: str | None = None
    image_metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    attachments: list[VolumeAttachment] = dataclasses.field(default_factory=list)
    snapshot_id: str | None = None
    #: of a volume service's own: where its host must be, when they are not to be crossed
    availability_zone: str | None = None
    encrypted: bool = False
    #: the service moves it to another of its places
    migrating: bool = False
    #: of a volume service's own: the image that it was made from
    image_id: str | None = None

    @property
    def shown_status(self) -> str:
        """As the Block Storage API says it."""
        if self.status != VolumeStatus.AVAILABLE or not self.attachments:
            return self.status
        states = {one.state for one in self.attachments}
        for state, status in (('attaching', VolumeStatus.ATTACHING), ('swapping', VolumeStatus.ATTACHING),
                              ('detaching', VolumeStatus.DETACHING)):
            if state in states:
                return status
        return VolumeStatus.IN_USE


@record
class VolumeSnapshot:
    """What a volume held at one moment: a copy of its own, which needs the volume no more. `status`: creating,
    available, deleting, error; the rest is what the volume said of itself. `host` copies a volume that no server has
    ('': none yet); None: an action of a server makes it."""

    id: str
    volume_id: str
    project_id: str
    size: int
    user_id: str | None = None
    name: str | None = None
    description: str | None = None
    status: str = 'creating'
    bootable: bool = False
    image_metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    host: str | None = None
