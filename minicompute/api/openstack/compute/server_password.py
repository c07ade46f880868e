"""/servers/{server_id}/os-server-password: the administrator's password, sealed to the server's key."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import guest_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import guest

RULE = 'os_compute_api:os-server-password:%s'


class ServerPasswordController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.password_query, answer=schema.password_answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        return {'password': guest.sealed_password(find(req, server_id, RULE % 'show'))}

    @wsgi.response(204)
    @wsgi.expected_errors(404)
    @validation.schema(answer=schema.nothing)
    def clear(self, req: Request, server_id: str) -> None:
        """The guest's own is not changed."""
        guest.forget_password(find(req, server_id, RULE % 'clear'))


ROUTES = (
    ('GET', '/servers/{server_id}/os-server-password', ServerPasswordController, 'index'),
    ('DELETE', '/servers/{server_id}/os-server-password', ServerPasswordController, 'clear'),
)
