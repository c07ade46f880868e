"""rescue, unrescue: a server is started from another image, its own root disk beside it."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import guest_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import guest, naming
from minicompute.conf import CONF


class RescueController(wsgi.Controller):

    @wsgi.action('rescue')
    @wsgi.expected_errors((400, 404, 409, 501))
    @validation.schema(schema.rescue, answer=schema.rescue_answer)
    def rescue(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        instance = find(req, id, 'os_compute_api:os-rescue')
        said = body['rescue'] or {}
        password = said['adminPass'] if 'adminPass' in said else naming.password()
        guest.rescue(req.context, instance, password, said.get('rescue_image_ref'),
                     volume_backed_too=req.since('2.87'))
        return {'adminPass': password} if CONF.enable_instance_password else {}

    @wsgi.action('unrescue')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409, 501))
    @validation.schema(schema.unrescue, answer=schema.nothing)
    def unrescue(self, req: Request, id: str, body: dict[str, Any]) -> None:
        guest.unrescue(req.context, find(req, id, 'os_compute_api:os-unrescue'))


ROUTES = (('POST', '/servers/{id}/action', RescueController, wsgi.ACTIONS),)
