"""What a host should do that comes late to what it was asked: compute/manager/late.py asks."""
from __future__ import annotations

import sqlalchemy as sa

from minicompute.conductor.flow import Flow
from minicompute.db.api import actions, instances, undecided
from minicompute.objects import Action, ActionState


def wanted(conn: sa.Connection, host: str, action_id: int, step: str) -> bool:
    """Whether `host` is to do what it was asked as `step` (`Action.step_key`): the action waits for it, or it has ended
    and by the records the server has what comes of it. A guest that lost a volume to a detachment that then failed,
    while nobody could ask its host, has it again."""
    if actions.waits_for(conn, action_id, step):
        return True
    return any(action.state in ActionState.ENDED and _is_recorded(conn, host, action, step)
               for action in actions.load(conn, [action_id]))


def _is_recorded(conn: sa.Connection, host: str, action: Action, step: str) -> bool:
    """What something else does to the server is not to be disturbed: what holds it has set a task state, and what has
    only taken a device away in the records asks the host after this."""
    name, flow = step.removesuffix('.undo'), Flow.registry.get(action.flow)
    if flow is None or name not in Flow.known()[action.flow]:
        return False
    judge = flow.step(name).undo_late if name != step else flow.step(name).late
    server = instances.get_many(conn, [action.instance_uuid]).get(action.instance_uuid) if judge else None
    if judge is None or server is None or server.host != host or server.task_state is not None:
        return False
    return not undecided.of(server) and judge(server, action.data)
