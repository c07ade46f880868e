"""Paste composite: the Image, Network and Volume API below the Compute API's own endpoint.

A client that is told of one endpoint only (OS_ENDPOINT_OVERRIDE) looks there for images, networks and volumes: at
`/v2.1/v2/images`, or `/v2.1/PROJECT/v2/images` when the endpoint has the project in it.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# By collection, not by `v2` alone: a flavor may have the id v2.
IMAGE = re.compile(r'((?:/[^/]+)?/v2)/(?:images|schemas)(?:/|$)')
NETWORK = re.compile(r'((?:/[^/]+)?/v2\.0)/(?:networks|subnets|ports|security-groups|security-group-rules)(?:/|$)')
VOLUME = re.compile(r'((?:/[^/]+)?/v3)/(?:[^/]+/)?(?:volumes|snapshots)(?:/|$)')


class Below:
    def __init__(self, compute: WSGIApplication, image: WSGIApplication, network: WSGIApplication,
                 volume: WSGIApplication) -> None:
        self.compute = compute
        self.others = ((IMAGE, image), (NETWORK, network), (VOLUME, volume))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ['PATH_INFO']
        if '/v2' in path or '/v3' in path:    # nearly no request of the Compute API gets further than this
            for pattern, application in self.others:
                found = pattern.match(path)
                if found:
                    environ['SCRIPT_NAME'] += found[1]
                    environ['PATH_INFO'] = path[len(found[1]):]
                    return application(environ, start_response)
        return self.compute(environ, start_response)


def composite_factory(loader: Any, global_conf: dict[str, Any], **names: str) -> Below:
    return Below(*(loader.get_app(names[name], global_conf=global_conf)
                   for name in ('compute', 'image', 'network', 'volume')))
