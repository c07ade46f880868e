"""What is gone for good: 410 at every microversion."""
from __future__ import annotations

from typing import Any

import webob.exc

from minicompute.api.openstack import wsgi
from minicompute.api.openstack.wsgi import Request

GONE = '''
GET /os-agents
POST /os-agents
PUT /os-agents/{id}
DELETE /os-agents/{id}
GET /os-cells
POST /os-cells
GET /os-cells/capacities
GET /os-cells/detail
GET /os-cells/info
POST /os-cells/sync_instances
GET /os-cells/{id}
PUT /os-cells/{id}
DELETE /os-cells/{id}
GET /os-cells/{id}/capacities
POST /os-certificates
GET /os-certificates/{id}
GET /os-cloudpipe
POST /os-cloudpipe
PUT /os-cloudpipe/{id}
GET /os-fixed-ips/{id}
GET /os-floating-ip-dns
PUT /os-floating-ip-dns/{id}
DELETE /os-floating-ip-dns/{id}
GET /os-floating-ip-dns/{domain_id}/entries/{id}
PUT /os-floating-ip-dns/{domain_id}/entries/{id}
DELETE /os-floating-ip-dns/{domain_id}/entries/{id}
GET /os-floating-ips-bulk
POST /os-floating-ips-bulk
GET /os-floating-ips-bulk/{id}
PUT /os-floating-ips-bulk/{id}
GET /os-fping
GET /os-fping/{id}
POST /os-networks
POST /os-networks/add
DELETE /os-networks/{id}
GET /os-security-group-default-rules
POST /os-security-group-default-rules
GET /os-security-group-default-rules/{id}
DELETE /os-security-group-default-rules/{id}
POST /os-tenant-networks
DELETE /os-tenant-networks/{id}
GET /servers/{server_id}/consoles
POST /servers/{server_id}/consoles
GET /servers/{server_id}/consoles/{id}
DELETE /servers/{server_id}/consoles/{id}
GET /servers/{server_id}/os-virtual-interfaces
'''


class RemovedController(wsgi.Controller):

    @wsgi.expected_errors(410)
    def gone(self, req: Request, **_ids: str) -> None:
        raise webob.exc.HTTPGone('This part of the API was removed.')


def _gone(name: str) -> Any:
    @wsgi.action(name)
    @wsgi.expected_errors(410)
    def gone(self: wsgi.Controller, req: Request, id: str) -> None:
        raise webob.exc.HTTPGone('This action was removed.')
    return gone


class RemovedNetworkActions(wsgi.Controller):

    disassociate = _gone('disassociate')
    disassociate_host = _gone('disassociate_host')
    disassociate_project = _gone('disassociate_project')
    associate_host = _gone('associate_host')


class RemovedFixedIpActions(wsgi.Controller):

    reserve = _gone('reserve')
    unreserve = _gone('unreserve')


class RemovedServerActions(wsgi.Controller):

    reset_network = _gone('resetNetwork')

    @wsgi.api_version('2.1', '2.5')
    @wsgi.action('os-getRDPConsole')
    @wsgi.expected_errors(400)
    def rdp_console(self, req: Request, id: str) -> None:
        raise webob.exc.HTTPBadRequest('RDP consoles were removed.')


ROUTES = (
    *((*line.split(), RemovedController, 'gone') for line in GONE.strip().splitlines()),
    ('POST', '/os-fixed-ips/{id}/action', RemovedFixedIpActions, wsgi.ACTIONS),
    ('POST', '/os-networks/{id}/action', RemovedNetworkActions, wsgi.ACTIONS),
    ('POST', '/servers/{id}/action', RemovedServerActions, wsgi.ACTIONS),
)
