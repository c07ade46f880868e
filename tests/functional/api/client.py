"""A caller of the API that needs no socket."""
from __future__ import annotations

from typing import Any

import orjson

from minicompute.api.openstack.wsgi import Request


class Client:
    """`api.get('/flavors', version='2.61')`; paths without /v2 are below /v2.1. Roles as in X-Roles."""

    def __init__(self, app: Any, user: str = 'admin', project: str = 'admin', roles: str | None = None) -> None:
        self.app = app
        self.headers = {'X-User-Id': user, 'X-Project-Id': project}
        if roles is not None:
            self.headers['X-Roles'] = roles

    def call(self, method: str, path: str, body: Any = None, version: str | None = None,
             headers: dict[str, str] | None = None) -> Any:
        sent = {**self.headers, **(headers or {})}
        if version is not None:
            sent['OpenStack-API-Version'] = f'compute {version}'
        full = path if path == '/' or path.startswith('/v2') else f'/v2.1{path}'
        req = Request.blank(full, method=method, headers=sent)
        if body is not None:
            req.body = body if isinstance(body, bytes) else orjson.dumps(body)
            req.headers.setdefault('Content-Type', 'application/json')
        return req.get_response(self.app)

    def get(self, path: str, code: int = 200, **kwargs: Any) -> Any:
        return self._checked(self.call('GET', path, **kwargs), code)

    def post(self, path: str, body: Any, code: int = 200, **kwargs: Any) -> Any:
        return self._checked(self.call('POST', path, body, **kwargs), code)

    def put(self, path: str, body: Any, code: int = 200, **kwargs: Any) -> Any:
        return self._checked(self.call('PUT', path, body, **kwargs), code)

    def delete(self, path: str, code: int = 204, **kwargs: Any) -> Any:
        return self._checked(self.call('DELETE', path, **kwargs), code)

    @staticmethod
    def _checked(answer: Any, code: int) -> Any:
        assert answer.status_int == code, f'{answer.status}: {answer.text}'
        return orjson.loads(answer.body) if answer.body else None


def fault(answer: Any) -> tuple[str, int, str]:
    """-> (name, code, message)"""
    (name, inner), = answer.items()
    return name, inner['code'], inner['message']
