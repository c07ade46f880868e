"""The cards in a server's record, when the network service has told of them."""
from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from minicompute.db.api import actions, instances
from minicompute.objects import VIF


def follow(conn: sa.Connection, uuid: str, said: Sequence[VIF], *, alone: bool) -> None:
    """The record says of each of its cards what the service has said; of one that is not known there it says what
    it did, and which ones they are only actions change. `alone`: not while one is under way.
    Raises InstanceNotFound."""
    instances.hold(conn, uuid)
    cards = {card.id: card for card in said}
    now = instances.get(conn, uuid).network_info
    if not (alone and actions.any_running(conn, [uuid])):
        instances.update(conn, uuid, {'network_info': [cards.get(card.id, card) for card in now]})
