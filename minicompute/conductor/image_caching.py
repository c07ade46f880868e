"""Sees that each request for an image on a host ends: asks again when nothing is heard, gives up in the end."""
from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from minicompute import servicegroup
from minicompute.compute import rpcapi as compute
from minicompute.db import session
from minicompute.db.api import image_caching as db

INTERVAL = 10
#: seconds without a word after which a host that is up is asked again
UNHEARD = 15
#: seconds after which a request fails, and after which nobody wants to know any more
GIVE_UP, FORGET = 6 * 3600, 7 * 24 * 3600


def note(items: list[dict[str, Any]]) -> None:
    """What hosts report. Of one request only the last word counts, but an end is an end."""
    by_host: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for item in items:
        before = by_host[item['host']].get(item['id'])
        if before is None or before['status'] in db.LIVE:
            by_host[item['host']][item['id']] = item
    session.write(_note, by_host)


def _note(conn: sa.Connection, by_host: dict[str, dict[int, dict[str, Any]]]) -> None:
    for host, said in sorted(by_host.items()):
        db.report(conn, host, said)


def sweep() -> None:
    with session.read() as conn:
        if db.is_empty(conn):
            return

    def look(conn: sa.Connection) -> list[db.Wanted]:
        db.give_up(conn, GIVE_UP, 'the host did not finish in time')
        db.forget(conn, FORGET)
        found = db.unheard(conn, UNHEARD)
        down = servicegroup.down_hosts(conn, {one.host for one in found}) if found else {}
        return [one for one in found if one.host not in down]
    for wanted in session.write(look):
        compute.cache_image(wanted.host, wanted.id, wanted.image)
