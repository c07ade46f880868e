"""/servers: the machines of users."""
from __future__ import annotations

from typing import Any

from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.compute import servers_create, servers_search
from minicompute.api.openstack.compute.schemas import servers as schema
from minicompute.api.openstack.compute.schemas import servers_answer as answers
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.views import servers as views
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.compute.api import create as create_api
from minicompute.compute.api import delete as delete_api
from minicompute.compute.api import lookup, parts
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instance_list
from minicompute.objects import Instance

SERVERS = 'os_compute_api:servers:%s'


class ServersController(wsgi.Controller):

    @wsgi.expected_errors((400, 403))
    @validation.schema(query=queries.index, answer=answers.index)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, SERVERS % 'index')
        search = servers_search.search(req, 'index')
        with session.read() as conn:
            rows = instance_list.page(conn, search, views.INDEX_COLUMNS)
        return views.index(req, rows, search.limit)

    @wsgi.expected_errors((400, 403))
    @validation.schema(query=queries.index, answer=answers.detail)
    def detail(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, SERVERS % 'detail')
        search = servers_search.search(req, 'detail')
        view = views.ServerView(req)
        columns = view.columns
        with session.read() as conn:
            rows = instance_list.page(conn, search, columns)
            around = instance_list.around(conn, rows, columns, reports=view.with_reports)
        return views.page(req, [view.show(row, around) for row in rows], 'servers/detail', search.limit)

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=answers.show)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        return shown(req, id, allow(req, SERVERS % 'show'))

    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 409))
    @validation.schema(schema.create, answer=answers.create)
    def create(self, req: Request, body: dict[str, Any]) -> Answer:
        server = body['server']
        request = servers_create.parse(req, body)
        created = create_api.create(req.context, request)
        links = common.Links(req, 'servers')(created.uuid)
        if types.is_true(server.get('return_reservation_id', False)):
            return Answer({'reservation_id': created.reservation_id})
        answer = {'id': created.uuid, 'links': links,
                  'OS-DCF:diskConfig': 'AUTO' if created.auto_disk_config else 'MANUAL',
                  'security_groups': server.get('security_groups', [{'name': 'default'}])}
        if CONF.enable_instance_password:
            answer['adminPass'] = request.admin_password
        return Answer({'server': answer}, headers=[('Location', links[0]['href'])])

    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.update, answer=answers.update)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        server = body['server']
        may = allow(req, SERVERS % 'update')
        parts.update(req.context, id, may, changed_columns(server), pin='pinned_availability_zone' in server,
                     zone=server.get('pinned_availability_zone'))
        return shown(req, id, may, full=req.since('2.75'))

    @wsgi.response(204)
    @wsgi.expected_errors((404, 409))
    def delete(self, req: Request, id: str) -> None:
        delete_api.delete(req.context, find(req, id, SERVERS % 'delete'))


ROUTES = (
    ('GET', '/servers', ServersController, 'index'),
    ('POST', '/servers', ServersController, 'create'),
    ('GET', '/servers/detail', ServersController, 'detail'),
    ('GET', '/servers/{id}', ServersController, 'show'),
    ('PUT', '/servers/{id}', ServersController, 'update'),
    ('DELETE', '/servers/{id}', ServersController, 'delete'),
)


def find(req: Request, uuid: str, rule: str) -> Instance:
    """The whole server, for an action. Raises InstanceNotFound, PolicyNotAuthorized."""
    instance = lookup.instance(req.context, uuid)
    policy.authorize(req.context, rule, {'project_id': instance.project_id, 'user_id': instance.user_id})
    return instance


def allow(req: Request, rule: str) -> parts.Allow:
    """The policy's question, to be asked of the server that is found."""
    def ask(row: Any) -> None:
        policy.authorize(req.context, rule, {'project_id': row.project_id, 'user_id': row.user_id})
    return ask


def shown(req: Request, uuid: str, may: parts.Allow, *, full: bool = True) -> dict[str, Any]:
    """One server as the request's microversion shows it."""
    view = views.ServerView(req, full=full)
    grouped = req.since('2.71')
    columns = [*view.columns, *(['group'] if grouped else [])]
    with session.read() as conn:
        row = instance_list.one(conn, uuid, columns, project_id=lookup.scope(req.context))
        may(row)
        around = instance_list.around(conn, [row], columns, reports=view.with_reports)
    return {'server': view.show(row, around, grouped=grouped)}


def changed_columns(server: dict[str, Any]) -> dict[str, Any]:
    """The columns that the body of an update changes."""
    changes: dict[str, Any] = {}
    if 'name' in server:
        changes['display_name'] = server['name'].strip()
    if 'description' in server:
        changes['display_description'] = server['description']
    if 'hostname' in server:
        changes['hostname'] = server['hostname']
    for name, column in (('accessIPv4', 'access_ip_v4'), ('accessIPv6', 'access_ip_v6')):
        if name in server:
            changes[column] = server[name] or None
    auto = servers_create.disk_config(server)
    if auto is not None:
        changes['auto_disk_config'] = auto
    return changes
