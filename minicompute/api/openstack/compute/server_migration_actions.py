"""/servers/{id}/migrations/{id}: a live migration is aborted, or made to end."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import live_migrate as schema
from minicompute.api.openstack.compute.servers import SERVERS, find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import live_migrate


class ServerMigrationActionsController(wsgi.Controller):

    @wsgi.api_version('2.22')
    @wsgi.action('force_complete')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.force_complete)
    def force_complete(self, req: Request, server_id: str, id: str, body: dict[str, Any]) -> None:
        instance = find(req, server_id, SERVERS % 'migrations:force_complete')
        live_migrate.force_complete(req.context, instance, id)

    @wsgi.api_version('2.24')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    def delete(self, req: Request, server_id: str, id: str) -> None:
        instance = find(req, server_id, SERVERS % 'migrations:delete')
        live_migrate.abort(req.context, instance, id, queued_too=req.since('2.65'))


ROUTES = (
    ('DELETE', '/servers/{server_id}/migrations/{id}', ServerMigrationActionsController, 'delete'),
    ('POST', '/servers/{server_id}/migrations/{id}/action', ServerMigrationActionsController, wsgi.ACTIONS),
)
