"""/os-simple-tenant-usage: what projects used over a time."""
from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote

from oslo_utils import timeutils

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import tenant_usage as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import tenant_usage as api
from minicompute.conf import CONF

RULE = 'os_compute_api:os-simple-tenant-usage:%s'
COLLECTION = 'os-simple-tenant-usage'
FORMATS = ('%Y-%m-%dT%H:%M:%S', '%Y-%m-%dT%H:%M:%S.%f', '%Y-%m-%d %H:%M:%S.%f')
Json = dict[str, Any]


class SimpleTenantUsageController(wsgi.Controller):

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> Json:
        policy.authorize(req.context, RULE % 'list')
        begin, end = period(req)
        detailed = req.query.get('detailed', ['0'])[0] == '1'
        limit, found = page(req, begin, end)
        return {'tenant_usages': [_project(one, begin, end, detailed) for one in found],
                **_links(req, COLLECTION, 'tenant_usages_links', found, limit)}

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.show_query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> Json:
        policy.authorize(req.context, RULE % 'show', {'project_id': id})
        begin, end = period(req)
        limit, found = page(req, begin, end, id)
        return {'tenant_usage': _project(found[0], begin, end, detailed=True) if found else {},
                **_links(req, f'{COLLECTION}/{quote(id, safe="")}', 'tenant_usage_links', found, limit)}


ROUTES = (
    ('GET', '/os-simple-tenant-usage', SimpleTenantUsageController, 'index'),
    ('GET', '/os-simple-tenant-usage/{id}', SimpleTenantUsageController, 'show'),
)


def period(req: Request) -> tuple[datetime.datetime, datetime.datetime]:
    """From `start` to `end`, each now when it is not said; what is to come is not used yet. Raises Invalid."""
    begin = _time(req, 'start')
    end = _time(req, 'end')
    if begin >= end:
        raise exception.Invalid('Invalid start time. The start time cannot occur after the end time.')
    return begin, min(end, timeutils.utcnow())


def _time(req: Request, name: str) -> datetime.datetime:
    text = next((value for value in req.query.get(name, ()) if value), None)
    if text is None:
        return timeutils.utcnow()
    for form in FORMATS:
        try:
            return datetime.datetime.strptime(text, form)
        except ValueError:
            continue
    raise exception.Invalid('Invalid datetime string: Datetime is in invalid format')


def page(req: Request, begin: datetime.datetime, end: datetime.datetime,
         project_id: str | None = None) -> tuple[int, list[api.Project]]:
    """Before 2.40 there is one page, and no word about what did not fit on it."""
    limit, marker = common.paging(req) if req.since('2.40') else (int(CONF.api.max_limit), None)
    return limit, api.usage(begin, end, project_id=project_id, limit=limit, marker=marker)


def _links(req: Request, path: str, name: str, found: list[api.Project], limit: int) -> Json:
    servers = [server for project in found for server in project.servers]
    links = common.next_links(req, path, servers, servers[-1].uuid if servers else None, limit)
    return {name: links} if links and req.since('2.40') else {}


def _project(one: api.Project, begin: datetime.datetime, end: datetime.datetime, detailed: bool) -> Json:
    shown = {
        'tenant_id': one.project_id, 'start': common.micro(begin), 'stop': common.micro(end), 'total_hours': one.hours,
        'total_vcpus_usage': one.vcpu_hours, 'total_memory_mb_usage': one.memory_mb_hours,
        'total_local_gb_usage': one.local_gb_hours}
    return {**shown, 'server_usages': [_server(server) for server in one.servers]} if detailed else shown


def _server(one: api.Server) -> Json:
    return {
        'instance_id': one.uuid, 'name': one.name, 'tenant_id': one.project_id, 'hours': one.hours,
        'flavor': one.flavor.name, 'vcpus': one.flavor.vcpus, 'memory_mb': one.flavor.memory_mb,
        'local_gb': one.local_gb, 'started_at': common.micro(one.started_at), 'ended_at': common.micro(one.ended_at),
        'state': one.state, 'uptime': one.uptime}
