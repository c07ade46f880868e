"""restore, forceDelete: the two ways out of a delete that may be taken back."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import admin_actions, server_actions
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import delete

RULE = 'os_compute_api:os-deferred-delete:%s'


class DeferredDeleteController(wsgi.Controller):

    @wsgi.action('restore')
    @wsgi.response(202)
    @wsgi.expected_errors((403, 404, 409))
    @validation.schema(admin_actions.restore)
    def restore(self, req: Request, id: str, body: dict[str, Any]) -> None:
        delete.restore(req.context, find(req, id, RULE % 'restore'))

    @wsgi.action('forceDelete')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(server_actions.force_delete)
    def force_delete(self, req: Request, id: str, body: dict[str, Any]) -> None:
        delete.force(req.context, find(req, id, RULE % 'force'))


ROUTES = (('POST', '/servers/{id}/action', DeferredDeleteController, wsgi.ACTIONS),)
