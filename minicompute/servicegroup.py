"""Which daemons are alive: rows that they renew, by the database's clock."""
from __future__ import annotations

import datetime

import sqlalchemy as sa
from oslo_utils import uuidutils

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.models import services
from minicompute.objects import Service

#: the names that clients of Nova know the daemons by
COMPUTE, CONDUCTOR, SCHEDULER = 'nova-compute', 'nova-conductor', 'nova-scheduler'

#: grows when a daemon learns something that others must know of before they use it
SERVICE_VERSION = 1


def report(conn: sa.Connection, host: str, binary: str, topic: str | None) -> None:
    """The heartbeat of a daemon: one UPDATE, or the row's birth."""
    now = session.now(conn)
    table = services.c
    done = conn.execute(services.update().where(table.host == host, table.binary == binary).values(
        last_seen_up=now, report_count=table.report_count + 1, version=SERVICE_VERSION))
    if done.rowcount:
        return
    conn.execute(services.insert().values(
        uuid=uuidutils.generate_uuid(), host=host, binary=binary, topic=topic, version=SERVICE_VERSION,
        disabled=False, forced_down=False, report_count=1, last_seen_up=now, created_at=now, updated_at=now))


def report_computes(conn: sa.Connection, hosts: list[str]) -> None:
    """The heartbeats of many computes, in one UPDATE."""
    table = services.c
    done = conn.execute(services.update().where(table.binary == COMPUTE, table.host.in_(hosts)).values(
        last_seen_up=session.now(conn), report_count=table.report_count + 1, version=SERVICE_VERSION))
    if done.rowcount < len(hosts):
        known = set(conn.execute(sa.select(table.host).where(table.binary == COMPUTE, table.host.in_(hosts))).scalars())
        for host in set(hosts) - known:
            report(conn, host, COMPUTE, 'compute')


def is_up(service: Service, now: datetime.datetime) -> bool:
    """`now` is the database's clock."""
    seen = service.last_seen_up or service.created_at
    if service.forced_down or seen is None:
        return False
    return now - seen <= datetime.timedelta(seconds=CONF.service_down_time)


def down_hosts(conn: sa.Connection, hosts: set[str]) -> dict[str, datetime.datetime | None]:
    """Those of `hosts` whose compute is down (or not there), with the time of its last report."""
    rows = conn.execute(sa.select(services.c.host, services.c.last_seen_up, services.c.forced_down).where(
        services.c.binary == COMPUTE, services.c.host.in_(hosts)))
    horizon = session.now(conn) - datetime.timedelta(seconds=CONF.service_down_time)
    seen = {row.host: (None if row.forced_down else row.last_seen_up, row.last_seen_up) for row in rows}
    return {host: seen.get(host, (None, None))[1] for host in hosts
            if (at := seen.get(host, (None, None))[0]) is None or at < horizon}
