"""os-resetState, injectNetworkInfo."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import admin_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import admin
from minicompute.objects import VMState

RULE = 'os_compute_api:os-admin-actions:%s'
STATES = {'active': VMState.ACTIVE, 'error': VMState.ERROR}


class AdminActionsController(wsgi.Controller):

    @wsgi.action('os-resetState')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.reset_state)
    def reset_state(self, req: Request, id: str, body: dict[str, Any]) -> None:
        """Also of a locked server, as it is nothing that its owner may do."""
        admin.reset_state(req.context, find(req, id, RULE % 'reset_state'), STATES[body['os-resetState']['state']])

    @wsgi.action('injectNetworkInfo')
    @wsgi.response(202)
    @wsgi.expected_errors((404, 409))
    @validation.schema(schema.inject_network_info)
    def inject_network_info(self, req: Request, id: str, body: dict[str, Any]) -> None:
        admin.inject_network_info(req.context, find(req, id, RULE % 'inject_network_info'))


ROUTES = (('POST', '/servers/{id}/action', AdminActionsController, wsgi.ACTIONS),)
