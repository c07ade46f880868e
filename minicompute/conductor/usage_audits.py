"""The usage audit: once a period is over, how many servers each host had in it is written down.

In Nova each compute does this and needs the database for it; here a conductor does it for all of them, and that a host
is down does not keep its servers out of the log.
"""
from __future__ import annotations

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging

from minicompute.conf import CONF
from minicompute.db import session, watch
from minicompute.db.api import services
from minicompute.db.api import usage_audits as db
from minicompute.utils import audit_period

LOG = logging.getLogger(__name__)

#: seconds between two looks whether a period has ended
INTERVAL = 60.0
#: hosts of one transaction: none is long, and what one of them cannot do the others have done
HOSTS = 50


def sweep() -> int:
    """-> how many hosts were audited."""
    if not CONF.instance_usage_audit:
        return 0
    with session.read() as conn:
        period = audit_period(CONF.instance_usage_audit_period, session.now(conn))
        waiting = sorted(_waiting(conn, period))
    done = 0
    for start in range(0, len(waiting), HOSTS):
        try:
            done += session.write(_audit, period, waiting[start:start + HOSTS])
        except db_exc.DBDuplicateEntry:
            continue     # another conductor was at it in the same moment; what is left the next look finds
    if done:
        LOG.info('The usage of %d hosts from %s to %s is written down', done, *period)
    return done


def _audit(conn: sa.Connection, period: db.Period, among: list[str]) -> int:
    hosts = _waiting(conn, period).intersection(among)
    if hosts:
        counted = db.servers_of(conn, hosts, period)
        db.note(conn, {host: counted.get(host, 0) for host in hosts}, period)
        watch.note(conn, watch.Audited(tuple(sorted(hosts)), period))
    return len(hosts)


def _waiting(conn: sa.Connection, period: db.Period) -> set[str]:
    audited = {row.host for row in db.of_period(conn, period)}
    return {service.host for service in services.every(conn, binary=services.COMPUTE)} - audited
