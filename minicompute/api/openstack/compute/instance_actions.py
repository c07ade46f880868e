"""/servers/{id}/os-instance-actions: what was done to a server, step by step."""
from __future__ import annotations

from typing import Any

from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import instance_actions as schema
from minicompute.api.openstack.compute.views import instance_actions as views
from minicompute.api.openstack.wsgi import Request
from minicompute.db import session
from minicompute.db.api import action_log

RULE = 'os_compute_api:os-instance-actions:%s'


class InstanceActionsController(wsgi.Controller):

    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        limit, marker = common.paging(req) if req.since('2.58') else (None, None)
        with session.read() as conn:
            project = action_log.project_of(conn, server_id, deleted=req.since('2.21'), visible_to=visible_to(req))
            policy.authorize(req.context, RULE % 'list', {'project_id': project})
            found = action_log.page(conn, server_id, limit=limit, marker=marker,
                                    since=common.time_param(req, 'changes-since'),
                                    before=common.time_param(req, 'changes-before'))
        return views.index(req, server_id, found, limit)

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.show_answer)
    def show(self, req: Request, server_id: str, id: str) -> dict[str, Any]:
        with session.read() as conn:
            project = action_log.project_of(conn, server_id, deleted=req.since('2.21'), visible_to=visible_to(req))
            target = {'project_id': project}
            policy.authorize(req.context, RULE % 'show', target)
            action = action_log.get(conn, server_id, id)
            sees_all = policy.allowed(req.context, RULE % 'events', target)
            events = None
            if sees_all or req.since('2.51'):
                running = action_log.under_way(action)
                events = [*([running] if running else []), *action_log.events_of(conn, action.id)]
        return views.show(req, action, events, sees_all=sees_all,
                          details=policy.allowed(req.context, RULE % 'events:details', target))


ROUTES = (
    ('GET', '/servers/{server_id}/os-instance-actions', InstanceActionsController, 'index'),
    ('GET', '/servers/{server_id}/os-instance-actions/{id}', InstanceActionsController, 'show'),
)


def visible_to(req: Request) -> str | None:
    """Servers of other projects are not there, but for administrators."""
    return None if req.context.is_admin else req.context.project_id or ''
