"""/os-hosts, up to 2.42: hosts as they were shown before there were hypervisors and services."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import exception, policy, servicegroup
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.availability_zones import zone_of
from minicompute.api.openstack.compute.schemas import hosts as schema
from minicompute.api.openstack.compute.views import hypervisors as views
from minicompute.api.openstack.wsgi import Request
from minicompute.db import session
from minicompute.db.api import aggregates
from minicompute.db.api import services as db
from minicompute.objects import Service

RULE = 'os_compute_api:os-hosts:%s'
LAST = '2.42'


class HostsController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list', {})
        wanted = common.last(req, 'zone')
        with session.read() as conn:
            zones, found = aggregates.zones(conn), db.every(conn, disabled=False)
        shown = [{'host_name': one.host, 'service': one.topic, 'zone': zone_of(one, zones)} for one in found]
        return {'hosts': [row for row in shown if not wanted or row['zone'] == wanted]}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.no_query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show', {})
        with session.read() as conn:
            nodes = db.hypervisors(conn, host=id, limit=1, usage=True)
            if not nodes:
                raise exception.ComputeHostNotFound(host=id[:255])
            by_project = db.flavors_by_project(conn, id)
        has = views.capacity(nodes[0])
        rows = [('(total)', has['vcpus'], has['memory_mb'], has['local_gb']),
                ('(used_now)', has['vcpus_used'], has['memory_mb_used'], has['local_gb_used']),
                ('(used_max)', *(sum(column) for column in zip((0, 0, 0), *by_project.values(), strict=True))),
                *((project, *sums) for project, sums in by_project.items())]
        return {'host': [{'resource': {'host': id, 'project': project, 'cpu': cpu, 'memory_mb': memory,
                                       'disk_gb': disk}} for project, cpu, memory, disk in rows]}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404, 501))
    @validation.schema(schema.update, answer=schema.update_answer)
    def update(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        """Whether new servers are placed there; a maintenance mode is what a pool of Xen hosts had."""
        policy.authorize(req.context, RULE % 'update', {})

        def change(conn: sa.Connection) -> str:
            service = up(conn, id)
            if 'maintenance_mode' in body:
                raise exception.NotImplementedHere('No driver here has a maintenance mode.')
            disabled = body['status'].lower() == 'disable'
            db.update(conn, service, disabled=disabled, disabled_reason=None)
            return 'disabled' if disabled else 'enabled'
        return {'host': id, 'status': session.write(change)}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404, 501))
    @validation.schema(query=schema.no_query, answer=validation.EMPTY)
    def reboot(self, req: Request, id: str) -> None:
        self._power(req, id, 'reboot')

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404, 501))
    @validation.schema(query=schema.no_query, answer=validation.EMPTY)
    def shutdown(self, req: Request, id: str) -> None:
        self._power(req, id, 'shutdown')

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404, 501))
    @validation.schema(query=schema.no_query, answer=validation.EMPTY)
    def startup(self, req: Request, id: str) -> None:
        self._power(req, id, 'start')

    @staticmethod
    def _power(req: Request, host: str, rule: str) -> None:
        """As Nova's libvirt driver: hosts are not ours to switch."""
        policy.authorize(req.context, RULE % rule, {})
        with session.read() as conn:
            up(conn, host)
        raise exception.NotImplementedHere('No driver here switches its host on or off.')


ROUTES = (
    ('GET', '/os-hosts', HostsController, 'index'),
    ('GET', '/os-hosts/{id}', HostsController, 'show'),
    ('PUT', '/os-hosts/{id}', HostsController, 'update'),
    ('GET', '/os-hosts/{id}/reboot', HostsController, 'reboot'),
    ('GET', '/os-hosts/{id}/shutdown', HostsController, 'shutdown'),
    ('GET', '/os-hosts/{id}/startup', HostsController, 'startup'),
)


def up(conn: sa.Connection, host: str) -> Service:
    """The compute service of `host`, which must be there (NotFound) and report (Invalid)."""
    service = db.find(conn, host[:255], db.COMPUTE)
    if not servicegroup.is_up(service, session.now(conn)):
        raise exception.Invalid(f'Compute service of {host} is unavailable at this time.')
    return service
