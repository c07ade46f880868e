"""pause, unpause: the processors of a server stand still, its memory stays on the host."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import guest_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import guest

RULE = 'os_compute_api:os-pause-server:%s'


class PauseServerController(wsgi.Controller):

    @wsgi.action('pause')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409, 501))
    @validation.schema(schema.pause, answer=schema.nothing)
    def pause(self, req: Request, id: str, body: dict[str, Any]) -> None:
        guest.pause(req.context, find(req, id, RULE % 'pause'))

    @wsgi.action('unpause')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409, 501))
    @validation.schema(schema.unpause, answer=schema.nothing)
    def unpause(self, req: Request, id: str, body: dict[str, Any]) -> None:
        guest.unpause(req.context, find(req, id, RULE % 'unpause'))


ROUTES = (('POST', '/servers/{id}/action', PauseServerController, wsgi.ACTIONS),)
