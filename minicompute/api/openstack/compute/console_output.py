"""os-getConsoleOutput: the last lines of a server's console."""
from __future__ import annotations

from typing import Any

from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import server_actions as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import console


class ConsoleOutputController(wsgi.Controller):

    @wsgi.action('os-getConsoleOutput')
    @wsgi.expected_errors((404, 409, 501))
    @validation.schema(schema.console_output, answer=schema.console_output_answer)
    def console_output(self, req: Request, id: str, body: dict[str, Any]) -> dict[str, Any]:
        instance = find(req, id, 'os_compute_api:os-console-output')
        asked = body['os-getConsoleOutput'].get('length')
        length = None if asked is None or int(asked) < 0 else int(asked)
        return {'output': console.output(req.context, instance, length)}


ROUTES = (('POST', '/servers/{id}/action', ConsoleOutputController, wsgi.ACTIONS),)
