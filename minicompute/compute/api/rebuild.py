"""A server is rebuilt from its image or from another one."""
from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from minicompute import exception, quota
from minicompute.compute.api import begin, fitting, lookup, root_volume
from minicompute.compute.api.power import shutdown_timeout
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import instances, keypairs
from minicompute.image import base as image
from minicompute.objects import Action, ImageMeta, Instance, to_primitive


@dataclasses.dataclass(slots=True)
class RebuildRequest:
    """`columns` are those of the server that the body changes, by their names; of `key_name` only what is said is
    changed, and None takes the key away. `reimage`: a root volume gets the image's content, too."""

    image_id: str
    admin_password: str
    columns: dict[str, Any] = dataclasses.field(default_factory=dict)
    preserve_ephemeral: bool = False
    auto_disk_config: bool | None = None
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    reimage: bool = False


def rebuild(context: RequestContext, instance: Instance, request: RebuildRequest) -> None:
    """Raises Invalid (image, key, flavor), QuotaError, InstanceIsLocked, InstanceInvalidState, InstanceNotReady,
    ActionInProgress, ServiceUnavailable."""
    begin.check(context, instance, 'rebuild', 'rebuild')
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    meta = _image(context, request.image_id)
    columns = {**request.columns, **_of_key(context, request.columns)}
    assert instance.flavor is not None
    device, root = root_volume.find(instance), None
    if device is not None:
        root = root_volume.check(context, instance, device, meta, reimage=request.reimage,
                                 trusted=columns.get('trusted_certs'))
    else:
        fitting.check(meta, instance.flavor, zero_disk_allowed=True)
    fitting.check_hardware(meta, instance.flavor)
    auto = fitting.auto_disk_config(meta, request.auto_disk_config)
    _check_quota(context, instance, request)
    kernel, ramdisk = (lookup.part(context, meta, name) for name in ('kernel_id', 'ramdisk_id'))
    of_image = {'image_ref': str(meta.id) if root is None else instance.image_ref,
                'image_properties': fitting.properties(meta),
                'kernel_id': kernel.id if kernel else '', 'ramdisk_id': ramdisk.id if ramdisk else ''}
    data = {'image': to_primitive(meta), 'kernel': to_primitive(kernel), 'ramdisk': to_primitive(ramdisk),
            'preserve_ephemeral': request.preserve_ephemeral, 'timeout': shutdown_timeout(instance),
            'new_image': meta.id != instance.image_ref if root is None else not root.same_image,
            **(root.data(request.reimage, meta) if root is not None else {}),
            'before': {'columns': {name: getattr(instance, name) for name in of_image}},
            'secret': {'admin_password': request.admin_password, 'files': request.files}}

    def write(conn: sa.Connection, action: Action) -> None:
        _change_image(conn, instance.uuid, meta, action)
    flow = 'rebuild' if root is None else 'rebuild_volume'
    begin.flow(context, instance, 'rebuild', 'rebuild', flow, 'check_host', data=data, write=write,
               changes={**columns, **of_image, 'auto_disk_config': auto, 'progress': 0})


def _image(context: RequestContext, image_id: str) -> ImageMeta:
    try:
        return image.load().show(context, image_id)
    except exception.ImageNotFound:
        raise exception.Invalid('Cannot find image for rebuild') from None


def _of_key(context: RequestContext, columns: dict[str, Any]) -> dict[str, Any]:
    """Keys belong to users: it is the caller's that is meant, whoever made the server."""
    if 'key_name' not in columns:
        return {}
    if columns['key_name'] is None:
        return {'key_data': None}
    try:
        with session.read() as conn:
            found = keypairs.get(conn, str(context.user_id), columns['key_name'])
    except exception.KeypairNotFound:
        raise exception.Invalid('Invalid key_name provided.') from None
    return {'key_name': found.name, 'key_data': found.public_key}


def _check_quota(context: RequestContext, instance: Instance, request: RebuildRequest) -> None:
    if not request.columns.get('metadata') and not request.files:
        return
    with session.read() as conn:
        limits = quota.limits(conn, instance.project_id, str(context.user_id))
    quota.check_metadata(limits, len(request.columns.get('metadata') or {}))
    quota.check_files(limits, request.files)


def _change_image(conn: sa.Connection, uuid: str, meta: ImageMeta, action: Action) -> None:
    """In the server's request and among its disks; the action keeps what they were."""
    spec = instances.specs(conn, [uuid]).get(uuid)
    if spec is not None:
        action.data['before']['spec'] = to_primitive(spec)
        spec.image_id, spec.image_properties = meta.id, meta.properties
        spec.image_min_ram, spec.image_min_disk = meta.min_ram, meta.min_disk
        instances.update(conn, uuid, {'request_spec': spec})
    instances.set_root_image(conn, uuid, meta.id)
