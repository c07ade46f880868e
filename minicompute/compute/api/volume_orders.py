"""Volumes that a volume service makes for new servers: ordered as the user who pays for them.

Only the api has that user's token. The servers are in the records by then, and their flows wait for the volumes
(conductor/flows/connections.py). What is ordered carries the id of its block device, so that it is found when the
answer, or this daemon, is lost.
"""
from __future__ import annotations

import collections
import functools
import threading
import time
from collections.abc import Sequence
from concurrent import futures

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import block_devices, owed
from minicompute.objects import BlockDevice
from minicompute.volume import remote

LOG = logging.getLogger(__name__)

#: orders of one request that are under way at once, and seconds until those that wait are said to
AT_ONCE, TELL = 8, 30.0


class _Orders:
    """What is left of one request, for several threads. The flows that wait for it are told now and then that it is
    not forgotten."""

    def __init__(self, context: RequestContext, backend: remote.RemoteVolumes, devices: Sequence[BlockDevice],
                 zone: str | None) -> None:
        self._context, self._backend, self._zone = context, backend, zone
        self._left, self._lock, self._told = collections.deque(devices), threading.Lock(), time.monotonic()
        self._trouble: Exception | None = None

    def run(self) -> None:
        while (device := self._take()) is not None:
            if self._trouble is None:
                self._order(device)
            else:
                _note(device, self._trouble)

    def _take(self) -> BlockDevice | None:
        with self._lock:
            if self._left and time.monotonic() - self._told > TELL:
                self._told = time.monotonic()
                session.write(block_devices.still_ordering, list(self._left))
            return self._left.popleft() if self._left else None

    def _order(self, device: BlockDevice) -> None:
        try:
            volume_id = self._backend.order(self._context, device, self._zone)
        except Exception as error:      # a neighbour that is silent may have made it all the same
            if not isinstance(error, exception.ComputeException):
                LOG.exception('The volumes of instance %s cannot be ordered', device.instance_uuid)
            self._trouble = error
            _note(device, error)
            return
        if not session.write(_note_made, str(device.uuid), volume_id):
            # It is being made, and cannot be deleted before it is.
            LOG.info('Nobody wants volume %s any more: its server was deleted', volume_id)
            said = {'instance': device.instance_uuid, 'delete': True}
            session.write(owed.add_debt, 'cinder', str(device.instance_uuid), f'volume {volume_id}', said,
                          'its server was deleted while it was ordered')


def place(context: RequestContext, devices: Sequence[BlockDevice], zone: str | None) -> None:
    """What cannot be ordered is noted at its device, and fails its server; so is what comes after it."""
    backend = remote.load()
    assert backend is not None
    orders = _Orders(context, backend, devices, zone)
    if len(devices) == 1:
        orders.run()
        return
    with futures.ThreadPoolExecutor(min(AT_ONCE, len(devices)), thread_name_prefix='order') as pool:
        for one in [pool.submit(orders.run) for _ in range(min(AT_ONCE, len(devices)))]:
            one.result()


def _note(device: BlockDevice, trouble: Exception) -> None:
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
