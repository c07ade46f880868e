"""What a request names: found, or refused in the words of Nova. Reads only."""
from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception, quota
from minicompute.compute.api import block_devices, image_mapping
from minicompute.compute.api.request import CreateRequest
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import aggregates, flavors, instance_groups, instances, keypairs, services
from minicompute.db.group_commit import GroupCommit
from minicompute.image import base as image
from minicompute.objects import Flavor, ImageMeta, Instance, InstanceGroup, KeyPair, Volume, VolumeSnapshot
from minicompute.volume import base as volume

NO_KERNEL = 'nokernel'
_PARTS = ('kernel_id', 'ramdisk_id')


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
    volumes: dict[str, Volume] = dataclasses.field(default_factory=dict)
    snapshots: dict[str, VolumeSnapshot] = dataclasses.field(default_factory=dict)
    #: the disks of the request and of the image, and the image of a root disk that none of them says
    entries: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    root_image: str | None = None
    #: what other volumes begin with
    others: dict[str, ImageMeta] = dataclasses.field(default_factory=dict)


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


@dataclasses.dataclass(slots=True, frozen=True)
class Images:
    image: ImageMeta
    kernel: ImageMeta | None = None
    ramdisk: ImageMeta | None = None


@dataclasses.dataclass(slots=True)
class Wanted:
    """A create whose names are to be looked up. `images` are there already when the image service had to be asked for
    this one alone, which is the caller's to wait for."""

    context: RequestContext
    request: CreateRequest
    images: Images | None = None
    #: likewise of a volume service
    volumes: dict[str, Volume] = dataclasses.field(default_factory=dict)
    snapshots: dict[str, VolumeSnapshot] = dataclasses.field(default_factory=dict)
    #: images of volumes that the server does not boot from
    others: dict[str, ImageMeta] = dataclasses.field(default_factory=dict)

    @property
    def image_id(self) -> str | None:
        """What the root disk begins with, wherever the request says it."""
        return block_devices.boot_image(self.request.block_devices, self.request.image_id)


def remote_images(context: RequestContext, request: CreateRequest) -> Images | None:
    """The image with what it boots with, where the image service is asked for one at a time; None where `for_creates`
    finds them."""
    backend, image_id = image.load(), block_devices.boot_image(request.block_devices, request.image_id)
    if not image_id or not backend.remote:
        return None
    try:
        found = backend.show(context, image_id)
    except exception.ImageNotFound:
        raise _no_image() from None
    except exception.Forbidden as error:
        raise exception.Invalid(str(error)) from None
    return Images(found, part(context, found, 'kernel_id'), part(context, found, 'ramdisk_id'))


def remote(context: RequestContext, request: CreateRequest) -> Wanted:
    """A create with what neighbours say of what it names: asked here, by the caller's own thread and as the caller."""
    wanted = Wanted(context, request, remote_images(context, request))
    wanted.others = _others(context, request)
    backend = volume.load()
    if not backend.remote or not (request.block_devices or wanted.image_id):
        return wanted
    meta = wanted.images.image if wanted.images is not None else None
    if meta is None and wanted.image_id:
        meta = (image.load().show_many(context, [wanted.image_id]) or {}).get(wanted.image_id)
    entries = _entries(wanted, meta)
    wanted.volumes = backend.show_many(context, block_devices.volume_ids(entries))
    wanted.snapshots = backend.show_snapshots(context, block_devices.snapshot_ids(entries))
    return wanted


def _others(context: RequestContext, request: CreateRequest) -> dict[str, ImageMeta]:
    """Those that are there for the caller."""
    found = {}
    for image_id in block_devices.image_ids(request.block_devices):
        with contextlib.suppress(exception.ImageNotFound, exception.Forbidden):
            found[image_id] = image.load().show(context, image_id)
    return found


def for_creates(wanted: Sequence[Wanted]) -> list[Found | Exception]:
    """Everything that creates of one moment need to know: what all of one user need is read once."""
    by_user: dict[Any, list[Wanted]] = defaultdict(list)
    for one in wanted:
        by_user[one.context.project_id, one.context.user_id, one.context.is_admin].append(one)
    with session.read() as conn:
        known = [_read_known(conn, some) for some in by_user.values()]
    # Of an image service an answer may take a second: no connection waits for it.
    basics = [_read_basics(some, *its) for some, its in zip(by_user.values(), known, strict=True)]
    found: dict[int, Found | Exception] = {}
    with session.read() as conn:
        for some, its in zip(by_user.values(), basics, strict=True):
            for one in some:
                try:
                    found[id(one)] = _find(conn, one, its)
                except exception.ComputeException as error:
                    found[id(one)] = error
    return [found[id(one)] for one in wanted]


@dataclasses.dataclass(slots=True, frozen=True)
class _Basics:
    flavors: dict[str, Flavor]
    limits: quota.Limits
    images: dict[str, ImageMeta]
    volumes: dict[str, Volume]
    snapshots: dict[str, VolumeSnapshot]
    #: kernels and ramdisks by image and property, or why there is none
    parts: dict[tuple[str | None, str], ImageMeta | exception.Invalid | None]


def _read_known(conn: sa.Connection, wanted: Sequence[Wanted]) -> tuple[dict[str, Flavor], quota.Limits]:
    """All that ask are the same user: what one of them may see the others may as well."""
    context = wanted[0].context
    found = flavors.get_many(conn, {one.request.flavorid for one in wanted}, project_id=scope(context))
    return found, quota.limits(conn, str(context.project_id), str(context.user_id))


def _read_basics(wanted: Sequence[Wanted], known: dict[str, Flavor], limits: quota.Limits) -> _Basics:
    context = wanted[0].context
    ids = {one.image_id for one in wanted if one.image_id and one.images is None}
    images = (image.load().show_many(context, ids) or {}) if ids else {}
    metas = [one.images.image if one.images else images.get(str(one.image_id)) for one in wanted]
    entries = [_entries(one, meta) for one, meta in zip(wanted, metas, strict=True)]
    if volume.load().remote:
        volumes = {key: one for each in wanted for key, one in each.volumes.items()}
        snapshots = {key: one for each in wanted for key, one in each.snapshots.items()}
    else:
        named = {volume_id for some in entries for volume_id in block_devices.volume_ids(some)}
        copies = {snapshot_id for some in entries for snapshot_id in block_devices.snapshot_ids(some)}
        volumes = volume.load().show_many(context, named) if named else {}
        snapshots = volume.load().show_snapshots(context, copies) if copies else {}
    parts = {(meta.id, name): _part_or_error(context, meta, name) for meta in images.values()
             for name in _PARTS if meta.properties.get(name)}
    return _Basics(known, limits, images, volumes, snapshots, parts)


def _part_or_error(context: RequestContext, meta: ImageMeta, name: str) -> ImageMeta | exception.Invalid | None:
    """Said where each create is looked at by itself."""
    try:
        return part(context, meta, name)
    except exception.Invalid as error:
        return error


def _part(basics: _Basics, meta: ImageMeta, name: str) -> ImageMeta | None:
    found = basics.parts.get((meta.id, name))
    if isinstance(found, exception.Invalid):
        raise found
    return found


def _entries(one: Wanted, meta: ImageMeta | None) -> block_devices.Entries:
    """What is wrong with those of the image is said later, where each create is looked at by itself."""
    try:
        return image_mapping.merged(one.request.block_devices, meta.properties if meta is not None else {})[0]
    except exception.InvalidBDM:
        return one.request.block_devices


def _find(conn: sa.Connection, one: Wanted, basics: _Basics) -> Found:
    context, request = one.context, one.request
    flavor = _usable(basics.flavors.get(request.flavorid), request.flavorid)
    meta = ImageMeta(properties=_said_by_root(request, basics))
    if one.image_id:
        known = one.images.image if one.images else basics.images.get(one.image_id)
        if known is None:
            raise _no_image()
        meta = copy.deepcopy(known)
    entries, has_root = image_mapping.merged(request.block_devices, meta.properties if one.image_id else {})
    keypair = _keypair(conn, context, request.key_name)
    _check_zone(conn, request.zone)
    _check_host(conn, request)
    kernel, ramdisk = (one.images.kernel, one.images.ramdisk) if one.images else (
        _part(basics, meta, 'kernel_id'), _part(basics, meta, 'ramdisk_id'))
    return Found(flavor, basics.limits, meta, kernel, ramdisk, keypair,
                 _group(conn, context, request.hints.get('group')),
                 basics.volumes, basics.snapshots, entries, None if has_root else request.image_id, one.others)


def _said_by_root(request: CreateRequest, basics: _Basics) -> dict[str, Any]:
    """The properties of the image that a boot volume, or the snapshot of one, was made from."""
    for entry in request.block_devices:
        named = str(entry.get('uuid'))
        if block_devices.is_root(entry) and (found := basics.volumes.get(named) or basics.snapshots.get(named)):
            return dict(found.image_metadata)
    return {}


def _no_image() -> exception.Invalid:
    return exception.Invalid('Can not find requested image')


def part(context: RequestContext, meta: ImageMeta, name: str) -> ImageMeta | None:
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
