"""What a host that is back says of what it had to remove."""
from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute.db import session
from minicompute.db.api import actions as journal
from minicompute.db.api import owed
from minicompute.db.models import instance_actions, migrations
from minicompute.objects import MigrationStatus, MigrationType

LOG = logging.getLogger(__name__)


def settle(conn: sa.Connection, host: str, uuids: Sequence[str], why: str) -> None:
    """`host` has removed all that it had of these servers: it owes nothing of them any more, their evacuations are
    `completed`, and the action log of each evacuated one says so."""
    LOG.warning('Host %s has removed %d servers, %s: %s', host, len(uuids), why, ', '.join(uuids))
    owed.paid(conn, host, list(uuids))
    evacuated = complete_evacuations(conn, host, uuids)
    if not evacuated:
        return
    newest = sa.select(instance_actions.c.instance_uuid, sa.func.max(instance_actions.c.id).label('id')).where(
        instance_actions.c.instance_uuid.in_(evacuated), instance_actions.c.flow == 'evacuate').group_by(
        instance_actions.c.instance_uuid)
    now = session.now(conn)
    journal.add_events(conn, [{
        'action_id': row.id, 'event': 'clean_source', 'start_time': now, 'finish_time': now, 'result': 'Success',
        'traceback': None, 'host': host, 'details': f'{host} is back and has removed what it had of the server'}
        for row in conn.execute(newest)])


def complete_evacuations(conn: sa.Connection, host: str, uuids: Sequence[str]) -> list[str]:
    """-> those of the servers that had been evacuated from `host`, which was still to clean up."""
    these = (migrations.c.source_compute == host, migrations.c.status == MigrationStatus.DONE,
             migrations.c.migration_type == MigrationType.EVACUATION, migrations.c.instance_uuid.in_(list(uuids)))
    found = list(conn.execute(sa.select(migrations.c.instance_uuid).where(*these).distinct()).scalars())
    if found:
        conn.execute(migrations.update().where(*these).values(
            status=MigrationStatus.COMPLETED, updated_at=session.now(conn)))
    return found
