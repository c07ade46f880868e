"""/servers/{server_id}/shares: file shares that a server mounts, from 2.97 on.

A share needs a host that exports it into the guest (the trait COMPUTE_STORAGE_VIRTIO_FS, with memory that can be
shared). No driver of ours reports it, so no server can get a share, and none has one; requests are checked in the usual
order and refused as they are wherever the hosts cannot do it.
"""
from __future__ import annotations

from typing import Any, NoReturn

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import server_shares as schema
from minicompute.api.openstack.compute.servers import allow, find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import parts
from minicompute.objects import VMState

FIRST = '2.97'
RULE = 'os_compute_api:os-server-shares:%s'


class ServerSharesController(wsgi.Controller):

    @wsgi.api_version(FIRST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(query=schema.query, answer=schema.index)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        _check(req, server_id, 'index')
        return {'shares': []}

    @wsgi.api_version(FIRST)
    @wsgi.response(201)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.create, answer=schema.show)
    def create(self, req: Request, server_id: str, body: dict[str, Any]) -> NoReturn:
        _check_state(req, server_id, 'create', 'create share', (VMState.STOPPED,))
        raise exception.Conflict('The host of the server cannot export shares into it (it has not the trait '
                                 'COMPUTE_STORAGE_VIRTIO_FS), or its flavor has no memory that could be shared.')

    @wsgi.api_version(FIRST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(query=schema.query, answer=schema.show)
    def show(self, req: Request, server_id: str, id: str) -> NoReturn:
        _check(req, server_id, 'show')
        raise common.not_found('Share', id)

    @wsgi.api_version(FIRST)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(answer=schema.nothing)
    def delete(self, req: Request, server_id: str, id: str) -> NoReturn:
        _check_state(req, server_id, 'delete', 'delete share', (VMState.STOPPED, VMState.ERROR))
        raise common.not_found('Share', id)


ROUTES = (
    ('GET', '/servers/{server_id}/shares', ServerSharesController, 'index'),
    ('POST', '/servers/{server_id}/shares', ServerSharesController, 'create'),
    ('GET', '/servers/{server_id}/shares/{id}', ServerSharesController, 'show'),
    ('DELETE', '/servers/{server_id}/shares/{id}', ServerSharesController, 'delete'),
)


def _check(req: Request, server_id: str, rule: str) -> None:
    """The shares of another project's server are forbidden, not missing."""
    parts.find(req.context, server_id, allow(req, RULE % rule), of_all=True)


def _check_state(req: Request, server_id: str, rule: str, method: str, legal: tuple[str, ...]) -> None:
    """Shares come and go while the guest does not run."""
    _check(req, server_id, rule)
    instance = find(req, server_id, RULE % rule)
    if instance.vm_state not in legal:
        raise exception.InstanceInvalidState(method=method, instance_uuid=instance.uuid, attr='vm_state',
                                             state=instance.vm_state)
