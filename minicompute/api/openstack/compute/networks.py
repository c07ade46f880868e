"""/os-networks and /os-tenant-networks: what the network service has, up to 2.35. Clients then ask it themselves.

Of what a network once was only the id and the name are left; all else is null, as it has been since the networks are
another service's.
"""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.network import base as network
from minicompute.objects import Network

LAST = '2.35'
RULE = 'os_compute_api:os-networks:%s'
TENANT_RULE = 'os_compute_api:os-tenant-networks:%s'


class NetworksController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.query, answer=schema.networks)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list')
        return {'networks': [_view(req, one) for one in network.load().list_networks(req.context)]}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.query, answer=schema.network)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show')
        return {'network': _view(req, _find(req, id))}


class TenantNetworksController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.query, answer=schema.tenant_networks)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, TENANT_RULE % 'list')
        return {'networks': [_tenant_view(one) for one in network.load().list_networks(req.context)]}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.query, answer=schema.tenant_network)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, TENANT_RULE % 'show')
        return {'network': _tenant_view(_find(req, id))}


ROUTES = (
    ('GET', '/os-networks', NetworksController, 'index'),
    ('GET', '/os-networks/{id}', NetworksController, 'show'),
    ('GET', '/os-tenant-networks', TenantNetworksController, 'index'),
    ('GET', '/os-tenant-networks/{id}', TenantNetworksController, 'show'),
)


def _find(req: Request, network_id: str) -> Network:
    try:
        return network.load().show(req.context, network_id)
    except exception.NetworkNotFound:
        raise exception.NotFound('Network not found') from None


def _view(req: Request, one: Network) -> dict[str, Any]:
    fields = schema.NETWORK_FIELDS + (schema.NETWORK_ADMIN_FIELDS if req.context.is_admin else ())
    return {**dict.fromkeys(fields), 'id': one.id, 'label': one.name}


def _tenant_view(one: Network) -> dict[str, str]:
    """The text 'None' for the CIDR is what clients have been told for ten years."""
    return {'id': one.id, 'label': one.name, 'cidr': 'None'}
