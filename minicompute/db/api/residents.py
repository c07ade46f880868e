"""Who lives on a host: what a compute that starts compares itself with."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.db.api import instances as servers
from minicompute.db.api import migrations
from minicompute.db.api import owed as debts
from minicompute.db.models import instance_actions, instances


def of_hosts(conn: sa.Connection, hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """-> {host: {'instances': live servers whose place it is, 'busy': uuids of those that an action works on,
    or that move to or from there, 'owed': uuids of servers that it has to remove, 'homes': {such a server: the host
    where it lives}}} for each of `hosts`; as many statements for one as for many."""
    found: dict[str, dict[str, Any]] = {
        host: {'instances': [], 'busy': [], 'owed': [], 'homes': {}} for host in hosts}
    here = (instances.c.host.in_(hosts), instances.c.deleted == 0)
    uuids = conn.execute(sa.select(instances.c.uuid).where(*here)).scalars().all()
    for server in servers.get_many(conn, uuids).values() if uuids else ():
        if server.host in found:    # it may just have moved
            found[server.host]['instances'].append(server)
    busy = sa.select(instances.c.host, instance_actions.c.busy).join(
        instances, instances.c.uuid == instance_actions.c.busy).where(*here)
    for host, uuid in conn.execute(busy):
        found[host]['busy'].append(uuid)
    for host, uuid in migrations.under_way(conn, hosts):
        found[host]['busy'].append(uuid)
    owed = debts.of_hosts(conn, hosts)
    lives = sa.select(instances.c.uuid, instances.c.host).where(
        instances.c.uuid.in_([uuid for _, uuid in owed]), instances.c.deleted == 0, instances.c.host.is_not(None))
    homes = {row.uuid: row.host for row in conn.execute(lives)} if owed else {}
    for host, uuid in owed:
        found[host]['owed'].append(uuid)
        if uuid in homes:
            found[host]['homes'][uuid] = homes[uuid]
    return found
