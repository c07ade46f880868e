"""/os-floating-ips, /os-floating-ip-pools (up to 2.35), addFloatingIp and removeFloatingIp (up to 2.43).

Floating addresses need a router to a network outside. The local networks have none: the hosts translate what leaves
them. So there is no pool, nobody has an address, and none can be had (`network.proxies`).
"""
from __future__ import annotations

import ipaddress
from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import external_events
from minicompute.network import base as network
from minicompute.network.proxies import FloatingAddress, Proxies
from minicompute.objects import Instance
from minicompute.objects.network_info import addresses

LAST, LAST_ACTION = '2.35', '2.43'
RULE = 'os_compute_api:os-floating-ips:%s'


class FloatingIPPoolsController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.query, answer=schema.pools)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, 'os_compute_api:os-floating-ip-pools')
        return {'floating_ip_pools': [{'name': name} for name in _proxies().pools(req.context)]}


class FloatingIPsController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.query, answer=schema.floating_ips)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list')
        return {'floating_ips': [_view(one) for one in _proxies().addresses(req.context)]}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.query, answer=schema.floating_ip)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show')
        return {'floating_ip': _view(_proxies().address(req.context, id))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.floating_ip_create, answer=schema.floating_ip)
    def create(self, req: Request, body: dict[str, Any] | None = None) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'create')
        return {'floating_ip': _view(_proxies().allocate(req.context, (body or {}).get('pool')))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(answer=schema.nothing)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete')
        _proxies().release(req.context, id)


class FloatingIPActions(wsgi.Controller):

    @wsgi.api_version('2.1', LAST_ACTION)
    @wsgi.action('addFloatingIp')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.add_floating_ip, answer=schema.nothing)
    def add(self, req: Request, id: str, body: dict[str, Any]) -> None:
        asked, instance = body['addFloatingIp'], find(req, id, RULE % 'add')
        _check_fixed(instance, asked.get('fixed_address'))
        _proxies().associate(req.context, instance, asked['address'], asked.get('fixed_address'))
        external_events.tell_changed(req.context, instance)

    @wsgi.api_version('2.1', LAST_ACTION)
    @wsgi.action('removeFloatingIp')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.remove_floating_ip, answer=schema.nothing)
    def remove(self, req: Request, id: str, body: dict[str, Any]) -> None:
        """The address is looked for before the server, of which alone the policy could be asked."""
        found = _proxies().find_address(req.context, body['removeFloatingIp']['address'])
        instance = find(req, id, RULE % 'remove')
        if found.instance_uuid != instance.uuid:
            raise exception.Conflict(f'Floating IP {found.address} is not associated with instance {instance.uuid}.')
        _proxies().disassociate(req.context, found)
        external_events.tell_changed(req.context, instance)


ROUTES = (
    ('GET', '/os-floating-ip-pools', FloatingIPPoolsController, 'index'),
    ('GET', '/os-floating-ips', FloatingIPsController, 'index'),
    ('POST', '/os-floating-ips', FloatingIPsController, 'create'),
    ('GET', '/os-floating-ips/{id}', FloatingIPsController, 'show'),
    ('DELETE', '/os-floating-ips/{id}', FloatingIPsController, 'delete'),
    ('POST', '/servers/{id}/action', FloatingIPActions, wsgi.ACTIONS),
)


def _proxies() -> Proxies:
    return network.load().proxies


def _view(one: FloatingAddress) -> dict[str, Any]:
    return {'id': one.id, 'ip': one.address, 'fixed_ip': one.fixed_address, 'instance_id': one.instance_uuid,
            'pool': one.pool}


def _check_fixed(instance: Instance, fixed_address: str | None) -> None:
    """Raises Invalid unless the server has what a floating address could lead to."""
    if not instance.network_info:
        raise exception.Invalid('Instance network is not ready yet')
    own = addresses(instance.network_info)
    if not own:
        raise exception.Invalid('No fixed IPs associated to instance')
    if fixed_address is not None and fixed_address not in own:
        raise exception.Invalid('Specified fixed address not assigned to instance')
    if fixed_address is None and all(ipaddress.ip_address(one).version != 4 for one in own):
        raise exception.Invalid(f'Instance {instance.uuid} has no fixed IPv4 address that a floating IP could lead to.')
