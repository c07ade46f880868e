"""minicompute-manage debt: what is left to do at Glance, Neutron and Cinder, and what they go on refusing."""
from __future__ import annotations

import argparse
from typing import Any

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.api import owed


def rows() -> list[list[Any]]:
    """Number, service, what, server, since, how often refused, when it is tried next, and why it is owed."""
    with session.read() as conn:
        found = owed.at_neighbours(conn)
    return [[row.id, _service(row), row.verb, row.instance_uuid, row.created_at, (row.data or {}).get('refused', 0),
             _next(row), (row.reason or '')[:120]] for row in found]


def _service(row: sa.Row[Any]) -> str:
    return str(row.host).removeprefix(owed.NEIGHBOUR)


def _next(row: sa.Row[Any]) -> str:
    if owed.given_up(row):
        return 'given up'
    return str((row.data or {}).get('not_before', ''))[:19].replace('T', ' ')


def retry(args: argparse.Namespace) -> None:
    def write(conn: sa.Connection) -> sa.Row[Any]:
        row = owed.find_debt(conn, args.id)
        owed.make_due(conn, row)
        return row
    row = session.write(write)
    print(f'{row.verb} of server {row.instance_uuid} is tried again within half a minute.')


def forget(args: argparse.Namespace) -> None:
    def write(conn: sa.Connection) -> sa.Row[Any]:
        row = owed.find_debt(conn, args.id)
        owed.settled(conn, [row])
        return row
    row = session.write(write)
    print(f'{row.verb} of server {row.instance_uuid} is forgotten: what {_service(row)} has of it is yours to mend.')
