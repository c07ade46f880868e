"""A response: a WSGI application of three fields, cheaper than webob's and enough for JSON."""
from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

STATUS_LINES = {status.value: f'{status.value} {status.phrase}' for status in HTTPStatus}


class Answer:
    """`body`: what JSON can hold, bytes, or None for an empty one. `code` None: the handler's usual one.

    A handler returns one when it has headers to add; most return the plain body.
    """

    __slots__ = ('body', 'code', 'headers')
    #: whether the body comes bit by bit, and cannot be looked at
    streamed = False

    def __init__(self, body: Any = None, code: int | None = None,
                 headers: Iterable[tuple[str, str]] = ()) -> None:
        self.body = body
        self.code = code
        self.headers = list(headers)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        code = self.code or 200
        body = self.encoded()
        if code == 204:
            start_response('204 No Content', self.headers)
            return []
        headers = [*self.headers, ('Content-Length', str(len(body)))]
        if not any(name == 'Content-Type' for name, _ in self.headers):
            headers.append(('Content-Type', 'application/json'))
        start_response(STATUS_LINES.get(code) or f'{code} Unknown', headers)
        return [body]

    def encoded(self) -> bytes:
        if self.body is None:
            return b''
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)
