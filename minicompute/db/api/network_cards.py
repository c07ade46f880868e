"""The cards in a server's record, which actions and the network service change side by side.

Who has read them, and has then asked or waited for somebody else, must not write back what he read: `edit` changes what
the record says by then.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.db.models import instances as table
from minicompute.objects import VIF, Instance, from_primitive

#: of a server's cards, others. It may be called again
Change = Callable[[list[VIF]], list[VIF]]
#: of a server in the order of their making
Place = tuple[datetime.datetime, int]
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
    now = instances.get(conn, seen.uuid)
    if now.updated_at != seen.updated_at:
        return False
    if not (alone and actions.any_running(conn, [seen.uuid])):
        instances.update(conn, seen.uuid, {'network_info': merged(now.network_info, said)})
    return True


def heal(conn: sa.Connection, seen: Instance, said: Sequence[VIF]) -> bool:
    """`follow`, of a server with which nothing is being done, and without a mark where nothing is new. -> False when
    the record is not as it was seen, or an action is under way."""
    instances.hold(conn, seen.uuid)
    now = instances.get_many(conn, [seen.uuid]).get(seen.uuid)
    if now is None or now.updated_at != seen.updated_at or actions.any_running(conn, [seen.uuid]):
        return False
    cards = merged(now.network_info, said)
    if cards != now.network_info:
        instances.update(conn, seen.uuid, {'network_info': cards})
    return True


def merged(own: Sequence[VIF], said: Sequence[VIF]) -> list[VIF]:
    """`own` cards, as far as they are known there as is `said`."""
    cards = {card.id: card for card in said}
    return [cards.get(card.id, card) for card in own]


def after(conn: sa.Connection, place: Place | None, limit: int) -> list[Instance]:
    """Servers, the oldest first, from behind `place` on: (created_at, id) of the last that was seen."""
    query = sa.select(table.c.uuid).where(table.c.deleted == 0)
    if place is not None:
        when, number = place
        query = query.where(table.c.created_at >= when, sa.or_(
            table.c.created_at > when, table.c.id > number))
    uuids = list(conn.execute(query.order_by(table.c.created_at, table.c.id).limit(limit)).scalars())
    found = instances.get_many(conn, uuids)
    return [found[uuid] for uuid in uuids if uuid in found]
