"""/images: what the image service has, up to 2.35. Clients then ask the image service itself."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import images as schema
from minicompute.api.openstack.compute.views import images as views
from minicompute.api.openstack.wsgi import Request
from minicompute.image import base as image
from minicompute.objects import ImageMeta

LAST = '2.35'
#: their words for a status -> the image service's
STATUSES = {'ACTIVE': ['active'], 'SAVING': ['queued', 'saving', 'importing', 'uploading'],
            'DELETED': ['deleted', 'pending_delete'], 'ERROR': ['killed']}


class ImagesController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(400)
    @validation.schema(query=schema.query, answer=schema.index)
    def index(self, req: Request) -> dict[str, Any]:
        return views.index(req, *self._page(req))

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(400)
    @validation.schema(query=schema.query, answer=schema.detail)
    def detail(self, req: Request) -> dict[str, Any]:
        return views.detail(req, *self._page(req))

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.nothing, answer=schema.show)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        return {'image': views.ImageView(req)(find(req, id))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(204)
    @wsgi.expected_errors((403, 404))
    def delete(self, req: Request, id: str) -> None:
        find(req, id)
        image.load().delete(req.context, id)

    @staticmethod
    def _page(req: Request) -> tuple[list[ImageMeta], int]:
        limit, marker = common.paging(req)
        if limit == 0:
            return [], 0
        try:
            found = image.load().list(req.context, filters=filters(req), limit=limit, marker=marker)
        except exception.MarkerNotFound:
            raise exception.Invalid(f'marker [{str(marker)[:64]}] not found') from None
        return found, limit


ROUTES = (
    ('GET', '/images', ImagesController, 'index'),
    ('GET', '/images/detail', ImagesController, 'detail'),
    ('GET', '/images/{id}', ImagesController, 'show'),
    ('DELETE', '/images/{id}', ImagesController, 'delete'),
)


def find(req: Request, image_id: str) -> ImageMeta:
    """Raises NotFound in the words that users of this API know."""
    try:
        return image.load().show(req.context, image_id)
    except exception.ImageNotFound:
        raise exception.NotFound('Image not found.') from None


def filters(req: Request) -> dict[str, Any]:
    """In the words of the image service."""
    made: dict[str, Any] = {}
    properties = {name.removeprefix('property-'): values[-1] for name, values in req.query.items()
                  if name.startswith('property-')}
    name, status, server, kind = (common.last(req, key) for key in ('name', 'status', 'server', 'type'))
    if name is not None:
        made['name'] = name
    if status is not None:
        made['status'] = STATUSES.get(status.upper(), [status.lower()])
    if server is not None:
        properties['instance_uuid'] = server.rstrip('/').rpartition('/')[2]
    if kind is not None:
        properties['image_type'] = kind
    for key, column in (('minRam', 'min_ram'), ('minDisk', 'min_disk')):
        value = common.last(req, key)
        if value is not None:
            made[column] = int(value)
    changed = common.time_param(req, 'changes-since')
    if changed is not None:
        made['updated_at'] = [('gte', changed)]
    if properties:
        made['properties'] = properties
    return made
