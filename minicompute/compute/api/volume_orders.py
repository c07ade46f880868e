"""Volumes that a volume service makes for new servers: ordered as the user who pays for them.

Only the api has that user's token. The servers are in the records by then, and their flows wait for the volumes
(conductor/flows/connections.py). What is ordered carries the id of its block device, so that it is found when the
answer, or this daemon, is lost.
"""
from __future__ import annotations

import functools
from collections.abc import Sequence

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import block_devices, owed
from minicompute.objects import BlockDevice
from minicompute.volume import remote

LOG = logging.getLogger(__name__)


def place(context: RequestContext, devices: Sequence[BlockDevice], zone: str | None) -> None:
    """What cannot be ordered is noted at its device, and fails its server; so is what comes after it."""
    backend = remote.load()
    assert backend is not None
    trouble: Exception | None = None
    for device in devices:
        if trouble is None:
            try:
                volume_id = backend.order(context, device, zone)
            except exception.NeighbourUnavailable as error:     # it may have been made all the same
                trouble = error
            except Exception as error:
                if not isinstance(error, exception.ComputeException):
                    LOG.exception('The volumes of instance %s cannot be ordered', device.instance_uuid)
                trouble = error
            else:
                if not session.write(_note_made, str(device.uuid), volume_id):
                    # It is being made, and cannot be deleted before it is.
                    LOG.info('Nobody wants volume %s any more: its server was deleted', volume_id)
                    said = {'instance': device.instance_uuid, 'delete': True}
                    session.write(owed.add_debt, 'cinder', str(device.instance_uuid), f'volume {volume_id}', said,
                                  'its server was deleted while it was ordered')
                continue
        session.write(functools.partial(_note_trouble, uuid=str(device.uuid), error=trouble))


def _note_made(conn: sa.Connection, uuid: str, volume_id: str) -> bool:
    return block_devices.update(conn, uuid, volume_id=volume_id)


def _note_trouble(conn: sa.Connection, uuid: str, error: Exception) -> None:
    device = block_devices.get(conn, uuid)
    if device is not None and device.volume_id is None:
        if isinstance(error, exception.NeighbourUnavailable):
            block_devices.update(conn, uuid, connection_info={**device.connection_info, 'doubt': str(error)})
            return
        ours = isinstance(error, exception.ComputeException)
        said = str(error) if ours else f'Unexpected {type(error).__name__}; the log of the api has the rest.'
        block_devices.update(conn, uuid, connection_info={
            **device.connection_info, 'error': {'message': f'The volume could not be made: {said}'[:1000],
                                                'code': getattr(error, 'code', 500)}})
