"""changePassword: the administrator's password inside the guest."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import guest_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import guest


class AdminPasswordController(wsgi.Controller):

    @wsgi.action('changePassword')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409, 501))
    @validation.schema(schema.change_password, answer=schema.nothing)
    def change_password(self, req: Request, id: str, body: dict[str, Any]) -> None:
        instance = find(req, id, 'os_compute_api:os-admin-password')
        guest.set_password(req.context, instance, body['changePassword']['adminPass'])


ROUTES = (('POST', '/servers/{id}/action', AdminPasswordController, wsgi.ACTIONS),)
