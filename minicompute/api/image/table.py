"""A small API as a table of functions: the Image and the Network application.

    ROUTES = (('GET', '/images/{id}', images.show), ...)

A function takes the request and the path's variables and returns what JSON can hold, None for 204, or an
`Answer` (or any other WSGI application).  Nothing is negotiated: these two APIs have no microversions.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import webob

from minicompute import exception
from minicompute.api.filters import ENV_REQUEST_ID
from minicompute.api.openstack import faults
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.body import loads
from minicompute.api.openstack.wsgi import ENV_CONTEXT
from minicompute.api.validation import parse_query

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from minicompute.context import RequestContext

MAX_BODY = 1 << 20      # of a JSON document; image data is not read here

Handler = Callable[..., Any]
Row = tuple[str, str, Handler]
#: the body of an error, from its code, its message and the exception
Wording = Callable[[int, str, Exception], dict[str, Any]]


class NotAllowed(exception.ComputeException):
    msg_fmt = 'Method %(method)s is not allowed here.'
    code = 405


class TooLarge(exception.ComputeException):
    msg_fmt = 'The request body is larger than a document may be.'
    code = 413


class WrongContentType(exception.ComputeException):
    msg_fmt = 'Content-Type %(found)s is not supported here; it must be %(wanted)s.'
    code = 415


class Request(webob.Request):
    """What a function of the table is given."""

    @property
    def context(self) -> RequestContext:
        context: RequestContext = self.environ[ENV_CONTEXT]
        return context

    @property
    def parameters(self) -> dict[str, list[str]]:
        return parse_query(self.environ.get('QUERY_STRING', ''))

    def document(self, content_types: Sequence[str] = ('application/json', 'text/plain')) -> Any:
        """The JSON of the body. Raises Invalid, WrongContentType, TooLarge."""
        if self.content_type and self.content_type not in content_types:
            raise WrongContentType(found=self.content_type[:64], wanted=content_types[0])
        if (self.content_length or 0) > MAX_BODY:
            raise TooLarge
        raw = self.body_file.read(MAX_BODY + 1)
        if len(raw) > MAX_BODY:
            raise TooLarge
        return loads(raw)


class Table:
    """The WSGI application. `prefix` is cut from the path if it is there, so that one table serves both
    `/image/v2/images` and, mounted below a compute endpoint's /v2, `/images`."""

    def __init__(self, rows: Iterable[Row], wording: Wording, *, prefix: str = '') -> None:
        self.prefix = prefix
        self.wording = wording
        self.paths: list[tuple[re.Pattern[str], dict[str, Handler]]] = []
        by_path: dict[str, dict[str, Handler]] = {}
        for method, path, handler in rows:
            by_path.setdefault(path, {})[method] = handler
        for path in sorted(by_path, key=lambda path: path.count('{')):    # what is named before what varies
            self.paths.append((re.compile(re.sub(r'\{(\w+)\}', r'(?P<\1>[^/]+)', path)), by_path[path]))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        req = Request(environ)
        try:
            handler, variables = self.match(req)
            result = handler(req, **variables)
        except Exception as error:    # noqa: BLE001  whatever it is, the client gets a fault of this API
            result = self.fault(error, environ)
        if not callable(result):
            result = Answer(result, code=204 if result is None else 200)
        app: WSGIApplication = result
        return app(environ, start_response)

    def match(self, req: Request) -> tuple[Handler, dict[str, str]]:
        try:
            path = req.path_info.rstrip('/')
        except UnicodeDecodeError:
            raise exception.NotFound from None
        if self.prefix and (path == self.prefix or path.startswith(self.prefix + '/')):
            path = path[len(self.prefix):]
        for pattern, handlers in self.paths:
            found = pattern.fullmatch(path)
            if found is None or '\x00' in path:
                continue
            handler = handlers.get('GET' if req.method == 'HEAD' else req.method)
            if handler is None:
                raise NotAllowed(method=req.method[:16])
            return handler, found.groupdict()
        raise exception.NotFound

    def fault(self, error: Exception, environ: WSGIEnvironment) -> Answer:
        """Worded by `faults`, which knows what may be told, in this API's own shape."""
        answer = faults.from_exception(error, environ.get(ENV_REQUEST_ID))
        (inner,) = answer.body.values()
        answer.body = self.wording(inner['code'], inner['message'], error)
        return answer
