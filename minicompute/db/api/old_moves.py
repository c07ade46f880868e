"""Moves of a server that nobody ended: their action was given up, or an operator set the state of a resized server by
hand.  The next thing that gives the server a place ends them: it counts on the claims that it makes itself.
"""
from __future__ import annotations

import sqlalchemy as sa

from minicompute.db.api import actions as journal
from minicompute.db.api import allocations, instances, migrations, owed, system_metadata
from minicompute.objects import MigrationStatus

_WAITED = (MigrationStatus.FINISHED, MigrationStatus.CONFIRMING)


def let_go(conn: sa.Connection, instance_uuid: str) -> None:
    """In the transaction that begins the next one, which nothing else runs beside. Each other host of such a move owes
    its clean-up (which spares the disks of where the server lives), and the claim there is given back. One of which it
    is not known where it left the guest is not touched: who may begin beside it ends it (undecided.py)."""
    going = migrations.of_instance(conn, instance_uuid, MigrationStatus.LIVE)
    if not going:
        return
    said = system_metadata.of(conn, instance_uuid)
    home = instances.get(conn, instance_uuid).host
    old = [move for move in going if move.uuid != said.get(journal.UNDECIDED)]
    allocations.release(conn, [move.uuid for move in old])
    for move in old:
        waited = move.status in _WAITED
        migrations.update(conn, move.uuid, status=MigrationStatus.CONFIRMED if waited else MigrationStatus.ERROR)
        for host in {move.source_compute, move.dest_compute} - {None, home}:
            owed.add(conn, str(host), instance_uuid, 'destroy',
                     'a resize was never confirmed' if waited else 'a move was not ended')
    if said.get(journal.UNENDED) in {move.uuid for move in old}:
        system_metadata.merge(conn, instance_uuid, {journal.UNENDED: None})
    if old:
        instances.update(conn, instance_uuid, {'old_flavor': None})
