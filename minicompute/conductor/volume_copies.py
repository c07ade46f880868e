"""Sees that each snapshot of a volume that no server has ends: finds a host, asks it again when nothing is heard of it
(it may have too much to do), takes another when it is down or stays silent (it may be too old to know what it was asked
for), gives up in the end.

Nobody may attach, change or delete the volume meanwhile, so that two hosts that copy it, because one was not heard for
a while, make the same; and the one that was given up, should it come to its end later than the other, changes nothing.
"""
from __future__ import annotations

import datetime
import random
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import servicegroup
from minicompute.compute import rpcapi as compute
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import volume_snapshots as db
from minicompute.db.api import volumes
from minicompute.objects import BlockDevice, VolumeSnapshot, VolumeStatus
from minicompute.volume import files

LOG = logging.getLogger(__name__)

INTERVAL = 5
#: seconds without a word after which a host is asked again, and after as many more another one
UNHEARD = 15


def note(items: list[dict[str, Any]]) -> None:
    """What hosts report."""
    for item in items:
        if item['status'] == 'copying':
            session.write(db.heard, item['id'], item['host'])
        elif session.write(db.copied, item['id'], item['status'], item['host']):
            if item['status'] == VolumeStatus.ERROR:
                LOG.error('Snapshot %s could not be made on %s: %s', item['id'], item['host'], item['message'])
        elif item['status'] == VolumeStatus.AVAILABLE:
            _forget(item['id'])


def _forget(snapshot_id: str) -> None:
    """A host that was slow has made the file of a snapshot that its owner has deleted meanwhile."""
    with session.read() as conn:
        gone = not db.get_many(conn, [snapshot_id])
    if gone:
        files.remove_snapshot(snapshot_id)


def sweep() -> None:
    with session.read() as conn:
        found = db.to_copy(conn, UNHEARD)
        hosts = _hosts(conn) if found else []
        held = volumes.get_many(conn, {one.volume_id for one in found})
    most = datetime.timedelta(seconds=CONF.conductor.image_deadline)
    for one in found:
        if one.volume_id not in held or session.utcnow() - (one.created_at or session.utcnow()) > most:
            LOG.error('Snapshot %s could not be made: %s', one.id, 'no host did so in time')
            session.write(db.copied, one.id, VolumeStatus.ERROR)
        elif one.host in hosts and not _twice_unheard(one):
            compute.copy_volume(str(one.host), one.id, _device(one, held[one.volume_id]))
        elif hosts:
            host = random.choice([other for other in hosts if other != one.host] or hosts)
            if session.write(db.take, one, host):
                compute.copy_volume(str(host), one.id, _device(one, held[one.volume_id]))


def _twice_unheard(one: VolumeSnapshot) -> bool:
    return one.updated_at is None or session.utcnow() - one.updated_at > datetime.timedelta(seconds=2 * UNHEARD)


def _hosts(conn: sa.Connection) -> list[str]:
    """Those that are up."""
    return servicegroup.up_computes(conn)


def _device(one: VolumeSnapshot, volume: Any) -> BlockDevice:
    return BlockDevice(source_type='volume', destination_type='volume', volume_id=volume.id, volume_size=one.size,
                       snapshot_id=volume.snapshot_id, connection_info={'made': volume.made})
