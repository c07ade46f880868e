"""/servers/{server_id}/os-volume_attachments: volumes come and go."""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import volume_attachments as schema
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.api.validation import parameter_types as types
from minicompute.compute.api import lookup, volumes
from minicompute.conf import CONF
from minicompute.objects import BlockDevice, Instance, VMState

RULE = 'os_compute_api:os-volumes-attachments:%s'
#: what PUT may repeat but not change: in the body, in the mapping
_FIXED = (('id', 'volume_id'), ('serverId', 'instance_uuid'), ('device', 'device_name'), ('tag', 'tag'))


class VolumeAttachmentController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.index_query, answer=schema.index)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        devices = volumes.attachments(find(req, server_id, RULE % 'index'))
        limit = common.paging(req)[0] or CONF.api.max_limit     # 0 is no limit here
        first = int(common.last(req, 'offset') or 0)
        return {'volumeAttachments': [_view(req, device) for device in devices[first:first + limit]]}

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.show)
    def show(self, req: Request, server_id: str, id: str) -> dict[str, Any]:
        instance = find(req, server_id, RULE % 'show')
        return {'volumeAttachment': _view(req, volumes.find(instance, id))}

    @wsgi.response(200, {'2.101': 202})
    @wsgi.expected_errors((400, 403, 404, 409))
    @validation.schema(schema.create, answer=schema.created)
    def create(self, req: Request, server_id: str, body: dict[str, Any]) -> dict[str, Any] | None:
        instance = find(req, server_id, RULE % 'create')
        _check_shelved(req, instance, 'attach_volume')
        asked = body['volumeAttachment']
        made = volumes.attach(
            req.context, instance, asked['volumeId'], device=asked.get('device'), tag=asked.get('tag'),
            delete_on_termination=types.is_true(asked.get('delete_on_termination', False)),
            multiattach=req.since('2.60'))
        if req.since('2.101'):
            return None
        # 2.89 never reached this answer before 2.101 emptied it.
        shown: dict[str, Any] = {'id': made.volume_id, 'serverId': instance.uuid, 'volumeId': made.volume_id,
                                 'device': made.device_name}
        if req.since('2.70'):
            shown['tag'] = made.tag
        if req.since('2.79'):
            shown['delete_on_termination'] = made.delete_on_termination
        return {'volumeAttachment': shown}

    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.update)
    def update(self, req: Request, server_id: str, id: str, body: dict[str, Any]) -> None:
        asked = body['volumeAttachment']
        swaps = not req.since('2.85') or asked['volumeId'] != id
        if swaps:
            instance = lookup.instance(req.context, server_id)
            policy.authorize(req.context, RULE % 'swap', {})
        else:
            instance = find(req, server_id, RULE % 'update')
        if req.since('2.85'):
            _change(instance, volumes.find(instance, id), asked)
        if swaps:
            volumes.swap(req.context, instance, id, asked['volumeId'])

    @wsgi.response(202)
    @wsgi.expected_errors((400, 403, 404, 409))
    def delete(self, req: Request, server_id: str, id: str) -> None:
        instance = find(req, server_id, RULE % 'delete')
        _check_shelved(req, instance, 'detach_volume')
        volumes.detach(req.context, instance, id)


def _check_shelved(req: Request, instance: Instance, method: str) -> None:
    if instance.vm_state in (VMState.SHELVED, VMState.SHELVED_OFFLOADED) and not req.since('2.20'):
        raise exception.InstanceInvalidState(method=method, instance_uuid=instance.uuid, attr='vm_state',
                                             state=instance.vm_state)


def _change(instance: Instance, device: BlockDevice, asked: dict[str, Any]) -> None:
    for name, field in _FIXED:
        if name in asked and asked[name] != getattr(device, field):
            raise exception.Invalid(f'The {name} property is not mutable')
    if 'delete_on_termination' in asked:
        volumes.set_delete_on_termination(instance, device, types.is_true(asked['delete_on_termination']))


def _view(req: Request, device: BlockDevice) -> dict[str, Any]:
    shown: dict[str, Any] = {'volumeId': device.volume_id, 'serverId': device.instance_uuid}
    if device.device_name:
        shown['device'] = device.device_name
    if req.since('2.70'):
        shown['tag'] = device.tag
    if req.since('2.79'):
        shown['delete_on_termination'] = device.delete_on_termination
    if req.since('2.89'):
        shown.update(attachment_id=device.attachment_id, bdm_uuid=device.uuid)
    else:
        shown['id'] = device.volume_id
    return shown


ROUTES = (
    ('GET', '/servers/{server_id}/os-volume_attachments', VolumeAttachmentController, 'index'),
    ('POST', '/servers/{server_id}/os-volume_attachments', VolumeAttachmentController, 'create'),
    ('GET', '/servers/{server_id}/os-volume_attachments/{id}', VolumeAttachmentController, 'show'),
    ('PUT', '/servers/{server_id}/os-volume_attachments/{id}', VolumeAttachmentController, 'update'),
    ('DELETE', '/servers/{server_id}/os-volume_attachments/{id}', VolumeAttachmentController, 'delete'),
)
