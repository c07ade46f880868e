"""How images are shown up to 2.35."""
from __future__ import annotations

from typing import Any

from minicompute.api.openstack import common
from minicompute.api.openstack.wsgi import Request
from minicompute.conf import CONF
from minicompute.objects import ImageMeta

Shown = dict[str, Any]
STATUS = {'active': 'ACTIVE', 'deactivated': 'ACTIVE', 'queued': 'SAVING', 'saving': 'SAVING', 'importing': 'SAVING',
          'uploading': 'SAVING', 'deleted': 'DELETED', 'pending_delete': 'DELETED', 'killed': 'ERROR'}


def index(req: Request, found: list[ImageMeta], limit: int) -> Shown:
    view = ImageView(req)
    return _page(req, [view.brief(image) for image in found], 'images', limit)


def detail(req: Request, found: list[ImageMeta], limit: int) -> Shown:
    view = ImageView(req)
    return _page(req, [view(image) for image in found], 'images/detail', limit)


def _page(req: Request, shown: list[Shown], path: str, limit: int) -> Shown:
    page: Shown = {'images': shown}
    links = common.next_links(req, path, shown, shown[-1]['id'] if shown else None, limit)
    if links:
        page['images_links'] = links
    return page


class ImageView:

    def __init__(self, req: Request) -> None:
        self._links = common.Links(req, 'images')
        self._servers = common.Links(req, 'servers')
        self._alternate = (CONF.api.glance_link_prefix or req.host_url).rstrip('/')

    def brief(self, image: ImageMeta) -> Shown:
        links = self._links(image.id)
        links.append({'rel': 'alternate', 'type': 'application/vnd.openstack.image',
                      'href': f'{self._alternate}/images/{image.id}'})
        return {'id': image.id, 'name': image.name, 'links': links}

    def __call__(self, image: ImageMeta) -> Shown:
        status = STATUS.get(image.status, 'UNKNOWN')
        shown = {**self.brief(image), 'minRam': image.min_ram, 'minDisk': image.min_disk,
                 'metadata': metadata(image), 'created': common.zulu(image.created_at),
                 'updated': common.zulu(image.updated_at), 'status': status,
                 'progress': {'ACTIVE': 100, 'SAVING': 25 if image.status == 'queued' else 50}.get(status, 0),
                 'OS-EXT-IMG-SIZE:size': image.size}
        auto = image.properties.get('auto_disk_config')
        if auto is not None:
            shown['OS-DCF:diskConfig'] = 'AUTO' if str(auto).lower() == 'true' else 'MANUAL'
        server = image.properties.get('instance_uuid')
        if server:
            shown['server'] = {'id': str(server), 'links': self._servers(server)}
        return shown


def metadata(image: ImageMeta) -> dict[str, str]:
    """The properties as text, which is all that this API knew."""
    return {name: value if isinstance(value, str) else str(value) for name, value in image.properties.items()}
