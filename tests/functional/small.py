"""A caller of a WSGI application in this process, and a server of it for real clients."""
from __future__ import annotations

import json
import socketserver
import threading
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import webob


class Caller:
    """`caller('GET', '/images')` -> the JSON of the answer, or the answer if it is no JSON; checks the status."""

    def __init__(self, app: Any, prefix: str, token: str | None = None) -> None:
        self.app, self.prefix, self.token = app, prefix, token

    def __call__(self, method: str, path: str, body: Any = None, *, status: int = 200,
                 content_type: str = 'application/json', length: int | None = None) -> Any:
        request = webob.Request.blank(self.prefix + path, method=method)
        if self.token:
            request.headers['X-Auth-Token'] = self.token
        if body is not None:
            request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.content_type = content_type
        if length is not None:
            request.content_length = length
        answer = request.get_response(self.app)
        assert answer.status_int == status, (answer.status, answer.text)
        return answer.json if answer.body and answer.content_type == 'application/json' else answer


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Tests have no access log."""


class _Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Server:
    """`with Server(app) as url:` on a port of its own."""

    def __init__(self, app: Any) -> None:
        self.server = make_server('127.0.0.1', 0, app, server_class=_Threads, handler_class=_Quiet)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return f'http://127.0.0.1:{self.server.server_port}'

    def __exit__(self, *_args: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
