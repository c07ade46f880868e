"""The cards in a server's record, which actions and the network service change side by side.

Who has read them, and has then asked or waited for somebody else, must not write back what he read: `edit` changes what
the record says by then.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.db.models import instances as table
from minicompute.objects import VIF, Instance, from_primitive

#: of a server's cards, others. It may be called again
Change = Callable[[list[VIF]], list[VIF]]
#: how often the service is asked anew when somebody else has changed the record meanwhile
TRIES = 3


def edit(conn: sa.Connection, uuid: str, change: Change) -> None:
    """A server that is gone has none."""
    query = sa.select(table.c.network_info).where(table.c.uuid == uuid, table.c.deleted == 0).with_for_update()
    row = conn.execute(query).first()
    if row is None:
        return
    before: list[VIF] = from_primitive(row.network_info or [])
    after = change(before)
    if after != before:
        instances.update(conn, uuid, {'network_info': after})


def of(conn: sa.Connection, uuid: str) -> list[VIF] | None:
    """None: there is no such server."""
    row = conn.execute(sa.select(table.c.network_info).where(table.c.uuid == uuid, table.c.deleted == 0)).first()
    return None if row is None else from_primitive(row.network_info or [])


def refresh(uuid: str, ask: Callable[[Instance], Sequence[VIF]], *, alone: bool) -> bool:
    """`follow` what the service says of a server's cards. -> False when the record changes faster than it answers.
    Raises what `ask` does, and InstanceNotFound."""
    for _ in range(TRIES):
        with session.read() as conn:
            seen = instances.get(conn, uuid)
        if session.write(follow, seen, ask(seen), alone=alone):
            return True
    return False


def follow(conn: sa.Connection, seen: Instance, said: Sequence[VIF], *, alone: bool) -> bool:
    """The record says of each of its cards what the service has said; of one that is not known there it says what
    it did, and which ones they are only actions change. `alone`: not while one is under way.

    -> False when the record is not as it was `seen` before the service was asked: somebody else may have written a
    newer answer. Each call leaves its mark for that. Raises InstanceNotFound.
    """
    instances.hold(conn, seen.uuid)
    cards = {card.id: card for card in said}
    now = instances.get(conn, seen.uuid)
    if now.updated_at != seen.updated_at:
        return False
    if not (alone and actions.any_running(conn, [seen.uuid])):
        instances.update(conn, seen.uuid, {'network_info': [cards.get(card.id, card) for card in now.network_info]})
    return True
