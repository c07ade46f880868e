"""/servers/{server_id}/os-interface: network cards come and go."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import attach_interfaces as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import interfaces

RULE = 'os_compute_api:os-attach-interfaces:%s'


class InterfaceAttachmentController(wsgi.Controller):

    @wsgi.expected_errors((404, 501))
    @validation.schema(query=schema.query, answer=schema.index)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        found = interfaces.list_all(req.context, find(req, server_id, RULE % 'list'))
        return {'interfaceAttachments': [_view(req, one) for one in found]}

    @wsgi.expected_errors((403, 404))
    @validation.schema(query=schema.query, answer=schema.answer)
    def show(self, req: Request, server_id: str, id: str) -> dict[str, Any]:
        found = interfaces.show(req.context, find(req, server_id, RULE % 'show'), id)
        return {'interfaceAttachment': _view(req, found)}

    @wsgi.expected_errors((400, 403, 404, 409, 500, 501))
    @validation.schema(schema.create, answer=schema.answer)
    def create(self, req: Request, server_id: str, body: dict[str, Any]) -> dict[str, Any]:
        instance = find(req, server_id, RULE % 'create')
        return {'interfaceAttachment': _view(req, interfaces.attach(req.context, instance, _item(body)))}

    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409, 501))
    def delete(self, req: Request, server_id: str, id: str) -> None:
        interfaces.detach(req.context, find(req, server_id, RULE % 'delete'), id)


def _item(body: dict[str, Any]) -> dict[str, Any]:
    """In the form of `network.base`. Raises Invalid for what does not go together."""
    asked = body.get('interfaceAttachment', {})
    fixed_ip = asked['fixed_ips'][0]['ip_address'] if asked.get('fixed_ips') else None
    if asked.get('net_id') and asked.get('port_id'):
        raise exception.Invalid('interfaceAttachment: net_id and port_id cannot both be given')
    if fixed_ip and not asked.get('net_id'):
        raise exception.Invalid('interfaceAttachment: fixed_ips needs net_id')
    item = {'id': asked.get('net_id'), 'port': asked.get('port_id'), 'fixed_ip': fixed_ip, 'tag': asked.get('tag')}
    return {name: value for name, value in item.items() if value}


def _view(req: Request, one: interfaces.Attached) -> dict[str, Any]:
    vif = one.vif
    shown: dict[str, Any] = {
        'net_id': vif.network_id, 'port_id': vif.id, 'mac_addr': vif.mac_address,
        'port_state': 'ACTIVE' if one.active else 'DOWN',
        'fixed_ips': [{'ip_address': ip.address, 'subnet_id': ip.subnet_id} for ip in vif.fixed_ips]}
    return {**shown, 'tag': vif.tag} if req.since('2.70') else shown


ROUTES = (
    ('GET', '/servers/{server_id}/os-interface', InterfaceAttachmentController, 'index'),
    ('POST', '/servers/{server_id}/os-interface', InterfaceAttachmentController, 'create'),
    ('GET', '/servers/{server_id}/os-interface/{id}', InterfaceAttachmentController, 'show'),
    ('DELETE', '/servers/{server_id}/os-interface/{id}', InterfaceAttachmentController, 'delete'),
)
