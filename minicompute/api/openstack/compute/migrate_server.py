"""POST /servers/{id}/action: migrate, which stops the server on its way. os-migrateLive is in live_migrate.py."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import server_resize as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import resize

RULE = 'os_compute_api:os-migrate-server:%s'


class MigrateServerController(wsgi.Controller):

    @wsgi.action('migrate')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.migrate)
    def migrate(self, req: Request, id: str, body: dict[str, Any]) -> None:
        asked = body['migrate'] if req.since('2.56') else None
        host = asked.get('host') if asked else None
        instance = find(req, id, RULE % ('migrate:host' if host else 'migrate'))
        resize.migrate(req.context, instance, host)


ROUTES = (('POST', '/servers/{id}/action', MigrateServerController, wsgi.ACTIONS),)
