"""What flows left undone at neighbours that did not answer: done when they do.

A flow whose undo cannot reach Glance, Neutron or Cinder until the deadline ends all the same, and owes: its step says
what (`Step(..., debts=...)`), settle.py writes it down, and each conductor looks now and then.  What an api makes at a
neighbour before its action begins is such a debt, too, until it begins (`not_before`).  A payer is a function of an id
that may be called twice; what is gone already (`GONE`) is paid.  A silent neighbour is waited for; what one refuses
is tried less and less often, and after a day it is the operator's (`minicompute-manage debt`).
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception, utils
from minicompute.conductor.flows import assist, connections, ports
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import owed
from minicompute.image import base as image
from minicompute.volume import base as volume
from minicompute.volume import remote

LOG = logging.getLogger(__name__)

#: seconds between two looks, and how many debts one look tries to pay
INTERVAL = 30.0
MOST = 200
#: that of which something was owed is no more. Any other 404 says that something is wrong on the way there
GONE = (exception.ImageNotFound, exception.VolumeNotFound, exception.AttachmentNotFound, exception.SnapshotNotFound,
        exception.PortNotFound, exception.InstanceNotFound)
#: seconds until one that its payer refused is tried again, the first time and at most; each time doubled
AGAIN, LONGEST = 60, 3600


def discard_image(ref: str, data: dict[str, Any]) -> None:
    image.load().discard(ref)


def discard_snapshot(ref: str, data: dict[str, Any]) -> None:
    try:
        volume.load().discard_snapshots([ref])
    except exception.InvalidVolume as error:    # it is being made still
        raise connections.NotYet(str(error)) from None


def discard_copies(ref: str, data: dict[str, Any]) -> None:
    """Snapshots that were ordered for an image which is not to be."""
    service = remote.load()
    busy: connections.NotYet | None = None
    for one in service.snapshots_ordered(ref, str(data['project'])) if service is not None else ():
        try:
            discard_snapshot(one, data)
        except connections.NotYet as error:
            busy = error
    if busy is not None:
        raise busy


#: {kind: pay(ref, data)}
PAYERS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    'image': discard_image, 'volume': connections.settle_volume, 'device': connections.settle_device,
    'migration': connections.settle_migration,
    'snapshot': discard_snapshot, 'copies': discard_copies, 'tell': assist.tell,
    'ports': ports.pay_ports, 'port': ports.pay_port, 'bind': ports.pay_bind, 'unbind': ports.pay_unbind,
    'refresh': ports.pay_refresh, 'strays': ports.pay_strays}


def pay() -> int:
    """-> how many were paid. Nothing that one of them raises keeps the others from it: it is put off."""
    if CONF.image_backend == CONF.network_backend == CONF.volume_backend == 'local':
        return 0
    paid, later, silent, tried = [], [], set(), 0
    for row in _due():
        kind, _, ref = row.verb.partition(' ')
        if row.host in silent or kind not in PAYERS:    # a kind that we do not know is a newer conductor's
            continue
        if tried == MOST:
            break
        tried += 1
        try:
            PAYERS[kind](ref, row.data or {})
        except GONE:
            pass
        except exception.NeighbourUnavailable:
            silent.add(row.host)
            continue
        except connections.Busy as error:
            LOG.debug('%s of instance %s waits: %s', row.verb, row.instance_uuid, error)
            tried -= 1      # nobody was asked
            continue
        except connections.NotYet as error:
            LOG.warning('%s of instance %s is still owed: %s', row.verb, row.instance_uuid, error)
            later.append(_put_off(row, error))
            continue
        except Exception as error:
            known = isinstance(error, exception.ComputeException)
            LOG.warning('%s of instance %s is still owed: %s', row.verb, row.instance_uuid, error, exc_info=not known)
            later.append(_put_off(row, error))
            continue
        LOG.info('%s of instance %s is done now, which %s did not answer before', row.verb, row.instance_uuid,
                 row.host.removeprefix(owed.NEIGHBOUR))
        paid.append(row)
    if later:
        session.write(owed.put_off, later)
    if paid:
        session.write(owed.settled, paid)
    return len(paid)


def _due() -> Iterator[sa.Row[Any]]:
    """The oldest first. What only a death makes a debt, and what was put off, stands in nobody's way."""
    last, now = 0, utils.utcnow().isoformat()
    while True:
        with session.read() as conn:
            found = owed.of_neighbours(conn, MOST, last)
        yield from (row for row in found if (row.data or {}).get('not_before', '') <= now and not owed.given_up(row))
        if len(found) < MOST:
            return
        last = found[-1].id


def _put_off(row: sa.Row[Any], error: Exception) -> tuple[sa.Row[Any], dict[str, Any], str]:
    data = row.data or {}
    refused = int(data.get('refused', 0))
    if refused + 1 >= owed.MOST_REFUSED:
        LOG.error('%s of instance %s is given up: %s has refused it %s times, the last time so: %s. See '
                  'minicompute-manage debt list', row.verb, row.instance_uuid, row.host.removeprefix(owed.NEIGHBOUR),
                  refused + 1, error)
    seconds = min(AGAIN * 2 ** min(refused, 8), LONGEST)
    until = utils.utcnow() + datetime.timedelta(seconds=seconds)
    return row, {**data, 'refused': refused + 1, 'not_before': until.isoformat()}, str(error)[:1000]
