"""The log of the usage audits: for each host and period how many servers were on the host in it."""
from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from minicompute.db.models import instances, usage_audits
from minicompute.db.session import utcnow

DONE, RUNNING = 'DONE', 'RUNNING'
Period = tuple[datetime.datetime, datetime.datetime]


def of_period(conn: sa.Connection, period: Period) -> list[Any]:
    """Rows, by host."""
    c = usage_audits.c
    return list(conn.execute(sa.select(c.host, c.state, c.message, c.instances, c.errors).where(
        c.period_ending == period[1], c.period_beginning == period[0]).order_by(c.host)))


def servers_of(conn: sa.Connection, hosts: Iterable[str], period: Period) -> dict[str, int]:
    """{host: servers that ran there at some time in the period}, also those that are gone since."""
    c = instances.c
    rows = conn.execute(sa.select(c.host, sa.func.count()).where(
        c.host.in_(list(hosts)), sa.or_(c.terminated_at.is_(None), c.terminated_at > period[0]),
        c.launched_at < period[1]).group_by(c.host))
    return {host: int(count) for host, count in rows}


def note(conn: sa.Connection, counts: dict[str, int], period: Period) -> None:
    """The hosts are audited: raises DBDuplicateEntry when another conductor noted one of them."""
    now = utcnow()
    conn.execute(usage_audits.insert(), [{
        'host': host, 'period_beginning': period[0], 'period_ending': period[1], 'state': DONE, 'errors': 0,
        'instances': count, 'message': f'Instance usage audit ran for host {host}, {count} instances.',
        'created_at': now, 'updated_at': now} for host, count in sorted(counts.items())])


def uuids_of(conn: sa.Connection, hosts: Iterable[str], period: Period) -> list[str]:
    """The servers that `servers_of` counts."""
    c = instances.c
    return list(conn.scalars(sa.select(c.uuid).where(
        c.host.in_(list(hosts)), sa.or_(c.terminated_at.is_(None), c.terminated_at > period[0]),
        c.launched_at < period[1]).order_by(c.id)))
