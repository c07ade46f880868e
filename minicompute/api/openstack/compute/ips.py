"""/servers/{server_id}/ips: the addresses of a server by network."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import ips as schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.servers import allow
from minicompute.api.openstack.compute.views import addresses
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import parts


class IPsController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schema.index)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        return {'addresses': self._read(req, server_id, 'index')}

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schema.show)
    def show(self, req: Request, server_id: str, id: str) -> dict[str, Any]:
        found = self._read(req, server_id, 'show')
        if id not in found:
            raise exception.NotFound('Instance is not a member of specified network')
        return {id: found[id]}

    @staticmethod
    def _read(req: Request, server_id: str, rule: str) -> addresses.Addresses:
        row = parts.find(req.context, server_id, allow(req, f'os_compute_api:ips:{rule}'), 'network_info')
        return addresses.build(row.network_info, extended=False)


ROUTES = (
    ('GET', '/servers/{server_id}/ips', IPsController, 'index'),
    ('GET', '/servers/{server_id}/ips/{id}', IPsController, 'show'),
)
