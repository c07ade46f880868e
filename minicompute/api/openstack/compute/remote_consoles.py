"""/servers/{server_id}/remote-consoles, and the actions that it took the place of: URLs of consoles."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import remote_consoles as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import consoles

RULE = 'os_compute_api:os-remote-consoles'


class RemoteConsolesController(wsgi.Controller):

    @wsgi.api_version('2.6')
    @wsgi.expected_errors((400, 404, 409, 501))
    @validation.schema(schema.create, answer=schema.create_answer)
    def create(self, req: Request, server_id: str, body: dict[str, Any]) -> dict[str, Any]:
        asked = body['remote_console']
        instance = find(req, server_id, RULE)
        if asked['protocol'] == 'rdp':
            raise exception.ConsoleTypeUnavailable(console_type='rdp')
        url = consoles.open_console(req.context, instance, asked['protocol'], asked['type'])
        return {'remote_console': {**asked, 'url': url}}

    @wsgi.api_version('2.1', '2.5')
    @wsgi.action('os-getVNCConsole')
    @wsgi.expected_errors((400, 404, 409, 501))
    @validation.schema(schema.vnc, answer=schema.vnc_answer)
    def vnc(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        return _console(req, id, 'vnc', body['os-getVNCConsole'])

    @wsgi.api_version('2.1', '2.5')
    @wsgi.action('os-getSPICEConsole')
    @wsgi.expected_errors((400, 404, 409, 501))
    @validation.schema(schema.spice, answer=schema.spice_answer)
    def spice(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        return _console(req, id, 'spice', body['os-getSPICEConsole'])

    @wsgi.api_version('2.1', '2.5')
    @wsgi.action('os-getSerialConsole')
    @wsgi.expected_errors((400, 404, 409, 501))
    @validation.schema(schema.serial, answer=schema.serial_answer)
    def serial(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        return _console(req, id, 'serial', body['os-getSerialConsole'])


def _console(req: Request, uuid: str, protocol: str, asked: dict[str, str]) -> dict[str, Any]:
    policy.authorize(req.context, RULE)     # of the caller's own project, before the server is looked for
    url = consoles.open_console(req.context, find(req, uuid, RULE), protocol, asked['type'])
    return {'console': {'type': asked['type'], 'url': url}}


ROUTES = (
    ('POST', '/servers/{server_id}/remote-consoles', RemoteConsolesController, 'create'),
    ('POST', '/servers/{id}/action', RemoteConsolesController, wsgi.ACTIONS),
)
