"""Single block device mappings: they come with an attachment and go with a detachment.

`connection_info` of a mapping of a volume says with `state` how far that is (attaching, attached, detaching; swapping:
it is to take the place of another), and with `made` whether the volume has its file already.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from oslo_utils import uuidutils

from minicompute.db.api.instances import bdm_from_row
from minicompute.db.models import block_device_mappings as bdms
from minicompute.db.session import utcnow
from minicompute.objects import BlockDevice, Volume

ATTACHING, ATTACHED, DETACHING, SWAPPING = 'attaching', 'attached', 'detaching', 'swapping'
#: of `connection_info`: whether several guests may have the disk at once
MULTIATTACH = 'multiattach'
#: of `connection_info`: what a host needs of a volume service
CONNECTION = 'connection'
#: of `connection_info`: when it was said last that the volume is being ordered, or is soon to be
ORDERING = 'ordering'
_FIELDS = tuple(c.name for c in bdms.c if c.name in BlockDevice.__dataclass_fields__ and c.name != 'id')


def begins(found: Volume, state: str) -> dict[str, Any]:
    """-> the `connection_info` of a mapping of this volume."""
    return {'state': state, 'made': found.made, **({MULTIATTACH: True} if found.multiattach else {})}


def insert(conn: sa.Connection, device: BlockDevice) -> None:
    """Gives it its uuid."""
    device.uuid = device.uuid or uuidutils.generate_uuid()
    conn.execute(bdms.insert(), {**{name: getattr(device, name) for name in _FIELDS}, 'created_at': utcnow()})


def get(conn: sa.Connection, uuid: str) -> BlockDevice | None:
    row = conn.execute(sa.select(bdms).where(bdms.c.uuid == uuid)).first()
    return bdm_from_row(row) if row else None


def of_volume(conn: sa.Connection, volume_id: str) -> BlockDevice | None:
    """The mapping of a server that has this volume, the oldest of several."""
    row = conn.execute(sa.select(bdms).where(bdms.c.volume_id == volume_id).order_by(bdms.c.id).limit(1)).first()
    return bdm_from_row(row) if row else None


def all_of_volume(conn: sa.Connection, volume_id: str) -> list[BlockDevice]:
    return [bdm_from_row(row) for row in conn.execute(
        sa.select(bdms).where(bdms.c.volume_id == volume_id).order_by(bdms.c.id))]


def update(conn: sa.Connection, uuid: str, *, was: str | None = None, **changes: Any) -> bool:
    """`was`: the volume that it must have. -> whether it is there"""
    same = (bdms.c.uuid == uuid, *((bdms.c.volume_id == was,) if was else ()))
    return conn.execute(bdms.update().where(*same).values(**changes)).rowcount == 1


def still_ordering(conn: sa.Connection, devices: Iterable[BlockDevice]) -> None:
    """Their volumes have not been ordered yet, and will be."""
    now = utcnow().isoformat()
    rows = [{'device': device.uuid, 'info': {**device.connection_info, ORDERING: now}} for device in devices]
    conn.execute(bdms.update().where(bdms.c.uuid == sa.bindparam('device'), bdms.c.volume_id.is_(None)).values(
        connection_info=sa.bindparam('info')), rows)


def set_size(conn: sa.Connection, volume_id: str, size: int) -> None:
    """Of a volume that has grown, for all servers that have it: a file grows when its server starts."""
    conn.execute(bdms.update().where(bdms.c.volume_id == volume_id).values(volume_size=size))


def set_state(conn: sa.Connection, device: BlockDevice, state: str) -> bool:
    device.connection_info = {**device.connection_info, 'state': state}
    return update(conn, str(device.uuid), connection_info=device.connection_info)


def delete(conn: sa.Connection, uuid: str) -> None:
    conn.execute(bdms.delete().where(bdms.c.uuid == uuid))
