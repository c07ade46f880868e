"""Images of servers: what they are called and say of themselves, and how their making begins."""
from __future__ import annotations

import contextlib
import datetime
import functools
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception, utils
from minicompute.compute.api import begin, image_mapping
from minicompute.context import RequestContext, admin_context
from minicompute.db import session
from minicompute.db.api import instances, owed
from minicompute.image import base as image
from minicompute.objects import Action, ImageMeta, Instance, Volume
from minicompute.volume import base as volume
from minicompute.volume import remote

LOG = logging.getLogger(__name__)

#: of the image that a server was made from, what one made from the server does not have
_OF_THE_FILE = frozenset(('container_format', 'disk_format', 'min_disk', 'min_ram'))
_NOT_INHERITED = frozenset((
    'cache_in_nova', 'bittorrent', 'cinder_encryption_key_id', 'cinder_encryption_key_deletion_policy',
    'img_signature', 'img_signature_hash_method', 'img_signature_key_type', 'img_signature_certificate_uuid',
    'instance_owner'))
SNAPSHOT, BACKUP = 'snapshot', 'backup'
LONGEST_NAME = 255
#: for so long an api may be at it to begin an action; an image without one is older
PATIENCE = datetime.timedelta(minutes=10)
#: what ends the debt of what was ordered for an action, in its transaction
Used = Callable[[sa.Connection], object]


def create_image(context: RequestContext, instance: Instance, name: str, metadata: dict[str, str]) -> str:
    """-> the id of the image, which is there at once and active later. Of a server whose disk is a volume it has no
    data, but names snapshots of all its volumes.

    Raises InstanceInvalidState, ActionInProgress, ServiceUnavailable, OverQuota.
    """
    if is_volume_backed(instance):
        return _begin_volumes(context, instance, name, metadata)
    return _begin(context, instance, name, SNAPSHOT, metadata, {})


def create_backup(context: RequestContext, instance: Instance, name: str, backup_type: str, rotation: int,
                  metadata: dict[str, str]) -> str:
    """The same; when it is active only the `rotation` newest backups of this type stay. Raises Invalid for a server
    whose disk is a volume."""
    if is_volume_backed(instance):
        raise exception.Invalid('Backup is not supported for volume-backed instances.')
    return _begin(context, instance, name, BACKUP, {**metadata, 'backup_type': backup_type},
                  {'backup_type': backup_type, 'rotation': rotation})


def _begin(context: RequestContext, instance: Instance, name: str, kind: str, properties: dict[str, str],
           data: dict[str, Any]) -> str:
    rule, called = (BACKUP, 'createBackup') if kind == BACKUP else (SNAPSHOT, 'createImage')
    begin.check(context, instance, rule, called, locked_too=True)
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    meta = describe(context, instance, name, kind, properties)
    with reserved(context, instance, meta) as write:
        begin.flow(context, instance, called, rule, 'snapshot', 'reserve_image', locked_too=True, write=write,
                   data={**data, 'image_id': meta.id})
    return str(meta.id)


def _begin_volumes(context: RequestContext, instance: Instance, name: str, properties: dict[str, str]) -> str:
    begin.check(context, instance, 'snapshot', 'createImage', locked_too=True)
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    backend = volume.load()
    devices = [device for device in instance.block_devices if device.volume_id]
    found = backend.show_many(admin_context(), [str(device.volume_id) for device in devices])
    meta = describe(context, instance, name, SNAPSHOT, properties)
    with _copies(context, instance, found, meta.name or '') as (copies, used):
        return _begin_copies(context, instance, meta, found, copies, used)


@contextlib.contextmanager
def _copies(context: RequestContext, instance: Instance,
            found: Mapping[str, Volume], name: str) -> Iterator[tuple[dict[str, str], Used]]:
    """({volume: the snapshot of it}, what the action's transaction has to call). Of a volume service they are ordered
    here, as the user who asks, and owed until an action has them: none is deleted while it is being made, and this
    daemon may die."""
    service, copies = remote.load(), {}
    if service is None:
        yield {volume_id: str(uuid.uuid4()) for volume_id in found}, lambda conn: None
        return
    order, said = str(uuid.uuid4()), {'project': str(context.project_id)}
    debt, until = f'copies {order}', (utils.utcnow() + PATIENCE).isoformat()
    owe = functools.partial(owed.add_debt, service='cinder', instance_uuid=instance.uuid, verb=debt,
                            reason='they were never used')

    def not_used(conn: sa.Connection) -> None:
        if owed.settle_debt(conn, 'cinder', debt):      # else an action has them
            owe(conn, data=said)
    session.write(owe, data={**said, 'not_before': until})
    try:
        for volume_id in found:
            copies[volume_id] = service.order_snapshot(context, volume_id, f'snapshot for {name}'[:255], order).id
        yield copies, functools.partial(owed.settle_debt, service='cinder', verb=debt)
    except exception.NeighbourUnavailable:
        raise       # nobody knows whether it was heard: what comes late is found when the time is up
    except BaseException:
        session.write(not_used)
        raise


def _begin_copies(context: RequestContext, instance: Instance, meta: ImageMeta, found: Mapping[str, Volume],
                  copies: dict[str, str], used: Used) -> str:
    backend = volume.load()
    meta.properties.update(image_mapping.write(instance.block_devices, copies, instance.root_device_name))
    new = [image_mapping.of_volume(copies[volume_id], one, meta.name or '') for volume_id, one in found.items()]

    with reserved(context, instance, meta) as insert:
        def write(conn: sa.Connection, action: Action) -> None:
            now = {device.volume_id for device in instances.get(conn, instance.uuid).block_devices if device.volume_id}
            if now != set(copies):
                raise exception.ActionInProgress(method='createImage', instance_uuid=instance.uuid)
            backend.reserve_snapshots(conn, new)
            used(conn)
            insert(conn, action)
        begin.flow(context, instance, 'createImage', 'snapshot', 'snapshot_volumes', 'reserve_image', locked_too=True,
                   write=write, data={'image_id': meta.id, 'copies': copies})
    return str(meta.id)


@contextlib.contextmanager
def reserved(context: RequestContext, instance: Instance, meta: ImageMeta) -> Iterator[begin.Write]:
    """`with reserved(context, instance, meta) as write:` begins an action that will bring the image's data. `write`
    makes the image in the action's transaction; an image service of its own has it before, and is told when the action
    is refused: by whoever finds the debt, should this api die in between."""
    backend, debt = image.load(), f'image {meta.id}'
    if backend.remote:
        until = (utils.utcnow() + PATIENCE).isoformat()
        session.write(owed.add_debt, 'glance', instance.uuid, debt, {'not_before': until}, 'it was never used')
    try:
        insert = backend.reserve(context, meta)
    except exception.NeighbourUnavailable:
        raise       # nobody knows whether it was heard
    except BaseException:
        if backend.remote:      # it may be there: what was refused may have been what follows its making
            _take_back(backend, meta, debt)
        raise

    def write(conn: sa.Connection, action: Action) -> None:
        if insert is not None:
            insert(conn)
        if backend.remote:
            owed.settle_debt(conn, 'glance', debt)
    try:
        yield write
    except BaseException:
        if backend.remote:
            _take_back(backend, meta, debt)
        raise


def _take_back(backend: image.ImageBackend, meta: ImageMeta, debt: str) -> None:
    """What keeps us from it is not what the user is to be told: the debt stays."""
    try:
        backend.discard(str(meta.id))
    except exception.ComputeException as error:
        LOG.warning('Image %s, which is not to be, is deleted later: %s', meta.id, error)
    else:
        session.write(owed.settle_debt, 'glance', debt)


def describe(context: RequestContext, instance: Instance, name: str, kind: str,
             properties: dict[str, str]) -> ImageMeta:
    """The new image: what the server's own image said, what this one is, and what its maker adds."""
    kept = {key: value for key, value in instance.image_properties.items()
            if key not in _NOT_INHERITED | _OF_THE_FILE and not key.startswith('os_glance')}
    made: dict[str, Any] = {
        'base_image_ref': instance.image_ref, 'instance_uuid': instance.uuid, 'user_id': str(context.user_id),
        'image_type': kind, 'image_location': 'snapshot', 'image_state': 'available',
        'owner_id': str(context.project_id)}
    for field in ('kernel_id', 'ramdisk_id'):
        if value := getattr(instance, field):
            made[field] = value
    visibility = 'private'
    if context.project_id != instance.project_id:
        visibility, made['instance_owner'] = 'shared', instance.project_id
    flavor = instance.flavor
    return ImageMeta(
        id=str(uuid.uuid4()), name=name[:LONGEST_NAME], visibility=visibility, owner=context.project_id,
        min_disk=(flavor.root_gb if flavor else 0) or _number(instance, 'min_disk'),
        min_ram=_number(instance, 'min_ram'), properties={**kept, **made, **properties})


def _number(instance: Instance, name: str) -> int:
    said = str(instance.image_properties.get(name) or '')
    return int(said) if said.isdecimal() else 0


def is_volume_backed(instance: Instance) -> bool:
    return any(device.boot_index == 0 and device.destination_type == 'volume' for device in instance.block_devices)
