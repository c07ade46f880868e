"""What stands where clients look for Keystone when there is none: a version document, and no for the rest.

openstackclient asks for it before each image command.  To a question for a project it takes 403 as "I may
not know its name" and goes on with what the user typed, which in `noauth2` is the project's id.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.wsgi import Request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

MEDIA_TYPE = {'base': 'application/json', 'type': 'application/vnd.openstack.identity-v3+json'}
VERSION = {'id': 'v3.14', 'status': 'stable', 'updated': '2020-04-07T00:00:00Z', 'media-types': [MEDIA_TYPE]}
REFUSAL = {'error': {'code': 403, 'title': 'Forbidden', 'message':
                     'There is no identity service here: users and projects are the ids that they give.'}}


class Identity:
    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        req = Request(environ)
        path = req.path_info.rstrip('/')
        version = VERSION | {'links': [{'rel': 'self', 'href': f'{req.application_url.rstrip("/")}/v3/'}]}
        if path == '':
            answer = Answer({'versions': {'values': [version]}}, code=300)
        elif path == '/v3':
            answer = Answer({'version': version})
        else:
            answer = Answer(REFUSAL, code=403)
        return answer(environ, start_response)


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Identity:
    return Identity()
