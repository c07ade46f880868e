"""/os-migrations: all moves of servers, past and present."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import migrations as schema
from minicompute.api.openstack.compute.views import migrations as views
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.db import session
from minicompute.db.api import migrations as db

RULE = 'os_compute_api:os-migrations:%s'
FILTERS = ('host', 'node', 'source_compute', 'status', 'migration_type', 'instance_uuid', 'user_id', 'project_id')


class MigrationsController(wsgi.Controller):

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'index')
        project_id = common.last(req, 'project_id')
        if not project_id or project_id != req.context.project_id:
            policy.authorize(req.context, RULE % 'index:all_projects')
        limit, marker = common.paging(req) if req.since('2.59') else (None, None)
        since, before = common.time_param(req, 'changes-since'), common.time_param(req, 'changes-before')
        if since is not None and before is not None and before < since:
            raise exception.Invalid('The value of changes-since must be less than or equal to changes-before.')
        found = []
        if not types.is_true(common.last(req, 'hidden', 'false')):     # none of ours ever is
            filters = {name: value for name in FILTERS if (value := common.last(req, name)) is not None}
            with session.read() as conn:
                found = db.page(conn, filters, limit=limit, marker=marker, since=since, before=before)
        return views.index(req, found, hosts=policy.allowed(req.context, RULE % 'index:host', {}), limit=limit)


ROUTES = (('GET', '/os-migrations', MigrationsController, 'index'),)
