"""/os-snapshots: the snapshots of volumes that the volume service has, up to 2.35. Clients then ask it themselves."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation.parameter_types import is_true
from minicompute.compute.api import volume_snapshots
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
    def create(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'create')
        asked = body['snapshot']
        try:
            made = volume_snapshots.create(
                req.context, asked['volume_id'], name=asked.get('display_name'),
                description=asked.get('display_description'), force=is_true(asked.get('force') or False))
        except (exception.NotFound, exception.Conflict, exception.ServiceUnavailable) as error:
            raise exception.Invalid(error.message) from None
        return {'snapshot': view(made)}

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
    found = volume.load().page_snapshots(req.context, limit=limit, offset=first)
    return {'snapshots': [view(one) for one in found]}


def view(one: VolumeSnapshot) -> dict[str, Any]:
    return {'id': one.id, 'volumeId': one.volume_id, 'status': one.status, 'size': one.size,
            'createdAt': common.micro(one.created_at), 'displayName': one.name, 'displayDescription': one.description}
