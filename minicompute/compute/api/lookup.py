"""What a request names: found, or refused in the words of Nova. Reads only."""
from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa

from minicompute import exception, quota
from minicompute.compute.api.request import CreateRequest
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import aggregates, flavors, instance_groups, instances, keypairs, services
from minicompute.db.group_commit import GroupCommit
from minicompute.image import base as image
from minicompute.objects import Flavor, ImageMeta, Instance, InstanceGroup, KeyPair

NO_KERNEL = 'nokernel'


@dataclasses.dataclass(slots=True)
class Found:
    """What a create names."""

    flavor: Flavor
    limits: quota.Limits
    image: ImageMeta
    kernel: ImageMeta | None = None
    ramdisk: ImageMeta | None = None
    keypair: KeyPair | None = None
    group: InstanceGroup | None = None


def instance(context: RequestContext, uuid: str) -> Instance:
    """A live server of the caller's project (an administrator: of any). Raises InstanceNotFound."""
    found = _instances.put(None, uuid)
    if found is None or not context.is_admin and found.project_id != context.project_id:
        raise exception.InstanceNotFound(instance_id=uuid)
    return found


def _read_instances(uuids: Sequence[str]) -> list[Instance | None]:
    """What is asked for at the same moment, at once."""
    with session.read() as conn:
        found = instances.get_many(conn, set(uuids))
    if len(set(uuids)) < len(uuids):    # two that ask for one server must not share the record
        return [copy.deepcopy(found.get(uuid)) for uuid in uuids]
    return [found.get(uuid) for uuid in uuids]


_instances: GroupCommit[str, Instance | None] = GroupCommit(_read_instances)


def scope(context: RequestContext) -> str | None:
    """The project that bounds what the caller finds; None for an administrator."""
    return None if context.is_admin else context.project_id or ''


def for_create(context: RequestContext, request: CreateRequest) -> Found:
    """Everything that a create needs to know. What each of them needs is read together for those of one user
    that come at the same moment."""
    key = (context.project_id, context.user_id, context.is_admin)
    basics = _basics.put(key, (context, request.flavorid, request.image_id))
    flavor = _usable(basics.flavor, request.flavorid)
    meta = _image(context, request.image_id, basics)
    keypair, group = None, None
    if request.key_name is not None or request.zone or request.host or request.node or request.hints.get('group'):
        with session.read() as conn:
            keypair = _keypair(conn, context, request.key_name)
            _check_zone(conn, request.zone)
            _check_host(conn, request)
            group = _group(conn, context, request.hints.get('group'))
    return Found(flavor, basics.limits, meta, _part(context, meta, 'kernel_id'), _part(context, meta, 'ramdisk_id'),
                 keypair, group)


@dataclasses.dataclass(slots=True, frozen=True)
class _Basics:
    """`images` is None when the image service wants to be asked for one at a time."""

    flavor: Flavor | None
    limits: quota.Limits
    images: dict[str, ImageMeta] | None


def _read_basics(asked: Sequence[tuple[RequestContext, str, str | None]]) -> list[_Basics]:
    """All that ask are the same user: what one of them may see the others may as well."""
    context = asked[0][0]
    with session.read() as conn:
        found = flavors.get_many(conn, {flavorid for _, flavorid, _ in asked}, project_id=scope(context))
        limits = quota.limits(conn, str(context.project_id), str(context.user_id))
    wanted = {image_id for _, _, image_id in asked if image_id}
    images = image.load().show_many(context, wanted) if wanted else {}
    return [_Basics(found.get(flavorid), limits, images) for _, flavorid, _ in asked]


_basics: GroupCommit[tuple[RequestContext, str, str | None], _Basics] = GroupCommit(_read_basics)


def _image(context: RequestContext, image_id: str | None, basics: _Basics) -> ImageMeta:
    if not image_id:
        return ImageMeta()
    try:
        if basics.images is None:
            return image.load().show(context, image_id)
        return copy.deepcopy(basics.images[image_id])
    except (exception.ImageNotFound, KeyError):
        raise exception.Invalid('Can not find requested image') from None


def _part(context: RequestContext, meta: ImageMeta, name: str) -> ImageMeta | None:
    """The kernel or ramdisk that an image says it boots with."""
    image_id = meta.properties.get(name)
    if not image_id or image_id == NO_KERNEL:
        return None
    try:
        return image.load().show(context, str(image_id))
    except exception.ImageNotFound:
        raise exception.Invalid(f'The {name.removesuffix("_id")} {image_id} of image {meta.id} could not '
                                'be found.') from None


def _usable(flavor: Flavor | None, flavorid: str) -> Flavor:
    if flavor is None:
        raise exception.Invalid(str(exception.FlavorNotFound(flavor_id=flavorid)))
    if flavor.disabled:
        raise exception.Invalid(f'Flavor {flavorid} could not be found.')
    return copy.copy(flavor)


def _keypair(conn: sa.Connection, context: RequestContext, name: str | None) -> KeyPair | None:
    if name is None:
        return None
    try:
        return keypairs.get(conn, str(context.user_id), name)
    except exception.KeypairNotFound:
        raise exception.Invalid('Invalid key_name provided.') from None


def _check_zone(conn: sa.Connection, zone: str | None) -> None:
    if zone is None or zone == CONF.default_availability_zone:
        return
    if zone not in aggregates.zones(conn).values():
        raise exception.Invalid('The requested availability zone is not available')


def _check_host(conn: sa.Connection, request: CreateRequest) -> None:
    """The host and hypervisor of 2.74; a host in availability_zone is the scheduler's to judge."""
    if request.host is None and request.node is None:
        return
    if request.force_host or request.force_node:
        raise exception.Invalid('Setting a host in availability_zone along with host or hypervisor_hostname '
                                'is not supported.')
    for found in services.hypervisors(conn, pattern=request.node):
        if request.host in (None, found.node.host) and request.node in (None, found.node.hypervisor_hostname):
            return
    raise exception.Invalid(str(exception.ComputeHostNotFound(host=request.host or request.node)))


def _group(conn: sa.Connection, context: RequestContext, uuid: str | None) -> InstanceGroup | None:
    if uuid is None:
        return None
    try:
        group = instance_groups.get(conn, uuid)
    except exception.InstanceGroupNotFound as error:
        raise exception.Invalid(error.message) from None
    if group.project_id != context.project_id and not context.is_admin:
        raise exception.Invalid(str(exception.InstanceGroupNotFound(group_uuid=uuid)))
    return group
