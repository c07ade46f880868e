"""What flows left undone at neighbours that did not answer: done when they do.

A flow whose undo cannot reach Glance, Neutron or Cinder until the deadline ends all the same, and owes: its step says
what (`Step(..., debts=...)`), settle.py writes it down, and each conductor looks now and then.  What an api makes at a
neighbour before its action begins is such a debt, too, until it begins (`not_before`).  A payer is a function of an id
that may be called twice; what is gone already (NotFound) is paid.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from minicompute import exception, utils
from minicompute.conductor.flows import assist, connections, ports
from minicompute.db import session
from minicompute.db.api import owed
from minicompute.image import base as image
from minicompute.volume import base as volume

LOG = logging.getLogger(__name__)

#: seconds between two looks, and how many debts one look pays
INTERVAL = 30.0
MOST = 200


def discard_image(ref: str, data: dict[str, Any]) -> None:
    image.load().discard(ref)


def discard_snapshot(ref: str, data: dict[str, Any]) -> None:
    volume.load().discard_snapshots([ref])


#: {kind: pay(ref, data)}
PAYERS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    'image': discard_image, 'volume': connections.settle_volume, 'device': connections.settle_device,
    'snapshot': discard_snapshot, 'tell': assist.tell, 'ports': ports.pay_ports, 'port': ports.pay_port,
    'bind': ports.pay_bind, 'unbind': ports.pay_unbind}


def pay() -> int:
    """-> how many were paid. Nothing that one of them raises keeps the others from it."""
    with session.read() as conn:
        found = owed.of_neighbours(conn, MOST)
    paid, silent, now = [], set(), utils.utcnow().isoformat()
    for row in found:
        kind, _, ref = row.verb.partition(' ')
        data = row.data or {}
        # One that only a death makes a debt is not due before that; a kind that we do not know is a newer conductor's.
        if data.get('not_before', '') > now or row.host in silent or kind not in PAYERS:
            continue
        try:
            PAYERS[kind](ref, data)
        except exception.NotFound:
            pass
        except exception.NeighbourUnavailable:
            silent.add(row.host)
            continue
        except connections.Busy as error:
            LOG.debug('%s of instance %s waits: %s', row.verb, row.instance_uuid, error)
            continue
        except Exception as error:
            LOG.exception('%s of instance %s is still owed: %s', row.verb, row.instance_uuid, error)
            continue
        LOG.info('%s of instance %s is done now, which %s did not answer before', row.verb, row.instance_uuid,
                 row.host.removeprefix(owed.NEIGHBOUR))
        paid.append(row.id)
    if paid:
        session.write(owed.settled, paid)
    return len(paid)
