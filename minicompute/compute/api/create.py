"""A create: checks, then one transaction that counts the quota and writes the servers and their actions.

    what comes at the same moment for one project goes together:
      found = lookup (flavor, image, key, zone, group)  ->  fitting, disks, networks
      write: lock the project -> count -> servers, bdms, tags, group members -> the leader's action, the others'
    ring the leader: it claims hosts for all, so that min_count is all or nothing
"""
from __future__ import annotations

import copy
import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute import exception, quota, rpc
from minicompute.compute.api import block_devices, fitting, lookup, naming, volume_orders
from minicompute.compute.api import volumes as volumes_api
from minicompute.compute.api.request import Created, CreateRequest
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instance_groups, instances
from minicompute.db.api.block_devices import ATTACHING, ORDERING
from minicompute.db.group_commit import GroupCommit
from minicompute.network import base as network
from minicompute.objects import (
    Action,
    BlockDevice,
    Instance,
    RequestSpec,
    TaskState,
    VMState,
    to_primitive,
)
from minicompute.utils import utcnow
from minicompute.volume import base as volume

#: servers of one request where the quota sets no bound: it is one transaction, and one record names all
MOST_AT_ONCE = 10000


def create(context: RequestContext, request: CreateRequest) -> Created:
    """Accept `least` to `most` servers. Raises Invalid, Forbidden, Conflict; nothing is written then."""
    if context.ticket is not None and context.ticket.effect:
        return Created(**context.ticket.effect)     # its daemon was killed between the commit and the answer
    # What asks other services is asked here, by the caller's own thread.
    wanted = lookup.remote(context, request)
    order = _creates.put(context.project_id, (wanted, _networks_are_there(context, request)))
    rpc.outbox.put(rpc.CONDUCTOR, 'ring', order.leader)
    if order.to_make:
        volume_orders.place(context, order.to_make, order.pattern.availability_zone)
    return _created(order)


def draft(context: RequestContext, request: CreateRequest) -> Order:
    """Everything that a create finds out but whether the quotas and a host have room. Writes nothing; raises what
    `create` raises."""
    wanted = lookup.remote(context, request)
    return _prepare(wanted, lookup.for_creates([wanted])[0], _networks_are_there(context, request))


@dataclasses.dataclass(slots=True)
class Order:
    """A create that was found to be right. `uuids` are made as they are needed (`most` is any number until the
    quota is counted) and kept, so that a second try cannot write other servers."""

    context: RequestContext
    request: CreateRequest
    found: lookup.Found
    pattern: Instance
    spec: RequestSpec
    devices: list[BlockDevice]
    uuids: list[str] = dataclasses.field(default_factory=list)
    leader: int = 0
    #: what a volume service is to make for these servers, once they are in the records
    to_make: list[BlockDevice] = dataclasses.field(default_factory=list)


_Asked = tuple[lookup.Wanted, exception.ComputeException | None]


def _create_all(asked: Sequence[_Asked]) -> list[Order | Exception]:
    """Creates of one project that came at the same moment, each with its own answer."""
    prepared: list[Order | Exception] = []
    for (wanted, trouble), found in zip(asked, lookup.for_creates([wanted for wanted, _ in asked]), strict=True):
        try:
            prepared.append(_prepare(wanted, found, trouble))
        except exception.ComputeException as error:
            prepared.append(error)
    orders = [one for one in prepared if isinstance(one, Order)]
    refused: dict[int, Exception] = {}
    for order, result in zip(orders, _commit(orders) if orders else [], strict=True):
        if isinstance(result, Exception):
            refused[id(order)] = result
        else:
            order.leader = result
    return [refused.get(id(one), one) for one in prepared]


_creates: GroupCommit[_Asked, Order] = GroupCommit(_create_all)


def _prepare(wanted: lookup.Wanted, found: lookup.Found | Exception,
             trouble: exception.ComputeException | None) -> Order:
    if isinstance(found, Exception):
        raise found
    context, request = wanted.context, wanted.request
    pattern = _pattern(context, request, found)
    devices = block_devices.plan(found.entries, found.root_image, found.flavor, found.volumes,
                                 root_device_name=pattern.root_device_name, snapshots=found.snapshots,
                                 images=found.others)
    _check(request, found, devices)
    named = [found.volumes[str(one.volume_id)] for one in devices if one.source_type == 'volume']
    pattern.availability_zone = block_devices.zone_with(pattern.availability_zone, named)
    if trouble is not None:
        raise trouble
    spec = _spec(pattern, request, found)
    spec.is_volume_backed = devices[0].destination_type == 'volume'
    return Order(context, request, found, pattern, spec, devices)


def _created(order: Order) -> Created:
    return Created(order.uuids[0], str(order.pattern.reservation_id), order.pattern.auto_disk_config)


def _commit(orders: Sequence[Order], again: bool = True) -> list[int | Exception]:
    """In one transaction. -> the leaders' actions."""
    try:
        return session.write(_write, orders)
    except db_exc.DBConnectionError as error:
        return [error] * len(orders)
    except db_exc.DBDuplicateEntry as error:
        # Our first commit, whose answer was lost, got through beside the second try: the next look finds it.
        return _commit(orders, again=False) if again else [error] * len(orders)
    except Exception as error:
        if len(orders) == 1:
            return [error]
        return [result for order in orders for result in _commit([order])]


def _check(request: CreateRequest, found: lookup.Found, devices: list[BlockDevice]) -> None:
    root = devices[0]
    if root.destination_type == 'volume':
        fitting.check_volume(found.image, found.flavor, root.volume_size or 0)
    else:
        fitting.check(found.image, found.flavor, zero_disk_allowed=request.zero_disk_allowed)
    named = [found.volumes[str(device.volume_id)] for device in devices if device.source_type == 'volume']
    if not request.multiattach and any(one.multiattach for one in named):
        raise exception.Invalid('Multiattach volumes are only supported starting with compute API version 2.60.')
    if request.most > 1 and not all(one.multiattach for one in named):
        raise exception.Invalid('block_device_mapping_v2: a volume can be attached to one server only, and max_count '
                                'is more than 1')
    quota.check_metadata(found.limits, len(request.metadata))
    quota.check_files(found.limits, request.files)
    if request.hostname is not None and request.most > 1:
        raise exception.Invalid('Unable to allocate a single hostname to multiple instances')


def _networks_are_there(context: RequestContext, request: CreateRequest) -> exception.ComputeException | None:
    """What a body names and is not there is a bad request, not a bad path. Said after what else is wrong. What the
    network service made of the request stands in it from here on."""
    backend = network.load()
    try:
        accepted = backend.validate(context, request.networks, request.most)
        if accepted.count < request.least:
            return exception.QuotaError('Maximum number of ports exceeded')
        request.networks, request.most = accepted.requested, accepted.count
        if request.security_groups:
            request.security_groups = backend.find_groups(context, request.security_groups)
    except exception.NotFound as error:
        return exception.Invalid(error.message)
    return None


def _pattern(context: RequestContext, request: CreateRequest, found: lookup.Found) -> Instance:
    """What all servers of the request have in common."""
    image, keypair = found.image, found.keypair
    says = image.properties
    drive = request.config_drive or CONF.force_config_drive or says.get('img_config_drive') == 'mandatory'
    return Instance(
        uuid='', project_id=str(context.project_id), user_id=str(context.user_id),
        reservation_id=naming.reservation_id(), display_name=request.name,
        display_description=request.description, image_ref=request.image_id or '',
        kernel_id=_id(found.kernel), ramdisk_id=_id(found.ramdisk), flavor=found.flavor,
        vm_state=VMState.BUILDING, task_state=TaskState.SCHEDULING,
        availability_zone=request.zone or CONF.default_schedule_zone, config_drive=drive,
        key_name=keypair.name if keypair else None, key_data=keypair.public_key if keypair else None,
        user_data=request.user_data, root_device_name=str(says.get('root_device_name') or _root_device(says))[:255],
        access_ip_v4=request.access_ip_v4, access_ip_v6=request.access_ip_v6,
        auto_disk_config=fitting.auto_disk_config(image, request.auto_disk_config),
        metadata=request.metadata, image_properties=fitting.properties(image),
        trusted_certs=request.trusted_certs, tags=sorted(set(request.tags)))


def _id(image: Any) -> str:
    return str(image.id) if image is not None else ''


def _root_device(says: dict[str, Any]) -> str:
    return '/dev/sda' if says.get('hw_disk_bus') in ('scsi', 'sata', 'usb') else '/dev/vda'


def _spec(pattern: Instance, request: CreateRequest, found: lookup.Found) -> RequestSpec:
    image = found.image
    return RequestSpec(
        project_id=pattern.project_id, user_id=pattern.user_id, flavor=found.flavor, image_id=image.id,
        image_properties=image.properties, image_min_ram=image.min_ram, image_min_disk=image.min_disk,
        availability_zone=pattern.availability_zone, force_host=request.force_host,
        force_node=request.force_node, requested_host=request.host, requested_node=request.node,
        scheduler_hints=request.hints,
        group=found.group, requested_networks=request.networks, security_groups=request.security_groups)


def _write(conn: sa.Connection, orders: Sequence[Order]) -> list[int | Exception]:
    """-> for each order its leader's action, or why it is refused."""
    reservations = quota.Reservations(conn, orders[0].pattern.project_id)
    made: dict[int, list[Instance]] = {}
    taken: set[str] = set()
    results: list[int | Exception] = [0] * len(orders)
    before = _of_a_lost_answer(conn, orders)
    for place, order in enumerate(orders):
        if order.uuids and order.uuids[0] in before:
            results[place] = before[order.uuids[0]]
            continue
        try:
            _reserve_volumes(conn, order, taken)
            made[place] = _servers(order, reservations)
            _mark(conn, order)
            _make_volumes(conn, order, made[place])
        except exception.ComputeException as error:
            results[place] = error
            made.pop(place, None)
            _unmark(conn, order)
    good = [(orders[place], many) for place, many in made.items()]
    instances.create(conn, [(many, order.spec) for order, many in good])
    instance_groups.join(conn, {(order.found.group.id, one.uuid) for order, many in good for one in many
                                if order.found.group is not None and order.found.group.id is not None})
    groups = [_actions(order, many) for order, many in good]
    ids = actions.begin(conn, [leader for leader, _ in groups])
    actions.begin_behind(conn, groups)
    for place, action_id in zip(made, ids, strict=True):
        results[place] = action_id
    return results


def _reserve_volumes(conn: sa.Connection, order: Order, taken: set[str]) -> None:
    """`taken` are those that others in this transaction have. Raises InvalidBDM."""
    named = [device.volume_id for device in order.devices if device.source_type == 'volume' and device.volume_id]
    if not named:
        return
    try:
        if lost := taken & set(named):
            raise exception.InvalidVolume(reason=f'volume {min(lost)} is being attached to another server')
        volumes_api.reserve(conn, order.context, {one: order.found.volumes[one] for one in named})
    except (exception.InvalidVolume, exception.VolumeNotFound) as error:
        raise exception.InvalidBDM(reason=error.message) from None
    taken.update(one for one in named if not order.found.volumes[one].multiattach)


def _mark(conn: sa.Connection, order: Order) -> None:
    """What an Idempotency-Key stands for, if it came with one: others may write the order for us, so that it says
    itself whose it is. Raises Conflict when another attempt is on its way."""
    if order.context.ticket is not None:
        order.context.ticket.mark(conn, dataclasses.asdict(_created(order)))


def _unmark(conn: sa.Connection, order: Order) -> None:
    if order.context.ticket is not None and order.context.ticket.marked:
        order.context.ticket.unmark(conn)


def _make_volumes(conn: sa.Connection, order: Order, servers: list[Instance]) -> None:
    """Those that come into being with the servers."""
    order.to_make = []
    if volume.load().remote:
        order.to_make = [device for one in servers for device in one.block_devices
                         if device.destination_type == 'volume' and device.volume_id is None]
        for device in order.to_make:
            device.connection_info = {'state': ATTACHING, ORDERING: utcnow().isoformat()}
        return
    new = [block_devices.new_volume(device, one.project_id, one.user_id, one.image_properties, order.found.snapshots,
                                    order.found.others)
           for one in servers for device in one.block_devices
           if device.destination_type == 'volume' and device.volume_id is None]
    try:
        if new:
            volume.load().create_for_servers(conn, new)
    except exception.SnapshotNotFound as error:
        raise exception.InvalidBDM(reason=error.message) from None


def _of_a_lost_answer(conn: sa.Connection, orders: Sequence[Order]) -> dict[str, int]:
    """{first server: its action} of orders that were written when this ran before, and nobody heard it."""
    tried = [order.uuids[0] for order in orders if order.uuids]
    return actions.that_made(conn, tried) if tried else {}


def _servers(order: Order, reservations: quota.Reservations) -> list[Instance]:
    request, pattern = order.request, order.pattern
    count = reservations.room(pattern.user_id, order.found.limits, order.found.flavor, request.least,
                              min(request.most, max(MOST_AT_ONCE, request.least)))
    if count > MOST_AT_ONCE:
        raise exception.Invalid(f'min_count: {MOST_AT_ONCE} servers at once are the most that can be asked for')
    if order.found.group is not None:
        reservations.join(pattern.user_id, order.found.limits, order.found.group, count)
    reservations.take(pattern.user_id, order.found.flavor, count)
    order.uuids += [str(uuid.uuid4()) for _ in range(count - len(order.uuids))]
    order.spec.num_instances = count
    return [_server(pattern, request, order.devices, place, count, order.uuids[place]) for place in range(count)]


def _actions(order: Order, many: list[Instance]) -> tuple[Action, list[Action]]:
    """-> (leader, followers)."""
    data = _data(order.request, order.found)
    leader = _action(order.context, many[0], {**data, 'group': [one.uuid for one in many]})
    return leader, [_action(order.context, one, data) for one in many[1:]]


def _server(pattern: Instance, request: CreateRequest, devices: list[BlockDevice], place: int, count: int,
            new_uuid: str) -> Instance:
    one = copy.copy(pattern)
    one.uuid, one.launch_index = new_uuid, place
    one.display_name = naming.display_name(request.name, place, count)
    one.hostname = request.hostname or naming.hostname(one.display_name, one.uuid)
    one.block_devices = [copy.copy(device) for device in devices]
    return one


def _data(request: CreateRequest, found: lookup.Found) -> dict[str, Any]:
    """The small facts of the journal; what is under `secret` is wiped when the action ends."""
    image = found.image if found.image.id else None
    return {'image': to_primitive(image), 'kernel': to_primitive(found.kernel),
            'ramdisk': to_primitive(found.ramdisk),
            'secret': {'admin_password': request.admin_password, 'files': request.files}}


def _action(context: RequestContext, one: Instance, data: dict[str, Any]) -> Action:
    return Action(action='create', flow='build', step='schedule', instance_uuid=one.uuid, busy=one.uuid,
                  request_id=str(context.request_id), user_id=context.user_id, project_id=context.project_id,
                  data=data)
