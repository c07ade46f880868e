"""Figures of what there is to do, for who measures: a few grouped rows each."""
from __future__ import annotations

import datetime

import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.models import instance_actions as actions
from minicompute.objects import ActionState

#: seconds; an action is counted under the largest that it is older than
AGES = (3600, 600, 60, 10, 0)
OPEN = (ActionState.RUNNING, ActionState.UNWINDING, ActionState.QUEUED, ActionState.STUCK)


def open_actions(conn: sa.Connection) -> dict[tuple[str, ...], float]:
    """{(flow, state, age): how many}"""
    now = session.now(conn)
    age = sa.case(*((actions.c.start_time <= now - datetime.timedelta(seconds=seconds), str(seconds))
                    for seconds in AGES), else_='0').label('age')
    # A query in a query: PostgreSQL takes two equal expressions for different ones when they hold parameters.
    found = sa.select(actions.c.flow, actions.c.state, age).where(actions.c.state.in_(OPEN)).subquery()
    rows = conn.execute(sa.select(found.c.flow, found.c.state, found.c.age, sa.func.count()).group_by(
        found.c.flow, found.c.state, found.c.age))
    return {(flow, state, older): float(number) for flow, state, older, number in rows}


def unclaimed(conn: sa.Connection) -> float:
    """Seconds for which the oldest action waits that may run and that nobody has claimed. (What a host does for the
    api directly is not waiting: it has its grace.)"""
    now = session.now(conn)
    oldest = conn.execute(sa.select(sa.func.min(actions.c.lease_until)).where(
        actions.c.state.in_((ActionState.RUNNING, ActionState.UNWINDING)), actions.c.lease_until < now)).scalar()
    return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())
