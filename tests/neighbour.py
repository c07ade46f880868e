"""A small real HTTP server on loopback, which plays Keystone and any service that its catalog names."""
from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

Answer = tuple[int, Any]


class Neighbour:
    """`answer(method, path, headers, body) -> (status, document)` says what the service does; `seen` is what was asked
    of it: (method, path, headers, body). Keystone's part is answered here: each log-in gives a new token."""

    def __init__(self, answer: Callable[[str, str, Any, bytes], Answer], catalog: dict[str, str] | None = None) -> None:
        self.answer, self.seen, self.log_ins = answer, [], 0
        self.password, self.seconds = 'secret', 3600
        self.tokens: list[str] = []
        self.connections: set[socket.socket] = set()
        self._catalog = catalog
        self._server: Any = None
        self.port, self.running = 0, False
        self.start()

    @property
    def url(self) -> str:
        return f'http://127.0.0.1:{self.port}'

    def start(self) -> None:
        """Again at the same port."""
        for left in range(100, 0, -1):      # a client may have been given the port of a server that is away
            try:
                self._server = http.server.ThreadingHTTPServer(('127.0.0.1', self.port), _handler(self))
                break
            except OSError:
                if left == 1:
                    raise
                time.sleep(0.1)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.running = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if not self.running:
            return
        self.running = False
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def catalog(self) -> dict[str, str]:
        """{service type: URL}"""
        return self._catalog or {'image': self.url, 'network': self.url, 'block-storage': f'{self.url}/v3'}

    def log_in(self, body: Any) -> tuple[int, Any, str]:
        self.log_ins += 1
        if body['auth']['identity']['password']['user']['password'] != self.password:
            return 401, {'error': {'code': 401, 'message': 'The request you have made requires authentication.'}}, ''
        now = datetime.datetime.now(datetime.UTC)
        token = uuid.uuid4().hex
        self.tokens.append(token)
        stamp = '%Y-%m-%dT%H:%M:%S.%fZ'
        return 201, {'token': {
            'methods': ['password'], 'user': {'id': 'u', 'name': 'u', 'domain': {'id': 'd', 'name': 'D'}},
            'project': {'id': 'service', 'name': 'service', 'domain': {'id': 'd', 'name': 'D'}},
            'roles': [{'id': 'r', 'name': 'service'}], 'issued_at': now.strftime(stamp),
            'expires_at': (now + datetime.timedelta(seconds=self.seconds)).strftime(stamp),
            'catalog': [{'type': kind, 'name': kind, 'id': kind, 'endpoints': [
                {'id': kind, 'interface': 'internal', 'region': 'R', 'region_id': 'R', 'url': url}]}
                for kind, url in self.catalog().items()]}}, token

    def configure(self, conf: Any, group: str, **more: Any) -> None:
        """This section's service user logs in here."""
        from minicompute import service_auth

        service_auth.reset()
        service_auth.register(group)
        conf.set_override('auth_type', 'password', group)
        service_auth.loading.register_auth_conf_options(conf, group)
        for opt in service_auth.loading.get_auth_plugin_conf_options('password'):
            conf.register_opt(opt, group=group)
        said = {'auth_url': f'{self.url}/v3', 'username': 'nova', 'password': 'secret', 'user_domain_id': 'default',
                'project_name': 'service', 'project_domain_id': 'default', **more}
        if group in service_auth.SERVICES:
            said = {'connect_retry_delay': 0.05, 'status_code_retry_delay': 0.05, **said}
        for name, value in said.items():
            conf.set_override(name, value, group)


def forget(conf: Any) -> None:
    """At the end of a test: options of an auth plugin may be required, and who has none of them would miss them."""
    from minicompute import service_auth

    service_auth.reset()
    conf.reset()
    for group in (*service_auth.SERVICES, service_auth.SERVICE_USER):
        service_auth.register(group)
        conf.unregister_opts(service_auth.loading.get_auth_plugin_conf_options('password'), group=group)


def _handler(neighbour: Neighbour) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def setup(self) -> None:
            super().setup()
            neighbour.connections.add(self.connection)

        def finish(self) -> None:
            neighbour.connections.discard(self.connection)
            with contextlib.suppress(OSError):
                super().finish()

        def log_message(self, *args: Any) -> None:
            pass

        def do_any(self) -> None:
            length = self.headers.get('Content-Length')
            if 'chunked' in self.headers.get('Transfer-Encoding', ''):
                body = b''
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(length or 0))
                if len(body) < int(length or 0):        # who asked has gone
                    self.close_connection = True
                    return
            token = ''
            if self.path == '/v3/auth/tokens':
                status, document, token = neighbour.log_in(json.loads(body))
            elif self.path == '/v3':
                status, document = 200, {'version': {'id': 'v3.14', 'status': 'stable', 'links': [
                    {'rel': 'self', 'href': f'{neighbour.url}/v3/'}]}}
            else:
                neighbour.seen.append((self.command, self.path, self.headers, body))
                status, document = neighbour.answer(self.command, self.path, self.headers, body)
            if callable(document):      # it writes the answer, or breaks off, by itself
                document(self)
                return
            data = document if isinstance(document, bytes) else b'' if document is None else json.dumps(
                document).encode()
            self.send_response(status)
            self.send_header('Content-Type', 'application/json')
            if token:
                self.send_header('X-Subject-Token', token)
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            if self.command != 'HEAD':
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_any
    return Handler
