"""/os-snapshots: the snapshots of volumes that the volume service has, up to 2.35. Clients then ask it themselves."""
from __future__ import annotations

from typing import Any, NoReturn

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.objects import VolumeSnapshot
from minicompute.volume import base as volume

LAST = '2.35'
RULE = 'os_compute_api:os-volumes:snapshots:%s'


class SnapshotsController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.window, answer=schema.snapshots)
    def index(self, req: Request) -> dict[str, Any]:
        return _page(req, 'list')

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.window, answer=schema.snapshots)
    def detail(self, req: Request) -> dict[str, Any]:
        """The same: the summary has had all fields from the beginning."""
        return _page(req, 'detail')

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.query, answer=schema.snapshot)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show')
        return {'snapshot': view(volume.load().show_snapshot(req.context, id))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403))
    @validation.schema(schema.snapshot_create, answer=schema.snapshot)
    def create(self, req: Request, body: dict[str, Any]) -> NoReturn:
        """Nobody but a server's host can read a volume while a guest writes it."""
        policy.authorize(req.context, RULE % 'create')
        try:
            volume.load().show(req.context, body['snapshot']['volume_id'])
        except exception.VolumeNotFound as error:
            raise exception.Invalid(error.message) from None
        raise exception.Invalid('volume_id: a snapshot of a local volume is made together with an image of the server '
                                'that boots from it (createImage).')

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors(404)
    @validation.schema(answer=schema.nothing)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete')
        volume.load().delete_snapshot(req.context, id)


ROUTES = (
    ('GET', '/os-snapshots', SnapshotsController, 'index'),
    ('POST', '/os-snapshots', SnapshotsController, 'create'),
    ('GET', '/os-snapshots/detail', SnapshotsController, 'detail'),
    ('GET', '/os-snapshots/{id}', SnapshotsController, 'show'),
    ('DELETE', '/os-snapshots/{id}', SnapshotsController, 'delete'),
)


def _page(req: Request, rule: str) -> dict[str, Any]:
    policy.authorize(req.context, RULE % rule)
    first, limit = common.window(req)
    found = volume.load().page_snapshots(req.context, limit=first + limit)
    return {'snapshots': [view(one) for one in found[first:]]}


def view(one: VolumeSnapshot) -> dict[str, Any]:
    return {'id': one.id, 'volumeId': one.volume_id, 'status': one.status, 'size': one.size,
            'createdAt': common.micro(one.created_at), 'displayName': one.name, 'displayDescription': one.description}
