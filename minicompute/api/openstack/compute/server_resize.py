"""POST /servers/{id}/action: resize, confirmResize, revertResize."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute import servers_create
from minicompute.api.openstack.compute.schemas import server_resize as schema
from minicompute.api.openstack.compute.servers import SERVERS, find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import resize


class ServerResizeController(wsgi.Controller):

    @wsgi.action('resize')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 401, 403, 404, 409))
    @validation.schema(schema.resize)
    def resize(self, req: Request, id: str, body: dict[str, Any]) -> None:
        asked = body['resize']
        resize.resize(req.context, find(req, id, SERVERS % 'resize'), str(asked['flavorRef']),
                      servers_create.disk_config(asked))

    @wsgi.action('confirmResize')
    @wsgi.response(204)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.confirm)
    def confirm(self, req: Request, id: str, body: dict[str, Any]) -> None:
        resize.confirm(req.context, find(req, id, SERVERS % 'confirm_resize'))

    @wsgi.action('revertResize')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.revert)
    def revert(self, req: Request, id: str, body: dict[str, Any]) -> None:
        resize.revert(req.context, find(req, id, SERVERS % 'revert_resize'))


ROUTES = (('POST', '/servers/{id}/action', ServerResizeController, wsgi.ACTIONS),)
