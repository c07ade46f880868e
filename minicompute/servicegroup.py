"""Which daemons are alive: rows that they renew, by the database's clock."""
from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_utils import uuidutils

from minicompute.conf import CONF
from minicompute.db import session, watch
from minicompute.db.models import services
from minicompute.objects import Binary, Service

COMPUTE, CONDUCTOR, SCHEDULER = Binary.COMPUTE, Binary.CONDUCTOR, Binary.SCHEDULER

#: grows when a daemon learns something that others must know of before they use it
SERVICE_VERSION = 1
#: hosts that one statement names: SQLite takes 32,766 values, and a plan for few is a plan by the index
CHUNK = 500


def report(conn: sa.Connection, host: str, binary: str, topic: str | None) -> None:
    """The heartbeat of a daemon: one UPDATE, or the row's birth."""
    now = session.now(conn)
    table = services.c
    done = conn.execute(services.update().where(table.host == host, table.binary == binary).values(
        last_seen_up=now, report_count=table.report_count + 1, version=SERVICE_VERSION))
    if done.rowcount:
        return
    conn.execute(services.insert(), [_born(host, binary, topic, now)])
    watch.changed(conn, 'service', 'create', (host, binary))


def _born(host: str, binary: str, topic: str | None, now: datetime.datetime) -> dict[str, Any]:
    return {'uuid': uuidutils.generate_uuid(), 'host': host, 'binary': binary, 'topic': topic,
            'version': SERVICE_VERSION, 'disabled': False, 'forced_down': False, 'report_count': 1,
            'last_seen_up': now, 'created_at': now, 'updated_at': now}


def report_computes(conn: sa.Connection, hosts: list[str]) -> list[str]:
    """The heartbeats of many computes, in one UPDATE for each `CHUNK`. -> those that were not known."""
    table, now = services.c, session.now(conn)
    strangers: list[str] = []
    for start in range(0, len(hosts), CHUNK):
        part = hosts[start:start + CHUNK]
        these = (table.binary == COMPUTE, table.host.in_(part))
        # Never back: a machine that was stopped for a while takes the time of before for now.
        older = sa.or_(table.last_seen_up.is_(None), table.last_seen_up <= now)
        done = conn.execute(services.update().where(*these, older).values(
            last_seen_up=now, report_count=table.report_count + 1, version=SERVICE_VERSION))
        if done.rowcount < len(part):
            strangers += sorted(set(part) - set(conn.execute(sa.select(table.host).where(*these)).scalars()))
    if strangers:
        try:
            conn.execute(services.insert(), [_born(host, COMPUTE, 'compute', now) for host in strangers])
        except db_exc.DBDuplicateEntry as error:    # another conductor met one of them first
            raise db_exc.RetryRequest(error) from error
        for host in strangers if watch.on() else ():
            watch.changed(conn, 'service', 'create', (host, COMPUTE))
    return strangers


def is_up(service: Service, now: datetime.datetime) -> bool:
    """`now` is the database's clock."""
    seen = service.last_seen_up or service.created_at
    if service.forced_down or seen is None:
        return False
    return now - seen <= datetime.timedelta(seconds=CONF.service_down_time)


def forced_down(conn: sa.Connection, hosts: set[str]) -> dict[str, datetime.datetime | None]:
    """Those of `hosts` that an operator has declared down: true also for who cannot hear anybody."""
    rows = conn.execute(sa.select(services.c.host, services.c.last_seen_up).where(
        services.c.binary == COMPUTE, services.c.host.in_(hosts), services.c.forced_down.is_(True)))
    return {row.host: row.last_seen_up for row in rows}


def down_hosts(conn: sa.Connection, hosts: set[str], *, silent: bool = False) -> dict[str, datetime.datetime | None]:
    """Those of `hosts` whose compute is down (or not there), with the time of its last report. `silent`: only those
    that are not heard, whatever an operator says of them."""
    rows = conn.execute(sa.select(services.c.host, services.c.last_seen_up, services.c.forced_down).where(
        services.c.binary == COMPUTE, services.c.host.in_(hosts)))
    horizon = session.now(conn) - datetime.timedelta(seconds=CONF.service_down_time)
    seen = {row.host: (None if row.forced_down and not silent else row.last_seen_up, row.last_seen_up) for row in rows}
    return {host: seen.get(host, (None, None))[1] for host in hosts
            if (at := seen.get(host, (None, None))[0]) is None or at < horizon}


def up_computes(conn: sa.Connection) -> list[str]:
    """Hosts whose compute reports and is not declared down, in order."""
    horizon = session.now(conn) - datetime.timedelta(seconds=CONF.service_down_time)
    return list(conn.scalars(sa.select(services.c.host).where(
        services.c.binary == COMPUTE, services.c.forced_down.is_(False),
        services.c.last_seen_up >= horizon).order_by(services.c.host)))
