"""/images/{image_id}/metadata: properties of images, up to 2.38."""
from __future__ import annotations

from typing import Any

from minicompute import exception, quota
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.images import find
from minicompute.api.openstack.compute.schemas import metadata as schema
from minicompute.api.openstack.compute.server_metadata import Items, present
from minicompute.api.openstack.compute.views.images import metadata
from minicompute.api.openstack.wsgi import Request
from minicompute.db import session
from minicompute.image import base as image

LAST = '2.38'


class ImageMetadataController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((403, 404))
    @validation.schema(query=schema.no_query, answer=schema.image_items)
    def index(self, req: Request, image_id: str) -> dict[str, Any]:
        return {'metadata': metadata(find(req, image_id))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((403, 404))
    @validation.schema(query=schema.no_query, answer=schema.image_item)
    def show(self, req: Request, image_id: str, id: str) -> dict[str, Any]:
        return {'meta': {id: present(metadata(find(req, image_id)), id)}}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.items, answer=schema.image_items)
    def create(self, req: Request, image_id: str, body: dict[str, Any]) -> dict[str, Any]:
        return {'metadata': self._write(req, image_id, {**metadata(find(req, image_id)), **body['metadata']})}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.items, answer=schema.image_items)
    def update_all(self, req: Request, image_id: str, body: dict[str, Any]) -> dict[str, Any]:
        find(req, image_id)
        return {'metadata': self._write(req, image_id, body['metadata'])}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.item, answer=schema.image_item)
    def update(self, req: Request, image_id: str, id: str, body: dict[str, Any]) -> dict[str, Any]:
        if id not in body['meta']:
            raise exception.Invalid('Request body and URI mismatch')
        self._write(req, image_id, {**metadata(find(req, image_id)), **body['meta']})
        return {'meta': body['meta']}

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(204)
    @wsgi.expected_errors((403, 404))
    def delete(self, req: Request, image_id: str, id: str) -> None:
        items = metadata(find(req, image_id))
        present(items, id)
        del items[id]
        self._write(req, image_id, items)

    @staticmethod
    def _write(req: Request, image_id: str, items: Items) -> Items:
        with session.read() as conn:
            limits = quota.limits(conn, str(req.context.project_id), str(req.context.user_id))
        quota.check_metadata(limits, len(items))
        return metadata(image.load().update(req.context, image_id, {'properties': items}))


ROUTES = (
    ('GET', '/images/{image_id}/metadata', ImageMetadataController, 'index'),
    ('POST', '/images/{image_id}/metadata', ImageMetadataController, 'create'),
    ('PUT', '/images/{image_id}/metadata', ImageMetadataController, 'update_all'),
    ('GET', '/images/{image_id}/metadata/{id}', ImageMetadataController, 'show'),
    ('PUT', '/images/{image_id}/metadata/{id}', ImageMetadataController, 'update'),
    ('DELETE', '/images/{image_id}/metadata/{id}', ImageMetadataController, 'delete'),
)
