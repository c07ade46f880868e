"""createImage: an image of a server's root disk, or one that names snapshots of its volumes."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy, quota
from minicompute.api import validation
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.compute.schemas import server_images as schema
from minicompute.api.openstack.compute.servers import SERVERS, find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import snapshot
from minicompute.conf import CONF
from minicompute.db import session


class ServerImagesController(wsgi.Controller):

    @wsgi.action('createImage')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.create_image, answer=schema.answer)
    def create_image(self, req: Request, id: str, body: dict[str, Any]) -> Answer:
        asked = body['createImage']
        instance = find(req, id, SERVERS % 'create_image')
        check_metadata(req, asked)
        if snapshot.is_volume_backed(instance):
            policy.authorize(req.context, SERVERS % 'create_image:allow_volume_backed',
                             {'project_id': instance.project_id, 'user_id': instance.user_id})
        image_id = snapshot.create_image(req.context, instance, asked['name'].strip(), asked.get('metadata') or {})
        return told(req, image_id)


ROUTES = (('POST', '/servers/{id}/action', ServerImagesController, wsgi.ACTIONS),)


def check_metadata(req: Request, asked: dict[str, Any]) -> None:
    """From 2.39 on images have no limit of ours. Raises QuotaError."""
    metadata = asked.get('metadata')
    if not metadata or req.since('2.39'):
        return
    with session.read() as conn:
        limits = quota.limits(conn, str(req.context.project_id), str(req.context.user_id))
    if 0 <= limits.most('metadata_items') < len(metadata):
        raise exception.QuotaError('Image metadata limit exceeded')


def told(req: Request, image_id: str, *, with_location: bool = True) -> Answer:
    """Which image it will be: in the body, and before 2.45 where it will be."""
    if req.since('2.45'):
        return Answer({'image_id': image_id})
    base = (CONF.api.glance_link_prefix or req.host_url).rstrip('/')
    return Answer(None, headers=[('Location', f'{base}/images/{image_id}')] if with_location else [])
