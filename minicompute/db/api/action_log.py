"""The journal as users read it. Writing and running it is actions.py."""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.db.models import instance_actions as actions
from minicompute.db.models import instance_actions_events as events
from minicompute.db.models import instances
from minicompute.objects import ActionState


@dataclasses.dataclass(slots=True)
class LoggedAction:
    id: int
    action: str
    instance_uuid: str
    request_id: str
    user_id: str | None
    project_id: str | None
    message: str | None
    start_time: datetime.datetime | None
    updated_at: datetime.datetime | None
    state: str
    step: str | None
    owner: str | None
    progress: dict[str, Any] | None


@dataclasses.dataclass(slots=True)
class LoggedEvent:
    event: str
    start_time: datetime.datetime | None
    finish_time: datetime.datetime | None
    result: str | None
    traceback: str | None
    host: str | None
    details: str | None


_ACTION = [actions.c[field.name] for field in dataclasses.fields(LoggedAction)]
_EVENT = [events.c[field.name] for field in dataclasses.fields(LoggedEvent)]


def project_of(conn: sa.Connection, uuid: str, *, deleted: bool, visible_to: str | None = None) -> str:
    """Whose server it is (or, with `deleted`, was). With `visible_to`, servers of other projects are not there.
    Raises InstanceNotFound."""
    query = sa.select(instances.c.project_id).where(instances.c.uuid == uuid)
    if not deleted:
        query = query.where(instances.c.deleted == 0)
    found = conn.execute(query).scalar_one_or_none()
    if found is None or visible_to not in (None, found):
        raise exception.InstanceNotFound(instance_id=uuid)
    return str(found)


def page(conn: sa.Connection, uuid: str, *, limit: int | None = None, marker: str | None = None,
         since: datetime.datetime | None = None, before: datetime.datetime | None = None) -> Sequence[LoggedAction]:
    """Newest first. The marker is a request id. Raises MarkerNotFound."""
    query = sa.select(*_ACTION).where(actions.c.instance_uuid == uuid).order_by(actions.c.id.desc())
    if since is not None:
        query = query.where(actions.c.updated_at >= since)
    if before is not None:
        query = query.where(actions.c.updated_at <= before)
    if marker is not None:
        query = query.where(actions.c.id < _by_request(conn, uuid, marker, exception.MarkerNotFound(marker=marker)).id)
    if limit is not None:
        query = query.limit(limit)
    return [LoggedAction(*row) for row in conn.execute(query)]


def get(conn: sa.Connection, uuid: str, request_id: str) -> LoggedAction:
    """Raises ActionNotFound."""
    return _by_request(conn, uuid, request_id, exception.ActionNotFound(action_id=request_id))


def with_data(conn: sa.Connection, uuid: str, limit: int = 20) -> Sequence[Any]:
    """The last actions, newest first, with what their flows keep: action, request_id, start_time, data."""
    return conn.execute(sa.select(actions.c.action, actions.c.request_id, actions.c.start_time, actions.c.data).where(
        actions.c.instance_uuid == uuid).order_by(actions.c.id.desc()).limit(limit)).all()


def _by_request(conn: sa.Connection, uuid: str, request_id: str, missing: Exception) -> LoggedAction:
    row = conn.execute(sa.select(*_ACTION).where(
        actions.c.instance_uuid == uuid, actions.c.request_id == request_id).order_by(actions.c.id)).first()
    if row is None:
        raise missing
    return LoggedAction(*row)


def events_of(conn: sa.Connection, action_id: int) -> Sequence[LoggedEvent]:
    """The steps, newest first as in Nova."""
    query = sa.select(*_EVENT).where(events.c.action_id == action_id).order_by(events.c.id.desc())
    return [LoggedEvent(*row) for row in conn.execute(query)]


def under_way(action: LoggedAction) -> LoggedEvent | None:
    """The step that runs now, which has no row before it ends. None: nothing runs."""
    if action.state not in (ActionState.RUNNING, ActionState.UNWINDING) or action.step is None:
        return None
    undoing = action.state == ActionState.UNWINDING
    said = action.progress or {}
    if said.get('step') != (f'{action.step}.undo' if undoing else action.step):
        said = {}
    percent = '' if said.get('percent') is None else f' {said["percent"]} %'
    return LoggedEvent(
        event=f'{action.step}_undo' if undoing else action.step, start_time=action.updated_at, finish_time=None,
        result=None, traceback=None, host=said.get('host') or action.owner,
        details=f'{said["stage"]}{percent}' if said else None)
