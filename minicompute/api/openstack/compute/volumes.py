"""/os-volumes: what the volume service has, up to 2.35. Clients then ask it themselves."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.compute.schemas import proxies as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.conf import CONF
from minicompute.objects import Volume, VolumeStatus
from minicompute.volume import base as volume

LAST = '2.35'
RULE = 'os_compute_api:os-volumes:%s'


class VolumesController(wsgi.Controller):

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.window, answer=schema.volumes)
    def index(self, req: Request) -> dict[str, Any]:
        return _page(req, 'list')

    @wsgi.api_version('2.1', LAST)
    @validation.schema(query=schema.window, answer=schema.volumes)
    def detail(self, req: Request) -> dict[str, Any]:
        """The same: the summary has had all fields from the beginning."""
        return _page(req, 'detail')

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.query, answer=schema.volume)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'show')
        return {'volume': view(volume.load().show(req.context, id))}

    @wsgi.api_version('2.1', LAST)
    @wsgi.expected_errors((400, 403, 404))
    @validation.schema(schema.volume_create, answer=schema.volume)
    def create(self, req: Request, body: dict[str, Any]) -> Answer:
        policy.authorize(req.context, RULE % 'create')
        asked = body['volume']
        if asked.get('availability_zone') not in (None, '', CONF.default_availability_zone):
            raise exception.Invalid(f"availability_zone: '{asked['availability_zone'][:64]}' is invalid.")
        if asked.get('volume_type'):
            raise exception.Invalid(f"volume_type: {asked['volume_type'][:64]} could not be found.")
        made = volume.load().create(req.context, Volume(
            id='', project_id=str(req.context.project_id), user_id=req.context.user_id, size=int(asked['size']),
            name=asked.get('display_name', ''), description=asked.get('display_description'),
            metadata=asked.get('metadata', {}), **_begins_with(req, asked)))
        return Answer({'volume': view(made)}, headers=[('Location', f'{req.path_url}/{made.id}')])

    @wsgi.api_version('2.1', LAST)
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404))
    @validation.schema(answer=schema.nothing)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete')
        volume.load().delete(req.context, id)


ROUTES = (
    ('GET', '/os-volumes', VolumesController, 'index'),
    ('POST', '/os-volumes', VolumesController, 'create'),
    ('GET', '/os-volumes/detail', VolumesController, 'detail'),
    ('GET', '/os-volumes/{id}', VolumesController, 'show'),
    ('DELETE', '/os-volumes/{id}', VolumesController, 'delete'),
)


def _page(req: Request, rule: str) -> dict[str, Any]:
    policy.authorize(req.context, RULE % rule)
    first, limit = common.window(req)
    found = volume.load().page(req.context, limit=limit, offset=first)
    return {'volumes': [view(one) for one in found]}


def _begins_with(req: Request, asked: dict[str, Any]) -> dict[str, Any]:
    """What a volume has from the snapshot that it is made from."""
    if asked.get('snapshot_id') is None:
        return {}
    found = volume.load().show_snapshot(req.context, asked['snapshot_id'])
    if int(asked['size']) < found.size:
        raise exception.Invalid(f"size: {asked['size']} GiB is less than the {found.size} GiB of snapshot {found.id}")
    return {'snapshot_id': found.id, 'bootable': found.bootable, 'image_metadata': found.image_metadata}


def view(one: Volume) -> dict[str, Any]:
    attachment: dict[str, Any] = {}
    if one.attachments and one.shown_status in (VolumeStatus.IN_USE, VolumeStatus.DETACHING):
        first = one.attachments[0]
        attachment = {'id': one.id, 'volumeId': one.id, 'serverId': first.instance_uuid}
        if first.device_name:
            attachment['device'] = first.device_name
    return {'id': one.id, 'status': one.shown_status, 'size': one.size,
            'availabilityZone': CONF.default_availability_zone, 'createdAt': common.micro(one.created_at),
            'attachments': [attachment], 'displayName': one.name, 'displayDescription': one.description,
            'volumeType': one.volume_type, 'snapshotId': one.snapshot_id, 'metadata': one.metadata}
