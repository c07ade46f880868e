"""forceDelete. (Nothing is soft-deleted yet: a restore comes with reclaim_instance_interval.)"""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import server_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import delete


class DeferredDeleteController(wsgi.Controller):

    @wsgi.action('forceDelete')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.force_delete)
    def force_delete(self, req: Request, id: str, body: dict[str, Any]) -> None:
        delete.force(req.context, find(req, id, 'os_compute_api:os-deferred-delete:force'))


ROUTES = (('POST', '/servers/{id}/action', DeferredDeleteController, wsgi.ACTIONS),)
