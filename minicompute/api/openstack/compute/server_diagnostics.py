"""/servers/{server_id}/diagnostics: what a running server uses, as its host sees it."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import server_diagnostics as schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import diagnostics


class ServerDiagnosticsController(wsgi.Controller):

    @wsgi.expected_errors((400, 404, 409, 501))
    @validation.schema(query=queries.nothing, answer=schema.answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        instance = find(req, server_id, 'os_compute_api:os-server-diagnostics')
        return diagnostics.read(req.context, instance, old=not req.since('2.48'))


ROUTES = (('GET', '/servers/{server_id}/diagnostics', ServerDiagnosticsController, 'index'),)
