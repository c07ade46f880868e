"""Networks: list, show, create, rename and share, delete."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api.image.table import Request
from minicompute.api.network import common
from minicompute.api.openstack.answer import Answer
from minicompute.api.validation.parameter_types import whole
from minicompute.db import session
from minicompute.db.api import networks as db
from minicompute.network import local
from minicompute.objects import Network

#: Neutron's words for our kinds: a NAT network lives on each host by itself, a bridge is a physical network
TYPES = {'local': 'nat', 'flat': 'bridge'}
_CHANGEABLE = {'name': common.NAME, 'shared': {'type': 'boolean'}, 'admin_state_up': {'enum': [True]},
               **common.EMPTY}
_NEW = {**_CHANGEABLE, 'project_id': common.PROJECT, 'tenant_id': common.PROJECT,
        'mtu': {'type': 'integer', 'minimum': 576, 'maximum': 9216},
        'provider:network_type': {'enum': list(TYPES)},
        'provider:physical_network': {'type': 'string', 'pattern': whole('[A-Za-z0-9][A-Za-z0-9_.-]{0,14}')},
        'router:external': {'enum': [False]}, 'port_security_enabled': {'enum': [True]},
        'is_default': {'enum': [False]},
        'availability_zone_hints': {'type': 'array', 'maxItems': 0}}


def view(req: Request, network: Network) -> dict[str, Any]:
    shown = {
        'id': network.id, 'name': network.name, 'description': '', 'tags': [],
        'project_id': network.project_id, 'tenant_id': network.project_id, 'shared': network.shared,
        'status': 'ACTIVE', 'admin_state_up': True, 'port_security_enabled': True, 'router:external': False,
        'mtu': network.mtu, 'subnets': [network.subnet_id] if network.subnet_id else [],
        'availability_zones': [], 'availability_zone_hints': [],
        'ipv4_address_scope': None, 'ipv6_address_scope': None,
        'created_at': common.time(network.created_at), 'updated_at': common.time(network.updated_at)}
    if req.context.is_admin:
        nat = network.kind == 'nat'
        shown |= {'provider:network_type': 'local' if nat else 'flat', 'provider:segmentation_id': None,
                  'provider:physical_network': None if nat else network.bridge}
    return shown


def seen(req: Request) -> list[Network]:
    """Those that the caller may see, oldest first."""
    with session.read() as conn:
        project_id = None if req.context.is_admin else req.context.project_id or ''
        return db.list_networks(conn, visible_to=project_id)


def index(req: Request) -> dict[str, Any]:
    return common.listed(req, [view(req, network) for network in seen(req)], 'networks')


def show(req: Request, network_id: str) -> dict[str, Any]:
    return {'network': view(req, common.backend().show(req.context, network_id))}


def create(req: Request) -> Answer:
    values = common.body(req, 'network', _NEW)
    project_id = common.owner(req, values)
    _check_shared(req, values)
    provider = {name for name in values if name.startswith('provider:')}
    if provider and not req.context.is_admin:
        raise exception.Forbidden(f'{min(provider)}: only an administrator may say how a network is made.')
    kind = TYPES[values.get('provider:network_type', 'local')]
    bridge = values.get('provider:physical_network')
    if (kind == 'bridge') != (bridge is not None):
        raise exception.Invalid('provider:physical_network: a network of type flat needs one, the bridge of '
                                'the hosts; one of type local has none')
    network = local.new_network(name=values.get('name', ''), project_id=project_id, kind=kind, bridge=bridge,
                                shared=values.get('shared', False), mtu=values.get('mtu', 1500))
    if not session.write(db.insert_network, network):
        raise exception.NetworkExists(name=network.name,
                                      reason=f'its bridge {network.bridge} is that of another network')
    return Answer({'network': view(req, common.backend().show(req.context, network.id))}, code=201)


def update(req: Request, network_id: str) -> dict[str, Any]:
    values = common.body(req, 'network', _CHANGEABLE)
    network = common.backend().show(req.context, network_id)
    common.require_owner(req, network.project_id, f'Network {network_id}')
    _check_shared(req, values)
    changes = {name: values[name] for name in ('name', 'shared') if name in values}
    if changes:
        session.write(db.update_network, network_id, **changes)
    return show(req, network_id)


def delete(req: Request, network_id: str) -> None:
    network = common.backend().show(req.context, network_id)
    common.require_owner(req, network.project_id, f'Network {network_id}')
    if not session.write(db.delete_network, network_id):
        raise exception.NetworkNotFound(network_id=network_id)


def _check_shared(req: Request, values: dict[str, Any]) -> None:
    if values.get('shared') and not req.context.is_admin:
        raise exception.Forbidden('shared: only an administrator may share a network with all projects.')
