"""/servers/{id}/migrations: the live migration of a server while it goes on."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import migrations as schema
from minicompute.api.openstack.compute.servers import SERVERS, allow
from minicompute.api.openstack.compute.views import migrations as views
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import parts
from minicompute.db import session
from minicompute.db.api import migrations as db
from minicompute.objects import MigrationType


class ServerMigrationsController(wsgi.Controller):

    @wsgi.api_version('2.23')
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.server_query, answer=schema.server_index_answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        server = parts.find(req.context, server_id, allow(req, SERVERS % 'migrations:index'))
        target = {'project_id': server.project_id, 'user_id': server.user_id}
        hosts = policy.allowed(req.context, SERVERS % 'migrations:index:host', target)
        with session.read() as conn:
            found = db.of_instance(conn, server.uuid, views.IN_PROGRESS, [MigrationType.LIVE])
        return {'migrations': [views.of_server(req, migration, hosts=hosts) for migration in reversed(found)]}

    @wsgi.api_version('2.23')
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.server_query, answer=schema.server_show_answer)
    def show(self, req: Request, server_id: str, id: str) -> dict[str, Any]:
        server = parts.find(req.context, server_id, allow(req, SERVERS % 'migrations:show'))
        with session.read() as conn:
            migration = db.one_of(conn, server.uuid, id)
        if migration is None:
            raise exception.NotFound(f'In-progress live migration {id[:64]} is not found for server {server.uuid}.')
        if migration.migration_type != MigrationType.LIVE:
            raise exception.NotFound(f'Migration {id} for server {server.uuid} is not live-migration.')
        if migration.status not in views.IN_PROGRESS:
            raise exception.NotFound(f'Live migration {id} for server {server.uuid} is not in progress.')
        return {'migration': views.of_server(req, migration, hosts=True)}


ROUTES = (
    ('GET', '/servers/{server_id}/migrations', ServerMigrationsController, 'index'),
    ('GET', '/servers/{server_id}/migrations/{id}', ServerMigrationsController, 'show'),
)
