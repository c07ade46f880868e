"""/os-console-auth-tokens: for the proxies of others, where a token leads."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import remote_consoles as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import consoles


class ConsoleAuthTokensController(wsgi.Controller):

    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.token_query, answer=schema.token_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        if not req.since('2.31'):
            raise exception.Invalid('Before 2.31 only RDP consoles had this, and they were removed.')
        policy.authorize(req.context, 'os_compute_api:os-console-auth-tokens')
        found = consoles.what_opens(id)
        place: dict[str, Any] = {'instance_uuid': found.instance_uuid, 'host': found.host, 'port': found.port,
                                 'internal_access_path': found.internal_access_path}
        if req.since('2.99') and found.console_type == 'spice-direct':
            place['tls_port'] = found.tls_port
        return {'console': place}


ROUTES = (('GET', '/os-console-auth-tokens/{id}', ConsoleAuthTokensController, 'show'),)
