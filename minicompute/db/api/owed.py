"""Clean-up that a host owes: written when it was down, paid when it comes back.

What is left to do at a neighbour (Glance, Neutron, Cinder) is kept beside it, under `@glance`: no host has such a name.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.db.models import instances, migrations, owed
from minicompute.db.session import utcnow
from minicompute.objects import MigrationStatus

NEIGHBOUR = '@'
#: how often a neighbour may refuse what it is owed: then nobody asks it again until an operator says so. About a day
MOST_REFUSED = 30
PAGE = 1000


def add_debt(conn: sa.Connection, service: str, instance_uuid: str, verb: str, data: dict[str, Any],
             reason: str) -> None:
    """Once for each (service, server, verb); `verb` is a kind and an id, of 64 letters at most. One that is owed
    already is due again, with all that both say; of a migration the last word counts."""
    host = f'{NEIGHBOUR}{service}'
    same = (owed.c.host == host, owed.c.instance_uuid == instance_uuid, owed.c.verb == verb)
    row = conn.execute(sa.select(owed.c.id, owed.c.data).where(*same).with_for_update()).first()
    if row is None:
        conn.execute(owed.insert().values(host=host, instance_uuid=instance_uuid, verb=verb, data=data, reason=reason,
                                          created_at=utcnow()))
        return
    kept = {} if verb.startswith('migration ') else {
        name: value for name, value in (row.data or {}).items() if name not in ('not_before', 'refused')}
    # With a new time, by which who pays what he has read before knows that it is not all any more.
    conn.execute(owed.update().where(owed.c.id == row.id).values(data={**kept, **data}, reason=reason,
                                                                 created_at=utcnow()))


def of_neighbours(conn: sa.Connection, limit: int, after: int = 0) -> list[sa.Row[Any]]:
    """(id, host, instance_uuid, verb, data, created_at, reason) of what is to be done at neighbours, the oldest first;
    `after` is an id."""
    return list(conn.execute(sa.select(
        owed.c.id, owed.c.host, owed.c.instance_uuid, owed.c.verb, owed.c.data, owed.c.created_at,
        owed.c.reason).where(
        owed.c.host.like(f'{NEIGHBOUR}%'), owed.c.id > after).order_by(owed.c.id).limit(limit)))


def _as_read(row: sa.Row[Any]) -> sa.ColumnElement[bool]:
    return sa.and_(owed.c.id == row.id, owed.c.created_at == row.created_at)


def put_off(conn: sa.Connection, later: Sequence[tuple[sa.Row[Any], dict[str, Any], str]]) -> None:
    """(a row of `of_neighbours`, its `data` with another `not_before`, why) of debts that could not be paid."""
    for row, data, reason in later:
        conn.execute(owed.update().where(_as_read(row)).values(data=data, reason=reason))


def given_up(row: sa.Row[Any]) -> bool:
    return int((row.data or {}).get('refused', 0)) >= MOST_REFUSED


# -- for the operator ------------------------------------------------------------------

def at_neighbours(conn: sa.Connection) -> list[sa.Row[Any]]:
    """All that is owed there, as `of_neighbours`."""
    found: list[sa.Row[Any]] = []
    while page := of_neighbours(conn, PAGE, found[-1].id if found else 0):
        found += page
    return found


def find_debt(conn: sa.Connection, debt_id: int) -> sa.Row[Any]:
    """Raises DebtNotFound."""
    found = of_neighbours(conn, 1, debt_id - 1)
    if not found or found[0].id != debt_id:
        raise exception.DebtNotFound(debt_id=debt_id)
    return found[0]


def make_due(conn: sa.Connection, row: sa.Row[Any]) -> None:
    """As if it had never been tried."""
    data = {name: value for name, value in (row.data or {}).items() if name not in ('not_before', 'refused')}
    conn.execute(owed.update().where(_as_read(row)).values(data=data))


def settle_debt(conn: sa.Connection, service: str, verb: str) -> bool:
    """-> whether it was owed"""
    return conn.execute(owed.delete().where(
        owed.c.host == f'{NEIGHBOUR}{service}', owed.c.verb == verb)).rowcount > 0


def settled(conn: sa.Connection, rows: Sequence[sa.Row[Any]]) -> None:
    """Rows of `of_neighbours`. What has become more since then stays owed."""
    conn.execute(owed.delete().where(sa.or_(*map(_as_read, rows))))


def add(conn: sa.Connection, host: str, instance_uuid: str, verb: str, reason: str) -> None:
    """Once for each (host, server, verb)."""
    same = (owed.c.host == host, owed.c.instance_uuid == instance_uuid, owed.c.verb == verb)
    if conn.execute(sa.select(owed.c.id).where(*same)).first() is None:
        conn.execute(owed.insert().values(host=host, instance_uuid=instance_uuid, verb=verb, reason=reason,
                                          created_at=utcnow()))


def _elsewhere() -> sa.ColumnElement[bool]:
    """A server that lives on the host again, or comes there or may go back there, is not to be removed from it."""
    lives_there = sa.select(instances.c.id).where(
        instances.c.uuid == owed.c.instance_uuid, instances.c.host == owed.c.host, instances.c.deleted == 0)
    moves = sa.select(migrations.c.id).where(
        migrations.c.instance_uuid == owed.c.instance_uuid, migrations.c.status.in_(MigrationStatus.LIVE),
        sa.or_(migrations.c.source_compute == owed.c.host, migrations.c.dest_compute == owed.c.host))
    return ~lives_there.exists() & ~moves.exists()


def of_hosts(conn: sa.Connection, hosts: Sequence[str]) -> list[tuple[str, str]]:
    """(host, uuid) of the servers that `hosts` have to remove."""
    query = sa.select(owed.c.host, owed.c.instance_uuid).where(owed.c.host.in_(hosts), _elsewhere())
    return [(row.host, row.instance_uuid) for row in conn.execute(query)]


def debts(conn: sa.Connection) -> dict[str, list[str]]:
    """{host: uuids}: all that is owed."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in conn.execute(sa.select(owed.c.host, owed.c.instance_uuid).where(
            _elsewhere(), owed.c.host.not_like(f'{NEIGHBOUR}%'))):
        found[row.host].append(row.instance_uuid)
    return found


def paid(conn: sa.Connection, host: str, uuids: list[str]) -> None:
    conn.execute(owed.delete().where(owed.c.host == host, owed.c.instance_uuid.in_(uuids)))
