"""/servers/{server_id}/topology: the NUMA nodes of a server.

There are none: a flavor that asks for nodes, pinned cores or huge pages is refused (`virt/hardware.py`), and a server
without them is shown as Nova shows it.
"""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import server_topology as schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.servers import allow
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import parts


class ServerTopologyController(wsgi.Controller):

    @wsgi.api_version('2.78')
    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schema.answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        parts.find(req.context, server_id, allow(req, 'compute:server:topology:index'))
        return {'nodes': [], 'pagesize_kb': None}


ROUTES = (('GET', '/servers/{server_id}/topology', ServerTopologyController, 'index'),)
