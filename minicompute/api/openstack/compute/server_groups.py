"""/os-server-groups: servers that shall be together, or apart."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import exception, policy, quota
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import server_groups as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instance_groups as db
from minicompute.db.api import instance_list
from minicompute.objects import InstanceGroup

RULE = 'os_compute_api:os-server-groups:%s'
ANTI_AFFINITY = 'anti-affinity'


class ServerGroupsController(wsgi.Controller):

    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'index')
        project_id: str | None = req.context.project_id or ''
        if 'all_projects' in req.query and req.context.is_admin:     # others get their own, and no word about it
            policy.authorize(req.context, RULE % 'index:all_projects')
            project_id = None
        limit = common.paging(req)[0] or CONF.api.max_limit     # 0 is no limit here
        with session.read() as conn:
            groups = db.list_groups(conn, project_id, limit, int(common.last(req, 'offset') or 0))
            _drop_deleted(conn, groups)
        return {'server_groups': [view(req, group) for group in groups]}

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        with session.read() as conn:
            group = _get(conn, req, id, 'show')
            _drop_deleted(conn, [group])
        return {'server_group': view(req, group)}

    @wsgi.expected_errors((400, 403, 409))
    @validation.schema(schema.create, answer=schema.show_answer)
    def create(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'create')

        def write(conn: sa.Connection) -> InstanceGroup:
            quota.reserve_group(conn, str(req.context.project_id), str(req.context.user_id))
            return db.create(conn, new_group(req, body['server_group']))
        return {'server_group': view(req, session.write(write))}

    @wsgi.response(204)
    @wsgi.expected_errors(404)
    def delete(self, req: Request, id: str) -> None:
        def write(conn: sa.Connection) -> None:
            db.delete(conn, _get(conn, req, id, 'delete').uuid)
        session.write(write)


ROUTES = (
    ('GET', '/os-server-groups', ServerGroupsController, 'index'),
    ('POST', '/os-server-groups', ServerGroupsController, 'create'),
    ('GET', '/os-server-groups/{id}', ServerGroupsController, 'show'),
    ('DELETE', '/os-server-groups/{id}', ServerGroupsController, 'delete'),
)


def _get(conn: sa.Connection, req: Request, uuid: str, rule: str) -> InstanceGroup:
    """Raises InstanceGroupNotFound, also for a group of others; PolicyNotAuthorized."""
    group = db.get(conn, uuid)
    if not req.context.is_admin and group.project_id != req.context.project_id:
        raise exception.InstanceGroupNotFound(group_uuid=uuid)
    policy.authorize(req.context, RULE % rule, {'project_id': group.project_id, 'user_id': group.user_id})
    return group


def _drop_deleted(conn: sa.Connection, groups: list[InstanceGroup]) -> None:
    """A deleted server is no member any more, though its row may be there."""
    live = instance_list.live_among(conn, [uuid for group in groups for uuid in group.members])
    for group in groups:
        group.members = [uuid for uuid in group.members if uuid in live]


def new_group(req: Request, body: dict[str, Any]) -> InstanceGroup:
    rules = {name: int(value) for name, value in (body.get('rules') or {}).items()}
    chosen = body['policy'] if req.since('2.64') else body['policies'][0]
    if rules and chosen != ANTI_AFFINITY:
        raise exception.Invalid('Only anti-affinity policy supports rules.')
    return InstanceGroup(uuid='', name=body['name'], project_id=str(req.context.project_id),
                         user_id=str(req.context.user_id), policy=chosen, rules=rules)


def view(req: Request, group: InstanceGroup) -> dict[str, Any]:
    shown: dict[str, Any] = {'id': group.uuid, 'name': group.name, 'members': group.members}
    if req.since('2.64'):
        shown.update(policy=group.policy, rules=group.rules)
    else:
        shown.update(policies=[group.policy], metadata={})
    if req.since('2.13'):
        shown.update(project_id=group.project_id, user_id=group.user_id)
    return shown
