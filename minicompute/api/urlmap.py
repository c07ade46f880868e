"""Paste composite: which application serves which path prefix.

    [composite:osapi_compute]
    paste.composite_factory = minicompute.api.urlmap:urlmap_factory
    /: versions
    /v2.1: version_doc_v21
    /v2.1/+: compute_v21

The longest prefix wins. A prefix takes its own path and all below it; `PREFIX/+` takes only what is below.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class URLMap:
    def __init__(self, applications: dict[str, WSGIApplication]) -> None:
        rows = []
        for prefix, application in applications.items():
            below = prefix.endswith('/+')
            rows.append((prefix.removesuffix('+').rstrip('/'), below, application))
        self.rows = sorted(rows, key=lambda row: (-len(row[0]), not row[1]))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get('PATH_INFO', '')
        for prefix, below, application in self.rows:
            if not path.startswith(prefix):
                continue
            rest = path[len(prefix):]
            if rest and rest[0] != '/':
                continue
            if below and len(rest) <= 1:
                continue
            if prefix:
                environ['SCRIPT_NAME'] = environ.get('SCRIPT_NAME', '') + prefix
                environ['PATH_INFO'] = rest
            return application(environ, start_response)
        raise LookupError('api-paste.ini maps no application to /')


def urlmap_factory(loader: Any, global_conf: dict[str, Any], **local_conf: str) -> URLMap:
    return URLMap({prefix: loader.get_app(name, global_conf=global_conf)
                   for prefix, name in local_conf.items() if prefix.startswith('/')})
