"""What events that got lost would have told: Neutron is asked of all servers in turn, some at a time.

    a look each [DEFAULT] heal_instance_info_cache_interval seconds: the next SERVERS --> a few requests to Neutron
        --> the record of each that differs, and that nobody is at work with
        --> for each card whose port is deleted the flow that `network-vif-deleted` begins

Each conductor goes round by itself: what two of them write is the same.
"""
from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa
from oslo_log import log as logging
from oslo_utils import uuidutils

from minicompute import exception, servicegroup
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import actions, network_cards, services, undecided
from minicompute.network import base as network
from minicompute.objects import Action, ActionState, Instance

LOG = logging.getLogger(__name__)

#: of one look
SERVERS = 200
#: so many ports may be gone at once; of more than these half of all that are looked at. A Neutron that knows none of
#: them has lost them, or does not let us see them: no guest loses its network by that
BELIEVED = 5


def wanted() -> bool:
    return CONF.network_backend != 'local' and CONF.heal_instance_info_cache_interval > 0


class Healer:
    def __init__(self) -> None:
        self._place: network_cards.Place | None = None
        self._silent = False

    def look(self) -> list[int]:
        """At the next servers. -> actions to ring"""
        before, servers = self._place, self._next()
        if not servers:
            return []
        try:
            looked = network.load().look(admin_context(), servers)
        except exception.NeighbourUnavailable as error:
            if not self._silent:
                LOG.warning('The records of the ports of servers are not looked after: %s', error)
            self._place, self._silent = before, True
            return []
        if self._silent:
            LOG.info('The records of the ports of servers are looked after again')
        self._silent = False
        return _mend(servers, looked if self._believed(servers, looked) else dataclasses.replace(
            looked, gone=frozenset()))

    def _next(self) -> list[Instance]:
        """Those that have cards, of the next few; behind the last one comes the first."""
        with session.read() as conn:
            found = network_cards.after(conn, self._place, SERVERS)
            self._place = _place(found[-1]) if len(found) == SERVERS else None
            return _served(conn, found) if found else []

    def _believed(self, servers: Sequence[Instance], looked: network.Looked) -> bool:
        cards = sum(len(one.network_info) for one in servers)
        if len(looked.gone) <= max(BELIEVED, cards // 2):
            return True
        LOG.warning('Neutron shows us %d of the %d ports of %d servers: it is not taken for true',
                    cards - len(looked.gone), cards, len(servers))
        return False


def _place(one: Instance) -> network_cards.Place:
    assert one.created_at is not None and one.id is not None
    return one.created_at, one.id


def _served(conn: sa.Connection, found: Sequence[Instance]) -> list[Instance]:
    """Those of which there is something to ask. A host that was handed back to Nova is Nova's."""
    gone = set(services.handed_back(conn, {one.host for one in found if one.host}))
    return [one for one in found if one.network_info and one.launched_at and one.host not in gone
            and not undecided.of(one)]


def _mend(servers: Sequence[Instance], looked: network.Looked) -> list[int]:
    """-> actions to ring"""
    rings: list[int] = []
    for one in servers:
        said, own = looked.cards[one.uuid], one.network_info
        lost = [card.id for card in own if card.id in looked.gone]
        if (lost or network_cards.merged(own, said) != own) and session.write(network_cards.heal, one, said):
            for port in lost:
                LOG.info('Port %s of instance %s is gone, and nobody has told us', port, one.uuid)
                with contextlib.suppress(exception.Conflict):   # something has begun meanwhile: the next round finds it
                    rings += session.write(_begin, one, port)
    return rings


def _begin(conn: sa.Connection, one: Instance, port: str) -> list[int]:
    """As the event does: a host that does not answer takes the card away when the server starts. -> what to ring"""
    if one.host and servicegroup.down_hosts(conn, {one.host}):
        network_cards.edit(conn, one.uuid, lambda cards: [card for card in cards if card.id != port])
        return []
    action = Action(action='detach_interface', flow='port_deleted', step='take_card', instance_uuid=one.uuid,
                    request_id='req-' + uuidutils.generate_uuid(), user_id=one.user_id, project_id=one.project_id,
                    data={'port': port})
    actions.begin_queued(conn, action)
    return [action.id] if action.state == ActionState.RUNNING and action.id else []
