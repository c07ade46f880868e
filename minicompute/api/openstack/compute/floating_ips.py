"""/os-floating-ips, /os-floating-ip-pools (up to 2.35), addFloatingIp and removeFloatingIp (up to 2.43).

Floating addresses need a router to a network outside. The local networks have none: the hosts translate what leaves
them. So there is no pool, nobody has an address, and none can be had; the answers are those of a network service
without an external network.
"""
from __future__ import annotations

import ipaddress
from typing import Any, NoReturn

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.objects import Instance
from minicompute.objects.network_info import addresses

LAST, LAST_ACTION = '2.35', '2.43'
RULE = 'os_compute_api:os-floating-ips:%s'


class FloatingIPPoolsController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.query, answer=schema.pools)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, 'os_compute_api:os-floating-ip-pools')
        return {'floating_ip_pools': []}


class FloatingIPsController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.query, answer=schema.floating_ips)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list')
        return {'floating_ips': []}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.query, answer=schema.floating_ip)
    def show(self, req: Request, id: str) -> NoReturn:
        policy.authorize(req.context, RULE % 'show')
        raise _not_found(id)

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.floating_ip_create, answer=schema.floating_ip)
    def create(self, req: Request, body: dict[str, Any] | None = None) -> NoReturn:
        policy.authorize(req.context, RULE % 'create')
        raise exception.NotFound('Floating IP pool not found.')

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(answer=schema.nothing)
    def delete(self, req: Request, id: str) -> NoReturn:
        policy.authorize(req.context, RULE % 'delete')
        raise _not_found(id)


class FloatingIPActions(wsgi.Controller):

    @wsgi.api_version('2.1', LAST_ACTION)
    @wsgi.action('addFloatingIp')
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.add_floating_ip, answer=schema.nothing)
    def add(self, req: Request, id: str, body: dict[str, Any]) -> NoReturn:
        asked = body['addFloatingIp']
        _check_fixed(find(req, id, RULE % 'add'), asked.get('fixed_address'))
        raise exception.NotFound('floating IP not found')

    @wsgi.api_version('2.1', LAST_ACTION)
    @wsgi.action('removeFloatingIp')
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.remove_floating_ip, answer=schema.nothing)
    def remove(self, req: Request, id: str, body: dict[str, Any]) -> NoReturn:
        """The address is looked for before the server, of which alone the policy could be asked."""
        address = body['removeFloatingIp']['address']
        raise exception.NotFound(f'Floating IP not found for address {address}.')


ROUTES = (
    ('GET', '/os-floating-ip-pools', FloatingIPPoolsController, 'index'),
    ('GET', '/os-floating-ips', FloatingIPsController, 'index'),
    ('POST', '/os-floating-ips', FloatingIPsController, 'create'),
    ('GET', '/os-floating-ips/{id}', FloatingIPsController, 'show'),
    ('DELETE', '/os-floating-ips/{id}', FloatingIPsController, 'delete'),
    ('POST', '/servers/{id}/action', FloatingIPActions, wsgi.ACTIONS),
)


def _not_found(identity: str) -> exception.NotFound:
    return exception.NotFound(f'Floating IP not found for ID {identity[:64]}')


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
