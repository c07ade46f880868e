"""Small WSGI filters, each the factory that api-paste.ini names.

They are plain functions of (environ, start_response): a request passes all of them, so each costs
microseconds.
"""
from __future__ import annotations

import functools
import logging as std_logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from oslo_log import log as logging

from minicompute.api.openstack import faults
from minicompute.conf import CONF
from minicompute.context import RequestContext

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

ENV_REQUEST_ID = 'openstack.request_id'             # oslo.middleware's names
ENV_GLOBAL_REQUEST_ID = 'openstack.global_request_id'
ENV_VERSION = 'minicompute.api_version'
GLOBAL_ID = re.compile(r'req-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}')

CORS_HEADERS = ['X-Auth-Token', 'X-Openstack-Request-Id', 'X-Identity-Status', 'X-Roles', 'X-Service-Catalog',
                'X-User-Id', 'X-Tenant-Id', 'X-OpenStack-Nova-API-Version', 'OpenStack-API-Version', 'Idempotency-Key',
                'Idempotency-Replayed', 'Last-Event-ID']

Filter = Callable[['WSGIApplication'], 'WSGIApplication']


def request_id_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    """Number each request; keep the id that a calling service has sent as the global one."""
    def wrap(app: WSGIApplication) -> WSGIApplication:
        def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            request_id = environ[ENV_REQUEST_ID] = f'req-{uuid.uuid4()}'
            RequestContext(request_id=request_id)   # what is logged before the caller is known carries it
            incoming = environ.get('HTTP_X_OPENSTACK_REQUEST_ID', '')
            if incoming and GLOBAL_ID.fullmatch(incoming):
                environ[ENV_GLOBAL_REQUEST_ID] = incoming

            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                headers.append(('x-openstack-request-id', request_id))
                headers.append(('x-compute-request-id', request_id))
                return start_response(status, headers, exc_info)
            return app(environ, start)
        return filtered
    return wrap


def fault_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    """What escapes everything below is a fault in our format, too, and never a traceback on the wire."""
    def wrap(app: WSGIApplication) -> WSGIApplication:
        def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            try:
                return app(environ, start_response)
            except Exception as error:
                return faults.from_exception(error, environ.get(ENV_REQUEST_ID))(environ, start_response)
        return filtered
    return wrap


def request_log_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    """One INFO line a request."""
    def wrap(app: WSGIApplication) -> WSGIApplication:
        def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if not LOG.isEnabledFor(std_logging.INFO):
                return app(environ, start_response)
            began = time.perf_counter()
            seen: list[str] = ['-']

            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                seen[0] = status[:3]
                return start_response(status, headers, exc_info)
            body = app(environ, start)
            _log(environ, seen[0], body, time.perf_counter() - began)
            return body
        return filtered
    return wrap


def _log(environ: WSGIEnvironment, status: str, body: Any, seconds: float) -> None:
    length = sum(map(len, body)) if isinstance(body, list) else '-'
    query = environ.get('QUERY_STRING')
    LOG.info('%s "%s %s%s" status: %s len: %s microversion: %s time: %.4f',
             environ.get('REMOTE_ADDR', '-'), environ['REQUEST_METHOD'],
             quote(environ.get('SCRIPT_NAME', '') + environ.get('PATH_INFO', ''), encoding='latin-1'),
             f'?{query}' if query else '',
             status, length, environ.get(ENV_VERSION, '-'), seconds)


def size_limit_factory(_global_conf: dict[str, Any], max_size: str | None = None, **_local_conf: Any) -> Filter:
    """413 for a body above `max_size` or [api] max_request_body_size, before anything reads it."""
    limit = int(max_size or CONF.api.max_request_body_size)

    def wrap(app: WSGIApplication) -> WSGIApplication:
        def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            length = environ.get('CONTENT_LENGTH')
            if length:
                if not length.isdecimal():
                    return faults.fault(400, 'Malformed Content-Length header')(environ, start_response)
                if int(length) > limit:
                    return faults.fault(413, 'Request is too large.')(environ, start_response)
            elif environ.get('wsgi.input_terminated') or 'HTTP_TRANSFER_ENCODING' in environ:
                environ['wsgi.input'] = Limited(environ['wsgi.input'], limit)
            return app(environ, start_response)
        return filtered
    return wrap


class TooLarge(faults.exception.ComputeException):
    msg_fmt = 'Request is too large.'
    code = 413


class Limited:
    """A stream of unknown length that stops with 413."""

    def __init__(self, stream: Any, limit: int) -> None:
        self.stream = stream
        self.left = limit

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(self.left + 1 if size < 0 else min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise TooLarge
        return data

    def readline(self, *_args: Any) -> bytes:
        raise NotImplementedError('bodies are read whole')

    readlines = __iter__ = readline     # type: ignore[assignment]


def cors_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    """oslo.middleware's CORS with its section [cors], asked only when a browser sends an Origin."""
    def wrap(app: WSGIApplication) -> WSGIApplication:
        checked = functools.cache(lambda: _cors(app))
        if any(name.partition('.')[0] == 'cors' for name in CONF.list_all_sections()):
            checked()       # what is wrong there is said at the start; else no browser may ever come

        def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            return (checked() if 'HTTP_ORIGIN' in environ else app)(environ, start_response)
        return filtered
    return wrap


def _cors(app: WSGIApplication) -> WSGIApplication:
    from oslo_middleware import cors  # with all its neighbours: 4 MB
    cors.set_defaults(allow_headers=CORS_HEADERS, expose_headers=CORS_HEADERS,
                      allow_methods=['GET', 'PUT', 'POST', 'DELETE', 'PATCH'])
    checked: WSGIApplication = cors.CORS(app, CONF)
    return checked


def proxy_headers_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    """oslo.middleware's X-Forwarded-* parsing, if [api] enable_proxy_headers_parsing says so."""
    def wrap(app: WSGIApplication) -> WSGIApplication:
        if not CONF.api.enable_proxy_headers_parsing:
            return app
        from oslo_middleware import http_proxy_to_wsgi
        return http_proxy_to_wsgi.HTTPProxyToWSGI(app, {'enable_proxy_headers_parsing': 'true'})
    return wrap
