"""How far the step is that an action is at: for the action log, the server and the migration."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.db import bulk
from minicompute.db.api import instances as servers
from minicompute.db.api import migrations
from minicompute.db.models import instance_actions as actions
from minicompute.db.models import instances
from minicompute.objects import ActionState, StepProgress

_GOING = (ActionState.RUNNING, ActionState.UNWINDING)
#: what of `StepProgress.numbers` is written
NUMBERS = ('memory_total', 'memory_processed', 'memory_remaining', 'disk_total', 'disk_processed', 'disk_remaining')


def note(conn: sa.Connection, asked: Sequence[StepProgress], others: Sequence[StepProgress]) -> int:
    """Write what is still true under the rows' locks: a step that has ended meanwhile shows no progress any more.
    `others` were not asked for by a conductor: they count when the server lives on the host that tells. -> how many."""
    items = {item.action_id: item for item in (*others, *asked)}
    trusted = {item.action_id for item in asked}
    rows = conn.execute(sa.select(
        actions.c.id, actions.c.instance_uuid, actions.c.generation, actions.c.step, actions.c.state, actions.c.data,
        instances.c.host).join(instances, instances.c.uuid == actions.c.instance_uuid).where(
        actions.c.id.in_(list(items)), actions.c.state.in_(_GOING), instances.c.deleted == 0).order_by(
        actions.c.id).with_for_update(of=actions)).all()
    true = [(row, items[row.id]) for row in rows if _fits(row, items[row.id])
            and (row.id in trusted or row.host == items[row.id].host)]
    bulk.update(conn, actions.c.id, {row.id: {'progress': {
        'step': item.step, 'stage': item.stage, 'percent': item.percent, 'host': item.host}} for row, item in true})
    servers.update_many(conn, {row.instance_uuid: {'progress': item.percent} for row, item in true
                               if item.percent is not None})
    for row, item in true:
        _note_migration(conn, row, item)
    return len(true)


def _fits(row: Any, item: StepProgress) -> bool:
    key = f'{row.step}.undo' if row.state == ActionState.UNWINDING else row.step
    return row.generation == item.generation and key == item.step


def _note_migration(conn: sa.Connection, row: Any, item: StepProgress) -> None:
    numbers = {name: item.numbers[name] for name in NUMBERS if name in item.numbers}
    uuid = (row.data or {}).get('migration')
    if numbers and uuid:
        migrations.update(conn, uuid, **numbers)
