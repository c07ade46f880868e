"""The Image v2 application: its table, its errors, its version documents."""
from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from minicompute.api.image import data, images, schemas
from minicompute.api.image.table import Row, Table
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.wsgi import Request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

ROUTES: tuple[Row, ...] = (
    ('GET', '/images', images.index),
    ('POST', '/images', images.create),
    ('GET', '/images/{image_id}', images.show),
    ('PATCH', '/images/{image_id}', images.update),
    ('DELETE', '/images/{image_id}', images.delete),
    ('GET', '/images/{image_id}/file', data.download),
    ('PUT', '/images/{image_id}/file', data.upload),
    ('GET', '/images/{image_id}/members', images.members),
    ('PUT', '/images/{image_id}/tags/{tag}', images.add_tag),
    ('DELETE', '/images/{image_id}/tags/{tag}', images.remove_tag),
    ('POST', '/images/{image_id}/actions/deactivate', images.deactivate),
    ('POST', '/images/{image_id}/actions/reactivate', images.reactivate),
    ('GET', '/schemas/image', schemas.image),
    ('GET', '/schemas/images', schemas.images),
    ('GET', '/info/import', schemas.import_methods),
    ('GET', '/info/stores', schemas.stores),
)

#: what is here of Glance's: multihashes and hidden images (2.7), no stores, no caching
VERSIONS = ('v2.7', 'v2.6', 'v2.5', 'v2.4', 'v2.3', 'v2.2', 'v2.1', 'v2.0')


def wording(code: int, message: str, _error: Exception) -> dict[str, Any]:
    title = HTTPStatus(code).phrase
    return {'code': f'{code} {title}', 'title': title, 'message': message}


def app_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Table:
    """Answers at /v2/images as well as at /images below a mount that ends in /v2."""
    return Table(ROUTES, wording, prefix='/v2')


class Versions:
    """Which versions there are, needing no authentication; also where a client looks below /v2."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        mount = Request(environ).application_url.rstrip('/').removesuffix('/v2')
        found = [{'id': version, 'status': 'CURRENT' if version == VERSIONS[0] else 'SUPPORTED',
                  'links': [{'rel': 'self', 'href': f'{mount}/v2/'}]} for version in VERSIONS]
        return Answer({'versions': found}, code=200)(environ, start_response)


def versions_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Versions:
    return Versions()
