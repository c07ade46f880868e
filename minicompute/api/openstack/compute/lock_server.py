"""lock, unlock: nobody but an administrator changes a server that is locked."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import admin_actions as schema
from minicompute.api.openstack.compute.servers import allow
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import locks

RULE = 'os_compute_api:os-lock-server:%s'


class LockServerController(wsgi.Controller):

    @wsgi.action('lock')
    @wsgi.response(202)
    @wsgi.expected_errors(404)
    @validation.schema(schema.lock)
    def lock(self, req: Request, id: str, body: dict[str, Any]) -> None:
        said = body['lock'] if req.since('2.73') else None
        locks.lock(req.context, id, allow(req, RULE % 'lock'), (said or {}).get('locked_reason'))

    @wsgi.action('unlock')
    @wsgi.response(202)
    @wsgi.expected_errors(404)
    @validation.schema(schema.unlock)
    def unlock(self, req: Request, id: str, body: dict[str, Any]) -> None:
        locks.unlock(req.context, id, allow(req, RULE % 'unlock'), allow(req, RULE % 'unlock:unlock_override'))


ROUTES = (('POST', '/servers/{id}/action', LockServerController, wsgi.ACTIONS),)
