"""The journal as an operator sees and mends it: what runs, what is stuck, and the two ways out of that."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from minicompute import exception
from minicompute.db.api import actions as journal
from minicompute.db.api import instances
from minicompute.db.models import instance_actions as actions
from minicompute.objects import Action, ActionState, VMState


def find(conn: sa.Connection, states: Sequence[str], *, limit: int = 1000) -> list[Action]:
    """Actions in these states, oldest first."""
    query = sa.select(actions).where(actions.c.state.in_(list(states))).order_by(actions.c.id).limit(limit)
    return [journal.from_row(row) for row in conn.execute(query)]


def get(conn: sa.Connection, action_id: int) -> Action:
    """Raises ActionNotFound."""
    found = journal.load(conn, [action_id])
    if not found:
        raise exception.ActionNotFound(action_id=action_id)
    return found[0]


def retry(conn: sa.Connection, action_id: int, past_pivot: Callable[[Action], bool]) -> Action:
    """Let a conductor try the step again: forward behind the point of no return, else further back."""
    action = _stuck(conn, action_id)
    state = ActionState.RUNNING if past_pivot(action) else ActionState.UNWINDING
    conn.execute(actions.update().where(actions.c.id == action_id).values(
        state=state, attempts=0, message=None, owner=None, lease_until=None, generation=actions.c.generation + 1))
    return action


def abandon(conn: sa.Connection, action_id: int, reason: str) -> Action:
    """End it where it is: the server goes to ERROR and may be deleted; what the step left is the operator's."""
    action = _stuck(conn, action_id)
    message = f'{action.message or ""} Abandoned by the operator{": " + reason if reason else ""}.'.strip()
    journal.put_aside(conn, action_id, message)
    instances.update(conn, action.instance_uuid, {
        'vm_state': VMState.ERROR, 'task_state': None,
        'fault': instances.fault({'code': 500, 'message': f'{action.action} stopped at {action.step}: {message}'})})
    return action


def _stuck(conn: sa.Connection, action_id: int) -> Action:
    """Raises ActionNotFound, or Conflict when the action is not stuck."""
    row = conn.execute(sa.select(actions).where(actions.c.id == action_id).with_for_update()).first()
    if row is None:
        raise exception.ActionNotFound(action_id=action_id)
    if row.state != ActionState.STUCK:
        raise exception.Conflict(f'Action {action_id} is {row.state}, not stuck: conductors see to it themselves.')
    return journal.from_row(row)
