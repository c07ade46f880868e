"""Ports: those that servers hold, and free ones made by hand to give a server later."""
from __future__ import annotations

import uuid
from typing import Any

from minicompute import exception
from minicompute.api.image.table import Request
from minicompute.api.network import common
from minicompute.api.openstack.answer import Answer
from minicompute.db import session
from minicompute.db.api import networks as db
from minicompute.db.api import security_groups as security
from minicompute.network import local, local_security
from minicompute.objects import Network, Port

_MAC = {'type': 'string', 'pattern': r'^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$(?!\n)'}
_FIXED_IPS = {'type': 'array', 'maxItems': 1, 'items': {
    'type': 'object', 'additionalProperties': False,
    'properties': {'subnet_id': common.UUID, 'ip_address': {'type': 'string', 'format': 'ipv4'}}}}
_SECURITY_GROUPS = {'type': 'array', 'maxItems': 100, 'uniqueItems': True, 'items': common.UUID}
#: a port has no name here
_NEW = {'network_id': common.UUID, 'fixed_ips': _FIXED_IPS, 'mac_address': _MAC, 'name': {'enum': ['']},
        'admin_state_up': {'enum': [True]}, 'security_groups': _SECURITY_GROUPS,
        'project_id': common.PROJECT, 'tenant_id': common.PROJECT,
        **common.EMPTY}

_COLUMNS = {'id': 'id', 'device_id': 'instance_uuid', 'network_id': 'network_id',
            'mac_address': 'mac_address'}


def view(req: Request, port: Port, networks: dict[str, Network]) -> dict[str, Any]:
    bound = port.instance_uuid is not None
    subnet_id = networks[port.network_id].subnet_id
    shown: dict[str, Any] = {
        'id': port.id, 'name': '', 'description': '', 'tags': [], 'network_id': port.network_id,
        'project_id': port.project_id, 'tenant_id': port.project_id,
        'status': 'ACTIVE' if bound else 'DOWN', 'admin_state_up': True,
        'device_id': port.instance_uuid or '', 'device_owner': 'compute:nova' if bound else '',
        'mac_address': port.mac_address, 'fixed_ips': [{'subnet_id': subnet_id, 'ip_address': port.address}],
        'security_groups': _groups(port), 'port_security_enabled': True, 'allowed_address_pairs': [],
        'extra_dhcp_opts': [], 'binding:vnic_type': 'normal',
        'created_at': common.time(port.created_at), 'updated_at': common.time(port.created_at)}
    if req.context.is_admin:
        shown |= {'binding:host_id': port.host or '', 'binding:profile': {}, 'binding:vif_details': {},
                  'binding:vif_type': 'bridge' if bound else 'unbound'}
    return shown


def _groups(port: Port) -> list[str]:
    return [security.default_id(port.project_id or '')] if port.security_groups is None else port.security_groups


def _views(req: Request, ports: list[Port]) -> list[dict[str, Any]]:
    with session.read() as conn:
        found = db.list_networks(conn, {'id': sorted({port.network_id for port in ports})})
    networks = {network.id: network for network in found}
    return [view(req, port, networks) for port in ports if port.network_id in networks]


def index(req: Request) -> dict[str, Any]:
    parameters = req.parameters
    # What narrows most goes to the database; the rest, and these again, are compared with the views.
    equal: dict[str, Any] = {column: parameters[name] for name, column in _COLUMNS.items()
                             if parameters.get(name, [''])[-1]}
    if not req.context.is_admin:
        equal['project_id'] = [req.context.project_id]
    with session.read() as conn:
        found = db.list_ports(conn, equal)
    return common.listed(req, _views(req, found), 'ports', fixed_ips=_has_address)


def _has_address(found: Any, asked: str) -> bool:
    """fixed_ips=ip_address=10.0.0.5, or subnet_id=..."""
    name, _, value = asked.partition('=')
    return any(ip.get(name) == value for ip in found)


def _find(req: Request, port_id: str) -> Port:
    with session.read() as conn:
        port = next(iter(db.list_ports(conn, {'id': [port_id]})), None)
    if port is None or not (req.context.is_admin or port.project_id == req.context.project_id):
        raise exception.PortNotFound(port_id=port_id)
    return port


def show(req: Request, port_id: str) -> dict[str, Any]:
    return {'port': _views(req, [_find(req, port_id)])[0]}


def create(req: Request) -> Answer:
    values = common.body(req, 'port', _NEW, required=['network_id'])
    project_id = common.owner(req, values)
    network = common.backend().show(req.context, values['network_id'])
    fixed: dict[str, str] = next(iter(values.get('fixed_ips', [])), {})
    if fixed.get('subnet_id', network.subnet_id) != network.subnet_id:
        raise exception.Invalid(f"fixed_ips: subnet {fixed['subnet_id']} is not of network {network.id}")
    if not network.cidr:
        raise exception.NetworkRequiresSubnet(network_uuid=network.id)
    address = local.checked_address(network, fixed['ip_address']) if 'ip_address' in fixed else None
    mac = values.get('mac_address')
    request = db.PortRequest(id=str(uuid.uuid4()), network_id=network.id, project_id=project_id,
                             address=address, mac_address=mac and mac.lower(),
                             security_groups=values.get('security_groups'))
    session.write(_insert, request)
    return Answer(show(req, request.id), code=201)


def update(req: Request, port_id: str) -> dict[str, Any]:
    """Its security groups are what can be changed."""
    values = common.body(req, 'port', {name: _NEW[name] for name in ('name', 'admin_state_up', 'security_groups',
                                                                    'description')})
    port = _find(req, port_id)
    common.require_owner(req, port.project_id, f'Port {port_id}')
    if 'security_groups' in values:
        common.backend().set_port_groups(req.context, port, values['security_groups'])
    return show(req, port_id)


def _insert(conn: Any, request: db.PortRequest) -> None:
    db.refuse_beyond_quota(conn, request.project_id)
    if request.security_groups is not None:
        local_security.checked(conn, request.project_id or '', request.security_groups)
    if request.mac_address and db.list_ports(conn, {'mac_address': [request.mac_address]}):
        raise exception.Conflict(f'mac_address: {request.mac_address} is in use by another port.')
    db.allocate_ports(conn, [request])


def delete(req: Request, port_id: str) -> None:
    port = _find(req, port_id)
    common.require_owner(req, port.project_id, f'Port {port_id}')
    if not session.write(db.delete_port, port_id):
        raise exception.Conflict(f'Port {port_id} cannot be deleted: server {port.instance_uuid} has it.')
