"""/os-assisted-volume-snapshots: a volume service whose volumes are files asks the host of a server for help.

Such a service (Cinder with files in shares) makes the new file and tells the host to go on with it; a flow does, and
tells the service. Local volumes are no such thing: what a server has is one file, which this service names itself, and
its snapshots are copies (`createImage` of a server that boots from volumes). There everything about a request is
checked, and then the volume is refused.
"""
from __future__ import annotations

from typing import Any

from minicompute import exception, policy
from minicompute.api import validation
from minicompute.api.openstack import body as json_body
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import assisted_volume_snapshots as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import assisted_snapshots, volumes
from minicompute.objects import Instance, VMState
from minicompute.volume import base as volume

RULE = 'os_compute_api:os-assisted-volume-snapshots:%s'


class AssistedVolumeSnapshotsController(wsgi.Controller):

    @wsgi.expected_errors(400)
    @validation.schema(schema.create, answer=schema.created)
    def create(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'create', {})
        volume_id, info = body['snapshot']['volume_id'], body['snapshot']['create_info']
        instance = _server_of(volume_id, 'volume_snapshot_create')
        _check_remote(volume_id)
        assisted_snapshots.create(req.context, instance, volume_id, info['snapshot_id'], info['new_file'])
        return {'snapshot': {'id': info.get('id'), 'volumeId': volume_id}}

    @wsgi.response(204)
    @wsgi.expected_errors((400, 404))
    @validation.schema(query=schema.delete_query, answer=schema.nothing)
    def delete(self, req: Request, id: str) -> None:
        policy.authorize(req.context, RULE % 'delete', {})
        info = delete_info(req)
        instance = _server_of(info['volume_id'], 'volume_snapshot_delete')
        if info.get('merge_target_file') is not None and instance.vm_state != VMState.ACTIVE:
            raise _bad_state(instance, 'volume_snapshot_delete', 'vm_state', instance.vm_state)
        _check_remote(info['volume_id'])
        top, base = (_name(info, key) for key in ('file_to_merge', 'merge_target_file'))
        assisted_snapshots.delete(req.context, instance, info['volume_id'], id, top, base)


ROUTES = (
    ('POST', '/os-assisted-volume-snapshots', AssistedVolumeSnapshotsController, 'create'),
    ('DELETE', '/os-assisted-volume-snapshots/{id}', AssistedVolumeSnapshotsController, 'delete'),
)


def delete_info(req: Request) -> dict[str, Any]:
    """The JSON in the query; it names a volume. Raises Invalid."""
    text = common.last(req, 'delete_info')
    if text is None:
        raise exception.Invalid('delete_info is missing.')
    found = json_body.loads(text.encode())
    if not isinstance(found, dict) or not isinstance(found.get('volume_id'), str):
        raise exception.Invalid('delete_info: it must be a JSON object with a volume_id.')
    return found


def _server_of(volume_id: str, method: str) -> Instance:
    """The server that has the volume, which is on a host and does nothing. All that is in the way is a 400 here."""
    instance = volumes.server_of(volume_id)
    if instance is None:
        raise exception.Invalid(f'No volume Block Device Mapping with id {volume_id[:64]}.')
    if not instance.host:
        raise exception.Invalid(exception.InstanceNotReady(instance_id=instance.uuid).message)
    if instance.task_state is not None:
        raise _bad_state(instance, method, 'task_state', instance.task_state)
    return instance


def _bad_state(instance: Instance, method: str, attr: str, state: str) -> exception.Invalid:
    error = exception.InstanceInvalidState(method=method, instance_uuid=instance.uuid, attr=attr, state=state)
    return exception.Invalid(error.message)


def _name(info: dict[str, Any], key: str) -> str | None:
    found = info.get(key)
    if found is not None and not isinstance(found, str):
        raise exception.Invalid(f'delete_info: {key} must be the name of a file.')
    return found or None


def _check_remote(volume_id: str) -> None:
    """Raises InvalidVolume."""
    if not volume.load().remote:
        raise exception.InvalidVolume(
            reason=f'volume {volume_id} is a local one, whose files are not changed by others')
