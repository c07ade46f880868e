"""The API daemon's figures: several processes count into files that they share, and any of them tells the sum.

[metrics] api_port is a second socket of the same workers.
"""
from __future__ import annotations

import os
import pathlib
import shutil
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicompute import metrics
from minicompute.api.openstack.router import ENV_ROUTE
from minicompute.conf import CONF
from minicompute.health import Doctor

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def measured(app: WSGIApplication) -> WSGIApplication:
    """`app` with its requests counted, and the figures on a port of their own, if there is one."""
    port = str(CONF.metrics.api_port)
    if port == '0':
        return app
    _share()
    figures = metrics.application(Doctor(), _registry)

    def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get('SERVER_PORT') == port:      # of the socket, not of what the client says
            return figures(environ, start_response)
        began, code = time.perf_counter(), ['-']

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            code[0] = status[:3]
            return start_response(status, headers, exc_info)
        body = app(environ, start)
        route = environ.get(ENV_ROUTE) or _mount(environ)
        metrics.count('requests', 1, route, code[0])
        metrics.observe('request_seconds', time.perf_counter() - began, route)
        return body
    return counted


def _share() -> None:
    """The files are named after the port, which nobody else on this machine has."""
    place = pathlib.Path(CONF.state_path) / 'metrics' / f'api-{CONF.metrics.api_port}'
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    os.environ['PROMETHEUS_MULTIPROC_DIR'] = str(place)
    metrics.enable()


def _registry() -> Any:
    from prometheus_client import CollectorRegistry, multiprocess
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)    # type: ignore[no-untyped-call]
    return registry


def _mount(environ: WSGIEnvironment) -> str:
    """Where no table of ours knows the route: what is above it, and nothing that a client made up."""
    first = environ.get('SCRIPT_NAME', '').split('/')[1:2]
    return f'{environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in METHODS else "OTHER"} /{"".join(first)}'


METHODS = frozenset(('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'))
