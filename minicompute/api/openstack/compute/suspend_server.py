"""suspend, resume: the memory of a server goes to the disk of its host, and comes back."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import guest_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import guest

RULE = 'os_compute_api:os-suspend-server:%s'


class SuspendServerController(wsgi.Controller):

    @wsgi.action('suspend')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.suspend, answer=schema.nothing)
    def suspend(self, req: Request, id: str, body: dict[str, Any]) -> None:
        guest.suspend(req.context, find(req, id, RULE % 'suspend'))

    @wsgi.action('resume')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.resume, answer=schema.nothing)
    def resume(self, req: Request, id: str, body: dict[str, Any]) -> None:
        guest.resume(req.context, find(req, id, RULE % 'resume'))


ROUTES = (('POST', '/servers/{id}/action', SuspendServerController, wsgi.ACTIONS),)
