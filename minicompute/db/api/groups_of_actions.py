"""The actions of one multi-create request: the first leads, the others wait queued for its claim."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute.db import watch
from minicompute.db.api import instances
from minicompute.db.api.actions import SECRET
from minicompute.db.models import instance_actions as actions
from minicompute.db.session import utcnow
from minicompute.objects import ActionState, Selection, TaskState


def _waiting(conn: sa.Connection, leader: int | None) -> list[Any]:
    return list(conn.execute(sa.select(actions.c.id, actions.c.instance_uuid, actions.c.busy, actions.c.data).where(
        actions.c.after == leader, actions.c.state == ActionState.QUEUED,
        actions.c.busy == actions.c.instance_uuid)))


def release_placed(conn: sa.Connection, leader: int | None, step: str, places: dict[str, Selection]) -> list[int]:
    """Each follower goes on at `step`, on the host that was claimed for it. -> ids to ring."""
    rung = []
    for row in _waiting(conn, leader):
        place = places.get(row.instance_uuid)
        if place is None:
            continue
        changes = {'host': place.host, 'node': place.node, 'task_state': TaskState.SPAWNING}
        if place.availability_zone:
            changes['availability_zone'] = place.availability_zone
        instances.update(conn, row.instance_uuid, changes)
        rung.append(row.id)
    conn.execute(actions.update().where(actions.c.id.in_(rung)).values(
        state=ActionState.RUNNING, step=step, lease_until=None))
    if watch.listener is not None:
        watch.note(conn, watch.Followed(tuple(places), leader))
    return rung


def fail_waiting(conn: sa.Connection, leader: int | None, fault: dict[str, Any], message: str) -> None:
    """None of the group got a host."""
    now, waiting = utcnow(), _waiting(conn, leader)
    if watch.listener is not None:
        watch.note(conn, watch.Followed(tuple(row.instance_uuid for row in waiting), leader, fault))
    for row in waiting:
        instances.update(conn, row.instance_uuid, {'vm_state': 'error', 'task_state': None, 'fault': fault})
        data = {name: value for name, value in (row.data or {}).items() if name != SECRET}
        conn.execute(actions.update().where(actions.c.id == row.id).values(
            data=data, state=ActionState.FAILED, busy=None, message=message, finish_time=now, updated_at=now))
