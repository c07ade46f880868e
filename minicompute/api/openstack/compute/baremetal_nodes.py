"""/os-baremetal-nodes: a proxy to a bare metal service, up to 2.35.

There is no such service behind this API, so nothing can be listed; and what changed nodes was never proxied.
"""
from __future__ import annotations

from typing import Any, NoReturn

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.wsgi import Request

LAST = '2.35'
RULE = 'os_compute_api:os-baremetal-nodes:%s'


class BareMetalNodesController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((404, 501))
    @validation.schema(query=schema.query, answer=schema.nodes)
    def index(self, req: Request) -> NoReturn:
        policy.authorize(req.context, RULE % 'list')
        raise _none()

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((404, 501))
    @validation.schema(query=schema.query, answer=schema.node)
    def show(self, req: Request, id: str) -> NoReturn:
        policy.authorize(req.context, RULE % 'show')
        raise _none()

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(400)
    @validation.schema(schema.anything, answer=schema.nothing)
    def create(self, req: Request, body: Any) -> NoReturn:
        raise _elsewhere('node-create')

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(400)
    @validation.schema(answer=schema.nothing)
    def delete(self, req: Request, id: str) -> NoReturn:
        raise _elsewhere('node-delete')

    @wsgi.api_version('2.1', LAST)
    @wsgi.action('add_interface')
    @wsgi.expected_errors(400)
    @validation.schema(schema.add_interface, answer=schema.nothing)
    def add_interface(self, req: Request, id: str, body: dict[str, Any]) -> NoReturn:
        raise _elsewhere('port-create')

    @wsgi.api_version('2.1', LAST)
    @wsgi.action('remove_interface')
    @wsgi.expected_errors(400)
    @validation.schema(schema.remove_interface, answer=schema.nothing)
    def remove_interface(self, req: Request, id: str, body: dict[str, Any]) -> NoReturn:
        raise _elsewhere('port-delete')


ROUTES = (
    ('GET', '/os-baremetal-nodes', BareMetalNodesController, 'index'),
    ('POST', '/os-baremetal-nodes', BareMetalNodesController, 'create'),
    ('GET', '/os-baremetal-nodes/{id}', BareMetalNodesController, 'show'),
    ('DELETE', '/os-baremetal-nodes/{id}', BareMetalNodesController, 'delete'),
    ('POST', '/os-baremetal-nodes/{id}/action', BareMetalNodesController, wsgi.ACTIONS),
)


def _none() -> exception.NotImplementedHere:
    return exception.NotImplementedHere('There is no bare metal service here.')


def _elsewhere(command: str) -> exception.Invalid:
    return exception.Invalid(f'This is not done here: it is the {command} of the bare metal service.')
