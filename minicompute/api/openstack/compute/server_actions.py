"""POST /servers/{id}/action: start, stop, reboot, crash dump."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import guest_actions
from minicompute.api.openstack.compute.schemas import server_actions as schema
from minicompute.api.openstack.compute.servers import SERVERS, find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import guest, power


class ServerActionsController(wsgi.Controller):

    @wsgi.action('os-start')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.start)
    def start(self, req: Request, id: str, body: dict[str, Any]) -> None:
        power.start(req.context, find(req, id, SERVERS % 'start'))

    @wsgi.action('os-stop')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.stop)
    def stop(self, req: Request, id: str, body: dict[str, Any]) -> None:
        power.stop(req.context, find(req, id, SERVERS % 'stop'))

    @wsgi.action('reboot')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.reboot)
    def reboot(self, req: Request, id: str, body: dict[str, Any]) -> None:
        hard = body['reboot']['type'].upper() == 'HARD'
        power.reboot(req.context, find(req, id, SERVERS % 'reboot'), hard)

    @wsgi.action('trigger_crash_dump')
    @wsgi.api_version('2.17')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(guest_actions.trigger_crash_dump, answer=guest_actions.crash_dump_answer)
    def trigger_crash_dump(self, req: Request, id: str, body: dict[str, Any]) -> None:
        guest.trigger_crash_dump(req.context, find(req, id, SERVERS % 'trigger_crash_dump'))


ROUTES = (('POST', '/servers/{id}/action', ServerActionsController, wsgi.ACTIONS),)
