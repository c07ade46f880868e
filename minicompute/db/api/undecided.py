"""Live migrations that were given up before the records said where their guest is: neither of the hosts answered, or
what asks them, or writes down what they say, got stuck; and somebody reset the server's state, or abandoned the action.

Where the guest is shows when one of the two answers.  Until then the migration stays what it was, holds its claim, and
both hosts leave alone what they have of the server: to remove the wrong one would end the only copy, and to start what
the records name might start a second guest, from an old disk.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_utils import uuidutils

from minicompute.db.api import actions as journal
from minicompute.db.api import allocations, instances, migrations, owed, system_metadata
from minicompute.db.models import instance_actions
from minicompute.db.models import instances as servers
from minicompute.db.models import migrations as table
from minicompute.objects import Action, ActionState, Instance, Migration, MigrationStatus, MigrationType

#: rows that one statement reads at most
MOST = 500
#: the flow that goes on, and the step whose undo says where the guest is
FLOW, STEP = 'live-migration', 'migrate'
#: of the data of the action that was given up: what its continuation finds out anew
_STALE = ('error', 'unreached', 'outcome', 'at_source', 'at_destination', 'turns', 'reschedule')


def is_noted() -> sa.ColumnElement[bool]:
    """Whether a row of `instances` says so of its server: for a statement that looks at few of them, by another table's
    index. The name stands in quotes, which no value has without a backslash. False of a row that an outer join did not
    find, never null."""
    said = sa.func.coalesce(sa.type_coerce(servers.c.system_metadata, sa.Text), '')
    return said.contains(f'"{journal.UNDECIDED}"', autoescape=True)


def find(conn: sa.Connection) -> Sequence[Migration]:
    """Live migrations of such servers that nothing is under way for."""
    found: list[Migration] = []
    last: int | None = None
    while True:     # those that were given up elsewise, and stay, stand before no other
        rows = _idle(conn, last)
        if rows:        # nearly never: so what its server says is not looked for in each of them
            found += _noted(conn, [migrations.from_row(row) for row in rows])
        if len(rows) < MOST:
            return found
        last = rows[-1].id


def _idle(conn: sa.Connection, after: int | None) -> Sequence[sa.Row[Any]]:
    """Live migrations that nothing is under way for."""
    busy = sa.select(instance_actions.c.id).where(
        instance_actions.c.instance_uuid == table.c.instance_uuid,
        instance_actions.c.state.in_((*ActionState.LIVE, ActionState.STUCK)))
    query = sa.select(table).where(table.c.status.in_(MigrationStatus.LIVE),
                                   table.c.migration_type == MigrationType.LIVE, ~busy.exists())
    if after is not None:   # the first look, and most often the only one, goes by the index of states alone
        query = query.where(table.c.id > after)
    return conn.execute(query.order_by(table.c.id).limit(MOST)).all()


def _noted(conn: sa.Connection, going: Sequence[Migration]) -> list[Migration]:
    noted = {row.uuid: row.system_metadata or {} for row in conn.execute(
        sa.select(servers.c.uuid, servers.c.system_metadata).where(
            servers.c.uuid.in_([move.instance_uuid for move in going]), servers.c.deleted == 0))}
    return [move for move in going if noted.get(move.instance_uuid, {}).get(journal.UNDECIDED) == move.uuid]


def resume(conn: sa.Connection, move: Migration) -> Action | None:
    """Let a conductor ask where the guest is, and end the move accordingly. -> None when it is not for us. Raises
    ActionInProgress."""
    instance = instances.get_many(conn, [move.instance_uuid]).get(move.instance_uuid)
    if instance is None or of(instance) != move.uuid:
        return None
    if instance.host != move.source_compute:    # the records have followed the guest: there is no way back
        wipe(conn, instance.uuid)
        system_metadata.merge(conn, instance.uuid, {journal.UNDECIDED: None})
        return None
    last = next((one for one in _ended(conn, instance.uuid) if one.data.get('migration') == move.uuid), None)
    if last is None:
        return None
    data = {name: value for name, value in last.data.items() if name not in _STALE}
    data['undecided'] = True
    data['error'] = {'message': 'The live migration was given up before it was known where its guest is.', 'code': 500}
    wipe(conn, instance.uuid)
    action = Action(action=last.action, flow=FLOW, step=STEP, state=ActionState.UNWINDING, data=data,
                    instance_uuid=instance.uuid, busy=instance.uuid, user_id=last.user_id, project_id=last.project_id,
                    request_id='req-' + uuidutils.generate_uuid())
    journal.begin(conn, [action])
    return action


def of(instance: Instance) -> str | None:
    """The migration of which it is not known on which of its hosts the guest is."""
    found: str | None = instance.system_metadata.get(journal.UNDECIDED)
    return found


def waits(conn: sa.Connection, instance_uuid: str) -> bool:
    """Whether that is so of a server: then nothing may be done to what its two hosts have, though nothing holds it."""
    return journal.UNDECIDED in system_metadata.of(conn, instance_uuid)


def other_host(conn: sa.Connection, instance: Instance) -> str | None:
    """Where the guest of such a server may be beside its own host."""
    uuid = of(instance)
    return migrations.get(conn, uuid).dest_compute if uuid else None


def forget(conn: sa.Connection, uuid: str, instance_uuid: str, home: str) -> None:
    """The server is made anew at `home`: what the migration `uuid` left elsewhere is nobody's any more."""
    move = migrations.get(conn, uuid)
    allocations.release(conn, [uuid])
    migrations.update(conn, uuid, status=MigrationStatus.ERROR)
    for host in (move.source_compute, move.dest_compute):
        if host and host != home:
            owed.add(conn, host, instance_uuid, 'destroy', 'its guest was made anew elsewhere')
    settled(conn, instance_uuid)


def wipe(conn: sa.Connection, instance_uuid: str) -> None:
    """What its continuation has now, or nobody needs any more: how the other host reaches the volumes."""
    for action in _ended(conn, instance_uuid):
        if journal.ATTACHMENTS in action.data:
            journal.drop_secrets(action.data)
            journal.set_data(conn, action)


def _ended(conn: sa.Connection, instance_uuid: str) -> Sequence[Action]:
    rows = conn.execute(sa.select(instance_actions).where(
        instance_actions.c.instance_uuid == instance_uuid, instance_actions.c.flow == FLOW,
        instance_actions.c.state.in_(ActionState.ENDED)).order_by(instance_actions.c.id.desc()))
    return [journal.from_row(row) for row in rows]


def settled(conn: sa.Connection, instance_uuid: str) -> None:
    """It is known where the guest is."""
    wipe(conn, instance_uuid)
    system_metadata.merge(conn, instance_uuid, dict.fromkeys((journal.UNDECIDED, journal.UNENDED)))
