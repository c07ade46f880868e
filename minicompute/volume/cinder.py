"""Volumes of Cinder, by its attachments API (Block Storage v3, microversion 3.44 and later).

In the api it is asked with the user's token, by flows as the service user of [cinder], who has to be an administrator
there and to have a service role: an attachment that a server uses is given back to nobody else (Cinder's bug 2004555).
"""
from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils, uuidutils

from minicompute import exception, service_auth
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import BlockDevice, Volume, VolumeAttachment, VolumeSnapshot, VolumeStatus
from minicompute.volume.remote import Attachment, RemoteVolumes

LOG = logging.getLogger(__name__)

MICROVERSION = '3.44'
#: since which an image can be written over a volume
REIMAGE = '3.68'
#: of a volume's metadata: the device that it was made for
MARKER = 'compute:device'
#: of a snapshot's metadata: the request that it was made for
ORDER = 'compute:order'
#: of `volume_image_metadata`, what describes the image and is no property of it
_OF_IMAGE = frozenset(('image_id', 'image_name', 'checksum', 'container_format', 'disk_format', 'min_disk', 'min_ram',
                       'size', 'signature_verified'))
#: of what connects a host to a volume, what a host does not need or may not keep
_NOT_KEPT = frozenset(('keyring',))


class CinderVolumes(RemoteVolumes):

    def check(self) -> None:
        service_auth.require('cinder')

    def greet(self) -> None:
        """Its attachments API is the least that we need."""
        self._get(None, '/attachments', params={'limit': 1}, errors={
            403: lambda said: _unfit(f'it refuses the service user of [cinder], who needs the roles admin and '
                                     f'service: {said}'),
            404: lambda said: _unfit(f'it knows no attachments: it is older than {MICROVERSION}, or its endpoint (in '
                                     f'the catalog, or [cinder] endpoint_override) leads elsewhere: {said}')})

    # -- what users see ------------------------------------------------------------

    def show_many(self, context: RequestContext, ids: Iterable[str]) -> dict[str, Volume]:
        found = {}
        for one in dict.fromkeys(ids):
            answer = self._look(context, f'/volumes/{one}') if uuidutils.is_uuid_like(one) else None
            if answer is not None:
                found[one] = _volume(answer['volume'])
        return _seen(context, found)

    def page(self, context: RequestContext, *, limit: int | None = None, offset: int = 0) -> list[Volume]:
        params = _window(limit, offset)
        found = {one['id']: _volume(one) for one in self._get(context, '/volumes/detail', params=params)['volumes']}
        return list(_seen(context, found).values())

    def create(self, context: RequestContext, volume: Volume) -> Volume:
        return _volume(self._create(context, {
            'size': volume.size, 'name': volume.name, 'description': volume.description,
            'metadata': volume.metadata, 'snapshot_id': volume.snapshot_id, 'volume_type': volume.volume_type}))

    def delete(self, context: RequestContext, volume_id: str) -> None:
        self._delete(context, service_auth.path('volumes', volume_id), _errors(volume=volume_id))

    # -- snapshots -----------------------------------------------------------------

    def page_snapshots(self, context: RequestContext, *, limit: int | None = None,
                       offset: int = 0) -> list[VolumeSnapshot]:
        params = _window(limit, offset)
        found = {one['id']: _snapshot(one)
                 for one in self._get(context, '/snapshots/detail', params=params)['snapshots']}
        return list(_seen(context, found).values())

    def show_snapshots(self, context: RequestContext, ids: Iterable[str]) -> dict[str, VolumeSnapshot]:
        found = {}
        for one in dict.fromkeys(ids):
            answer = self._look(context, f'/snapshots/{one}') if uuidutils.is_uuid_like(one) else None
            if answer is not None:
                found[one] = _snapshot(answer['snapshot'])
                # Whether it boots, and with which image's properties, its volume says.
                source = self.show_many(context, [found[one].volume_id]).get(found[one].volume_id)
                if source is not None:
                    found[one].bootable, found[one].image_metadata = source.bootable, source.image_metadata
        return _seen(context, found)

    def show_snapshot(self, context: RequestContext, snapshot_id: str) -> VolumeSnapshot:
        found = self.show_snapshots(context, [snapshot_id])
        if not found:
            raise exception.SnapshotNotFound(snapshot_id=snapshot_id)
        return found[snapshot_id]

    def delete_snapshot(self, context: RequestContext, snapshot_id: str) -> None:
        self._delete(context, service_auth.path('snapshots', snapshot_id), {
            **_errors(), 404: lambda said: exception.SnapshotNotFound(snapshot_id=snapshot_id)})

    def discard_snapshots(self, ids: Collection[str]) -> None:
        for one in ids:
            try:
                self._delete(None, f'/snapshots/{one}', _errors())
            except exception.NotFound:
                continue

    def create_snapshot(self, context: RequestContext, volume_id: str, *, name: str | None, description: str | None,
                        metadata: dict[str, str], force: bool) -> VolumeSnapshot:
        body = {'snapshot': {'volume_id': volume_id, 'force': force, 'name': name, 'description': description,
                             'metadata': metadata}}
        errors = {**_errors(volume=volume_id), 413: lambda said: exception.OverQuota(overs='snapshots')}
        return _snapshot(self._post(context, '/snapshots', body, errors)['snapshot'])

    def order_snapshot(self, context: RequestContext, volume_id: str, name: str, order: str) -> VolumeSnapshot:
        return self.create_snapshot(context, volume_id, name=name, description='', metadata={ORDER: order}, force=True)

    def snapshots_ordered(self, order: str, project_id: str) -> list[str]:
        return [str(one['id']) for one in self._marked('snapshots', ORDER, order, project_id)]

    # -- volumes that come with servers ------------------------------------------------

    def order(self, context: RequestContext, device: BlockDevice, zone: str | None) -> str:
        name = f'{device.instance_uuid}-blank-vol' if device.source_type == 'blank' else ''
        return str(self._create(context, {
            'size': device.volume_size, 'name': name, 'description': '', 'volume_type': device.volume_type,
            'snapshot_id': device.snapshot_id if device.source_type == 'snapshot' else None,
            'imageRef': device.image_id, 'metadata': {MARKER: str(device.uuid)},
            'availability_zone': None if CONF.cinder.cross_az_attach else zone})['id'])

    def _create(self, context: RequestContext, facts: dict[str, Any]) -> dict[str, Any]:
        body = {'volume': {name: value for name, value in facts.items() if value is not None}}
        errors = {**_errors(), 404: lambda said: exception.InvalidVolume(reason=said.message),
                  413: lambda said: exception.OverQuota(overs='volumes')}
        made: dict[str, Any] = self._post(context, '/volumes', body, errors)['volume']
        return made

    def find_ordered(self, device: BlockDevice, project_id: str) -> Volume | None:
        found = self._marked('volumes', MARKER, str(device.uuid), project_id)
        return _volume(found[0]) if found else None

    def _marked(self, what: str, name: str, value: str, project_id: str) -> list[Any]:
        """What was ordered for a project. Its owner may write its metadata, so another project's is none of ours;
        where users have no tokens to pass on (noauth2) all that they order is our service user's."""
        ours, marked = service_auth.adapter('cinder').project(), {name: value}
        owners = list(dict.fromkeys((project_id, ours))) if ours else [None]     # nobody is anybody: no Keystone at all
        found = []
        for owner in owners:
            params = {'all_tenants': 1, 'project_id': owner, 'metadata': json.dumps(marked)}
            answer = self._get(None, f'/{what}/detail', params=params)[what]
            found += [one for one in answer if (one.get('metadata') or {}).get(name) == value
                      and (owner is None or _owner(what, one) == owner)]
        return found

    def remove(self, volume_id: str) -> None:
        try:
            self._delete(None, f'/volumes/{volume_id}', _errors(volume=volume_id))
        except exception.VolumeNotFound:
            pass

    # -- attachments -----------------------------------------------------------------

    def attachments(self, instance_uuid: str) -> list[Attachment]:
        params = {'all_tenants': 1, 'instance_id': instance_uuid, 'sort': 'created_at:asc'}
        found = self._get(None, '/attachments/detail', params=params)['attachments']
        return [Attachment(one['id'], one['volume_id'], one['instance'], bool(one.get('connection_info')))
                for one in found if one.get('instance') == instance_uuid]

    def reserve_one(self, volume_id: str, instance_uuid: str,
                    connector: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        asked: dict[str, Any] = {'instance_uuid': instance_uuid, 'volume_uuid': volume_id}
        if connector:
            asked['connector'] = dict(connector)
        made = self._post(None, '/attachments', {'attachment': asked}, _errors(volume=volume_id))['attachment']
        return str(made['id']), _kept(made)

    def connect(self, attachment_id: str, connector: Mapping[str, Any]) -> dict[str, Any]:
        body = {'attachment': {'connector': dict(connector)}}
        client = service_auth.adapter('cinder')
        answer = client.put(f'/attachments/{attachment_id}', json=body, microversion=MICROVERSION,
                            errors=_errors(attachment=attachment_id))
        return _kept(client.document(answer)['attachment'])

    def complete(self, attachment_id: str) -> None:
        self._post(None, f'/attachments/{attachment_id}/action', {'os-complete': None},
                   _errors(attachment=attachment_id))

    def give_back(self, attachment_id: str) -> None:
        try:
            self._delete(None, f'/attachments/{attachment_id}', _errors(attachment=attachment_id))
        except exception.AttachmentNotFound:
            pass

    def reimage(self, volume_id: str, image_id: str) -> None:
        body = {'os-reimage': {'image_id': image_id, 'reimage_reserved': True}}
        self._post(None, f'/volumes/{volume_id}/action', body, {**_errors(volume=volume_id), 406: _too_old},
                   microversion=REIMAGE)

    def end_migration(self, volume_id: str, new_volume_id: str, *, error: bool) -> str:
        body = {'os-migrate_volume_completion': {'new_volume': new_volume_id, 'error': error}}
        return str(self._post(None, f'/volumes/{volume_id}/action', body,
                              _errors(volume=volume_id))['save_volume_id'])

    def snapshot_status(self, snapshot_id: str, status: str) -> None:
        body = {'os-update_snapshot_status': {'status': status, 'progress': '90%'}}
        self._post(None, f'/snapshots/{snapshot_id}/action', body, {
            **_errors(), 404: lambda said: exception.SnapshotNotFound(snapshot_id=snapshot_id)})

    # -- the wire --------------------------------------------------------------------

    def _get(self, context: RequestContext | None, path: str, errors: service_auth.Errors | None = None,
             **more: Any) -> dict[str, Any]:
        client = service_auth.adapter('cinder', context)
        return client.document(client.get(path, microversion=MICROVERSION, errors={**_OLD, **(errors or {})}, **more))

    def _look(self, context: RequestContext, path: str) -> dict[str, Any] | None:
        """None for what is not there, or not for this user's eyes."""
        try:
            return self._get(context, path)
        except exception.NotFound:
            return None

    def _post(self, context: RequestContext | None, path: str, body: dict[str, Any],
              errors: dict[int, Callable[[Any], Exception]], microversion: str = MICROVERSION) -> dict[str, Any]:
        client = service_auth.adapter('cinder', context)
        return client.document(client.post(path, json=body, microversion=microversion, errors={**_OLD, **errors}))

    def _delete(self, context: RequestContext | None, path: str,
                errors: dict[int, Callable[[Any], Exception]]) -> None:
        service_auth.adapter('cinder', context).delete(
            path, microversion=MICROVERSION, errors={**_OLD, **errors})


def _errors(*, volume: str | None = None, attachment: str | None = None) -> dict[int, Callable[[Any], Exception]]:
    """Cinder's refusals in our words. A 409 is a state that does not fit, as its 400 is."""
    def invalid(said: Any) -> Exception:
        return exception.InvalidVolume(reason=said.message.removeprefix('Invalid volume: '))
    made: dict[int, Callable[[Any], Exception]] = {400: invalid, 409: invalid}
    if volume is not None:
        made[404] = lambda said: exception.VolumeNotFound(volume_id=volume)
    if attachment is not None:
        made[404] = lambda said: exception.AttachmentNotFound(attachment_id=attachment)
    return made


def _unfit(reason: str) -> Exception:
    """What waits for it waits until it has been mended, as if it were away."""
    return exception.NeighbourUnavailable(service='Block Storage', reason=reason)


#: whoever asks first finds out
_OLD = {406: lambda _said: _unfit(f'it is too old: it must speak microversion {MICROVERSION}, of which the attachments '
                                  'are')}


def _too_old(_said: Any) -> Exception:
    return exception.InvalidVolume(reason=f'the volume service is too old for it: it needs microversion {REIMAGE}')


def _kept(attachment: dict[str, Any]) -> dict[str, Any]:
    said = attachment.get('connection_info') or {}
    return {name: value for name, value in said.items() if name not in _NOT_KEPT}


def _seen(context: RequestContext, found: dict[str, Any]) -> dict[str, Any]:
    """With `noauth2` it is the service user who asks, to whom Cinder shows all."""
    return {key: one for key, one in found.items()
            if context.is_admin or not one.project_id or one.project_id == context.project_id}


def _window(limit: int | None, offset: int) -> dict[str, Any]:
    said = {'limit': limit, 'offset': offset or None}
    return {'sort': 'created_at:desc', **{name: value for name, value in said.items() if value is not None}}


def _project(one: dict[str, Any]) -> str:
    return str(one.get('os-vol-tenant-attr:tenant_id') or '')


def _owner(what: str, one: dict[str, Any]) -> str:
    return _project(one) if what == 'volumes' else str(one.get('os-extended-snapshot-attributes:project_id') or '')


def _volume(one: dict[str, Any]) -> Volume:
    said = one.get('volume_image_metadata') or {}
    return Volume(
        id=one['id'], project_id=_project(one), size=int(one['size']), user_id=one.get('user_id'),
        name=one.get('name'), description=one.get('description'), status=one['status'],
        bootable=str(one.get('bootable')).lower() == 'true', made=True, multiattach=bool(one.get('multiattach')),
        volume_type=one.get('volume_type'), image_id=said.get('image_id'),
        image_metadata={name: value for name, value in said.items() if name not in _OF_IMAGE},
        metadata=one.get('metadata') or {}, created_at=_time(one.get('created_at')),
        updated_at=_time(one.get('updated_at')), snapshot_id=one.get('snapshot_id'),
        encrypted=bool(one.get('encrypted')), availability_zone=one.get('availability_zone'),
        migrating=one.get('migration_status') not in (None, 'success', 'error', 'none'),
        attachments=[VolumeAttachment(
            id=str(found.get('attachment_id') or found.get('id')), instance_uuid=str(found.get('server_id')),
            device_name=found.get('device'), host=found.get('host_name')) for found in one.get('attachments') or ()])


def _snapshot(one: dict[str, Any]) -> VolumeSnapshot:
    return VolumeSnapshot(
        id=one['id'], volume_id=one['volume_id'],
        project_id=_owner('snapshots', one), size=int(one['size']),
        name=one.get('name'), description=one.get('description'), status=one.get('status', VolumeStatus.CREATING),
        metadata=one.get('metadata') or {}, created_at=_time(one.get('created_at')),
        updated_at=_time(one.get('updated_at')))


def _time(text: str | None) -> Any:
    return timeutils.normalize_time(timeutils.parse_isotime(text)) if text else None
