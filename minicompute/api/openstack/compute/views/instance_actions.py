"""How the log of a server's actions is shown."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicompute.api.openstack import common
from minicompute.api.openstack.wsgi import Request
from minicompute.db.api.action_log import LoggedAction, LoggedEvent


def index(req: Request, server_id: str, found: Sequence[LoggedAction], limit: int | None) -> dict[str, Any]:
    page: dict[str, Any] = {'instanceActions': [_action(req, action) for action in found]}
    if limit is not None and found:
        links = common.next_links(req, f'servers/{server_id}/os-instance-actions', found, found[-1].request_id, limit)
        if links:
            page['links'] = links
    return page


def show(req: Request, action: LoggedAction, events: Sequence[LoggedEvent] | None, *, sees_all: bool,
         details: bool) -> dict[str, Any]:
    """`events` None: not for the caller."""
    row = _action(req, action)
    if events is not None:
        row['events'] = [_event(req, event, action.project_id, sees_all, details) for event in events]
    return {'instanceAction': row}


def _action(req: Request, action: LoggedAction) -> dict[str, Any]:
    row: dict[str, Any] = {
        'action': action.action, 'instance_uuid': action.instance_uuid, 'request_id': action.request_id,
        'user_id': action.user_id, 'project_id': action.project_id, 'message': action.message,
        'start_time': common.micro(action.start_time)}
    if req.since('2.58'):
        row['updated_at'] = common.micro(action.updated_at)
    return row


def _event(req: Request, event: LoggedEvent, project_id: str | None, sees_all: bool, details: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        'event': event.event, 'start_time': common.micro(event.start_time),
        'finish_time': common.micro(event.finish_time), 'result': event.result}
    if sees_all:
        row['traceback'] = event.traceback
    if req.since('2.62'):
        row['hostId'] = common.host_id(event.host, project_id)
        if sees_all:
            row['host'] = event.host
    if req.since('2.84') and details:
        row['details'] = event.details
    return row
