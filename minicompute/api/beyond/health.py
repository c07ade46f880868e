"""/healthcheck: for balancers, who have no token. 200 when database and broker answer, else 503 with the reasons."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicompute.api.openstack.answer import Answer
from minicompute.health import Doctor

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> WSGIApplication:
    doctor = Doctor()

    def healthcheck(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ['REQUEST_METHOD'] not in ('GET', 'HEAD'):
            return Answer({'message': 'GET is all that can be asked here.'}, 405, [('Allow', 'GET, HEAD')])(
                environ, start_response)
        health = doctor.look()
        return Answer(health.to_dict(), 200 if health.good else 503, [('Cache-Control', 'no-store')])(
            environ, start_response)
    return healthcheck
