"""Which images hosts were asked to have before a server needs them, and what came of it.

    queued --> caching --> cached | existing | error | unsupported          skipped: the host was down when it was asked

One row for each host and image: who asks again asks anew. The record, not the message to the host, is the request.
"""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.models import image_caching as table
from minicompute.objects import ImageMeta, from_primitive, to_primitive

QUEUED, CACHING, CACHED, EXISTING, ERROR, SKIPPED = 'queued', 'caching', 'cached', 'existing', 'error', 'skipped'
UNSUPPORTED = 'unsupported'
LIVE = (QUEUED, CACHING)


@dataclasses.dataclass(slots=True)
class Wanted:
    """An image that a host shall have."""

    id: int
    host: str
    image: ImageMeta


def ask(conn: sa.Connection, aggregate_id: int, hosts: Sequence[str], images: Sequence[ImageMeta], *,
        down: Collection[str]) -> list[Wanted]:
    """Write the requests down. -> those that hosts can be told of."""
    if not hosts or not images:
        return []
    ids, now = [str(image.id) for image in images], session.now(conn)
    conn.execute(table.delete().where(table.c.host.in_(hosts), table.c.image_id.in_(ids)))
    conn.execute(table.insert(), [
        {'host': host, 'image_id': str(image.id), 'aggregate_id': aggregate_id, 'image': to_primitive(image),
         'status': SKIPPED if host in down else QUEUED, 'created_at': now, 'updated_at': now,
         'message': 'the host was down' if host in down else None} for host in hosts for image in images])
    return _wanted(conn, table.c.host.in_(hosts), table.c.image_id.in_(ids))


def _wanted(conn: sa.Connection, *where: sa.ColumnElement[bool], limit: int | None = None) -> list[Wanted]:
    rows = conn.execute(sa.select(table.c.id, table.c.host, table.c.image).where(
        table.c.status.in_(LIVE), *where).order_by(table.c.updated_at, table.c.id).limit(limit))
    return [Wanted(row.id, row.host, from_primitive(row.image)) for row in rows]


def unheard(conn: sa.Connection, seconds: float, limit: int = 500) -> list[Wanted]:
    """Requests of which nothing was heard for so long, the oldest first."""
    before = session.now(conn) - datetime.timedelta(seconds=seconds)
    return _wanted(conn, table.c.updated_at < before, limit=limit)


def is_empty(conn: sa.Connection) -> bool:
    return conn.execute(sa.select(table.c.id).limit(1)).first() is None


def report(conn: sa.Connection, host: str, said: Mapping[int, Mapping[str, Any]]) -> None:
    """What `host` says of requests, by id: {'status', 'percent', 'message'}. One that has ended stays as it is."""
    for row_id, facts in sorted(said.items()):
        conn.execute(table.update().where(
            table.c.id == row_id, table.c.host == host, table.c.status.in_(LIVE)).values(
            status=facts['status'], percent=facts.get('percent'), message=facts.get('message'),
            updated_at=session.now(conn)))


def give_up(conn: sa.Connection, seconds: float, message: str) -> int:
    """Requests that are this old and not done are so for good. -> how many"""
    before = session.now(conn) - datetime.timedelta(seconds=seconds)
    return conn.execute(table.update().where(table.c.status.in_(LIVE), table.c.created_at < before).values(
        status=ERROR, message=message, updated_at=session.now(conn))).rowcount


def forget(conn: sa.Connection, seconds: float) -> None:
    """Those that ended so long ago are of interest to nobody."""
    before = session.now(conn) - datetime.timedelta(seconds=seconds)
    conn.execute(table.delete().where(table.c.status.not_in(LIVE), table.c.updated_at < before))


def every(conn: sa.Connection, *, aggregate_id: int | None = None, hosts: Iterable[str] | None = None) -> list[Any]:
    """Rows host, image_id, aggregate_id, status, percent, message, created_at, updated_at."""
    query = sa.select(*(column for column in table.c if column.name not in ('id', 'image'))).order_by(
        table.c.host, table.c.image_id)
    if aggregate_id is not None:
        query = query.where(table.c.aggregate_id == aggregate_id)
    if hosts is not None:
        query = query.where(table.c.host.in_(list(hosts)))
    return list(conn.execute(query))
