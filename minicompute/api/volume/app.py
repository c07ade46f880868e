"""The Block Storage v3 application: its table, its errors, its version documents."""
from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicompute.api.image.table import Handler, Request, Row, Table
from minicompute.api.openstack import faults
from minicompute.api.openstack.answer import Answer
from minicompute.api.volume import snapshots, volumes

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_ROWS: tuple[Row, ...] = (
    ('GET', '/volumes', volumes.index),
    ('POST', '/volumes', volumes.create),
    ('GET', '/volumes/detail', volumes.detail),
    ('GET', '/volumes/{volume_id}', volumes.show),
    ('PUT', '/volumes/{volume_id}', volumes.update),
    ('DELETE', '/volumes/{volume_id}', volumes.delete),
    ('POST', '/volumes/{volume_id}/action', volumes.action),
    ('GET', '/types', volumes.types),
    ('GET', '/snapshots', snapshots.index),
    ('POST', '/snapshots', snapshots.create),
    ('GET', '/snapshots/detail', snapshots.detail),
    ('GET', '/snapshots/{snapshot_id}', snapshots.show),
    ('PUT', '/snapshots/{snapshot_id}', snapshots.update),
    ('DELETE', '/snapshots/{snapshot_id}', snapshots.delete),
)


def _below_project(handler: Handler) -> Handler:
    """Older clients put their project in front; whose volumes they see is said by who they are."""
    @functools.wraps(handler)
    def call(req: Request, project_id: str, **variables: str) -> Any:
        return handler(req, **variables)
    return call


ROUTES: tuple[Row, ...] = _ROWS + tuple(
    (method, '/{project_id}' + path, _below_project(handler)) for method, path, handler in _ROWS)


def wording(code: int, message: str, _error: Exception) -> dict[str, Any]:
    return {faults.NAMES.get(code, 'computeFault'): {'code': code, 'message': message}}


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Table:
    """Answers at /v3/volumes as well as at /volumes below a mount that ends in /v3."""
    return Table(ROUTES, wording, prefix='/v3')


class Versions:
    """Which versions there are, needing no authentication."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        req = Request(environ)
        mount = (req.application_url + req.path_info).rstrip('/').removesuffix('/v3')
        own = req.path_url.rstrip('/').endswith('/v3')
        version = {'id': 'v3.0', 'status': 'CURRENT', 'version': '3.0', 'min_version': '3.0',
                   'updated': '2026-11-01T00:00:00Z', 'links': [{'rel': 'self', 'href': f'{mount}/v3/'}]}
        return Answer({'versions': [version]}, code=200 if own else 300)(environ, start_response)


def versions_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Versions:
    return Versions()
