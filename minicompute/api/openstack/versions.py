"""The documents that need no authentication: /, /v2/, /v2.1/, and 300 for what is not ours."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicompute.api.openstack import api_version_request, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.router import NOT_FOUND
from minicompute.conf import CONF

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

DOCUMENTATION = {'rel': 'describedby', 'type': 'text/html', 'href': 'http://docs.openstack.org/'}
VERSIONS = (
    {'id': 'v2.0', 'status': 'DEPRECATED', 'version': '', 'min_version': '', 'updated': '2011-01-21T11:33:21Z'},
    {'id': 'v2.1', 'status': 'CURRENT', 'version': api_version_request.MAX_API_VERSION,
     'min_version': api_version_request.MIN_API_VERSION, 'updated': '2013-07-23T11:33:21Z'},
)
PATHS = {'v2.0': '/v2', 'v2.1': '/v2.1'}


def media_types(version_id: str) -> list[dict[str, str]]:
    number = '2' if version_id == 'v2.0' else '2.1'
    return [{'base': 'application/json', 'type': f'application/vnd.openstack.compute+json;version={number}'}]


def base_url(req: wsgi.Request) -> str:
    """Where the API is seen from outside, without version and trailing slash."""
    prefix: str | None = CONF.api.compute_link_prefix
    return (prefix or req.host_url).rstrip('/')


def self_link(req: wsgi.Request, version_id: str, path: str = '/') -> dict[str, str]:
    return {'rel': 'self', 'href': f'{base_url(req)}{PATHS[version_id]}{path}'}


def document(req: wsgi.Request, version: dict[str, str]) -> dict[str, Any]:
    return {'version': {**version, 'links': [self_link(req, version['id']), DOCUMENTATION],
                        'media-types': media_types(version['id'])}}


class Versions:
    """GET / lists the versions; any other path is 300 with choices."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        req = wsgi.Request(environ)
        if environ.get('PATH_INFO', '') in ('', '/'):
            if req.method not in ('GET', 'HEAD'):
                return NOT_FOUND(environ, start_response)
            found = [{**version, 'links': [self_link(req, version['id'])]} for version in VERSIONS]
            return Answer({'versions': found})(environ, start_response)
        return Answer({'choices': [self.choice(req, version) for version in VERSIONS]}, code=300)(
            environ, start_response)

    @staticmethod
    def choice(req: wsgi.Request, version: dict[str, str]) -> dict[str, Any]:
        return {'id': version['id'], 'status': version['status'],
                'links': [self_link(req, version['id'], req.path)],
                'media-types': media_types(version['id'])}


class VersionDocument:
    """GET /v2.1/ and GET /v2/."""

    def __init__(self, version_id: str) -> None:
        self.version = next(version for version in VERSIONS if version['id'] == version_id)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ['REQUEST_METHOD'] not in ('GET', 'HEAD'):
            return NOT_FOUND(environ, start_response)
        return Answer(document(wsgi.Request(environ), self.version))(environ, start_response)


def versions_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Versions:
    return Versions()


def document_factory(_global_conf: dict[str, Any], version: str) -> VersionDocument:
    return VersionDocument(version)
