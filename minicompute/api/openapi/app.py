"""/openapi: the documents, for who asks without a token.

    GET /openapi/                which there are
    GET /openapi/2.60.json       one microversion
    GET /openapi/latest.json     the newest
    GET /openapi/minicompute-v1.json   what stands beside Nova's contract, below /minicompute/v1
"""
from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson

from minicompute import exception
from minicompute.api.openapi import document as documents
from minicompute.api.openapi.parts import Json
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import faults, router, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.api_version_request import APIVersionRequest

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

#: documents that a process keeps, 300 kB each: who reads one reads it again, few read all
KEPT = 8
JSON = '.json'
BESIDE = 'minicompute-v1.json'


def document(version: APIVersionRequest) -> Json:
    return _document(router.the_router().router, version)


@functools.lru_cache(maxsize=KEPT)
def _document(table: router.Router, version: APIVersionRequest) -> Json:
    return documents.document(table, version)


@functools.lru_cache(maxsize=KEPT)
def encoded(table: router.Router, version: APIVersionRequest) -> tuple[bytes, str]:
    """-> the document, and its ETag"""
    text = orjson.dumps(_document(table, version))
    return text, etag(text)


def etag(text: bytes) -> str:
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def wanted(text: str) -> APIVersionRequest:
    """'2.60', 'latest' -> the version. Raises NotFound."""
    try:
        return versions.negotiate(text)
    except exception.ComputeException:
        raise exception.NotFound(f'There is no microversion {text[:64]}: they go from {versions.MIN_API_VERSION} '
                                 f'to {versions.MAX_API_VERSION}.') from None


@functools.cache
def beside() -> tuple[bytes, str]:
    """The document of /minicompute/v1, and its ETag."""
    from minicompute.api.beyond import app
    text = orjson.dumps(documents.document(app.the_router().router, versions.MAX, '/minicompute/v1', 'v1'))
    return text, etag(text)


class Documents:

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.answer(wsgi.Request(environ))(environ, start_response)

    def answer(self, req: wsgi.Request) -> Answer:
        if req.method not in ('GET', 'HEAD'):
            return router.NOT_FOUND
        name = path_of(req).strip('/')
        if not name:
            return Answer(index(req))
        if not name.endswith(JSON):
            return faults.fault(404, f'There is no such document; {req.script_name}/ lists them.')
        try:
            text, tag = beside() if name == BESIDE else encoded(
                router.the_router().router, wanted(name.removesuffix(JSON)))
        except exception.NotFound as error:
            return faults.from_exception(error)
        return unless_known(req, text, tag, 'application/json')


def path_of(req: wsgi.Request) -> str:
    """What is no UTF-8 is no path of ours either."""
    try:
        return str(req.path_info)
    except UnicodeDecodeError:
        return '/?'


def index(req: wsgi.Request) -> Json:
    base = f'{req.application_url.rstrip("/")}'
    return {'latest': f'{base}/latest.json', 'minicompute-v1': f'{base}/{BESIDE}',
            'versions': {str(version): f'{base}/{version}.json' for version in documents.microversions()}}


def unless_known(req: wsgi.Request, text: bytes, tag: str, kind: str) -> Answer:
    """304 when the reader has it already. Not kept without asking: an upgrade may change it."""
    headers = [('ETag', tag), ('Cache-Control', 'no-cache')]
    if tag in req.headers.get('If-None-Match', ''):
        return Answer(None, code=304, headers=headers)
    return Answer(text, code=200, headers=[*headers, ('Content-Type', kind)])


def documents_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> WSGIApplication:
    return Documents()
