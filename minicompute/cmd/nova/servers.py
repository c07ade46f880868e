"""Servers with all that belongs to them: devices, tags, groups, claims, migrations, action log.

A server is taken over as a whole or not at all, and only in a state that it stays in by itself.
"""
from __future__ import annotations

import dataclasses
import datetime
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from oslo_utils import uuidutils

from minicompute.cmd.nova import convert
from minicompute.cmd.nova.plan import Plan
from minicompute.cmd.nova.source import Database, Source
from minicompute.db import models
from minicompute.db.api import instances as db
from minicompute.objects import (
    ActionState,
    BlockDevice,
    Instance,
    MigrationStatus,
    MigrationType,
    VMState,
    to_primitive,
)
from minicompute.utils import utcnow

#: the chunks of a password that only its owner can read: the same names as ours
PASSWORD = 'password_'
#: seconds within which a compute that reported is one that runs
ALIVE = 90
STEADY = (VMState.ACTIVE, VMState.STOPPED, VMState.PAUSED, VMState.SUSPENDED, VMState.SHELVED,
          VMState.SHELVED_OFFLOADED, VMState.ERROR)
_FIRST = {VMState.RESIZED: 'its resize is not confirmed: confirm or revert it first',
          VMState.RESCUED: 'it is rescued: unrescue it first', VMState.BUILDING: 'it is being built: wait for the end',
          VMState.SOFT_DELETED: 'it is soft-deleted: restore it, or delete it for good, first'}
MOVED = ('id', 'uuid', 'instance_uuid', 'migration_type', 'status', 'source_compute', 'source_node', 'dest_compute',
         'dest_node', 'dest_host', 'user_id', 'project_id', 'memory_total', 'memory_processed', 'memory_remaining',
         'disk_total', 'disk_processed', 'disk_remaining', 'created_at', 'updated_at')


@dataclasses.dataclass(slots=True)
class Parts:
    """What Nova keeps of servers beside their rows, by the server."""

    extra: dict[str, list[Any]]
    caches: dict[str, list[Any]]
    metadata: dict[str, list[Any]]
    system_metadata: dict[str, list[Any]]
    faults: dict[str, list[Any]]
    devices: dict[str, list[Any]]
    tags: dict[str, list[Any]]
    specs: dict[str, list[Any]]
    pci: set[str]
    shares: set[str]
    left: dict[str, set[str]]       #: hosts that Nova evacuated it from, and that have not cleaned up


@dataclasses.dataclass(slots=True)
class Known:
    """What is in our records, or will be by this import."""

    servers: set[str]
    ids: set[int]
    nodes: dict[tuple[str, str], int]
    consumers: set[str]
    migrations: set[str]
    migration_ids: set[int]
    alive: set[str]


def take_all(conn: sa.Connection, source: Source, plan: Plan, hosts: set[str] | None, *, force: bool) -> None:
    rows = [row for row in source.nova.rows('instances') if hosts is None or row.host in hosts]
    known = _known(conn, source, plan, force)
    fresh = [row for row in rows if row.uuid not in known.servers]
    plan.there['server'] += len(rows) - len(fresh)
    parts = _parts(source, {row.uuid for row in fresh})
    taken = set()
    for row in fresh:
        reason = _obstacle(row, parts, known)
        if reason is None:
            _server(plan, row, parts, known)
            taken.add(row.uuid)
        else:
            plan.refuse('server', f'{row.uuid} ({row.display_name})', reason)
    for pending in source.api.rows('build_requests') if hosts is None else ():
        plan.refuse('server', pending.instance_uuid, 'it is being built: no host has it yet')
    _members(conn, source, plan, taken)
    _migrations(source, plan, taken, known)
    _actions(conn, source, plan, taken)


def _known(conn: sa.Connection, source: Source, plan: Plan, force: bool) -> Known:
    servers = conn.execute(sa.select(models.instances.c.uuid, models.instances.c.id)).all()
    theirs = {(row.host, row.hypervisor_hostname): row.uuid for row in source.nova.rows('compute_nodes')}
    ours = conn.execute(sa.select(models.compute_nodes)).all()
    nodes = {key: row.id for row in ours if theirs.get(key := (row.host, row.hypervisor_hostname)) == row.uuid}
    highest = max([0, *(row.id for row in ours)])
    for kind, _, values in plan.rows:
        if kind == 'compute node':      # its claims name it by its number
            highest += 1
            values['id'] = nodes[values['host'], values['hypervisor_hostname']] = highest
    moves = conn.execute(sa.select(models.migrations.c.uuid, models.migrations.c.id)).all()
    now = utcnow()
    alive = {row.host for row in source.nova.rows('services') if row.binary == 'nova-compute' and row.last_seen_up
             and not row.forced_down and now - row.last_seen_up < datetime.timedelta(seconds=ALIVE)}
    return Known({row.uuid for row in servers}, {row.id for row in servers}, nodes,
                 set(conn.scalars(sa.select(models.allocations.c.consumer_uuid))), {row.uuid for row in moves},
                 {row.id for row in moves}, set() if force else alive)


def _parts(source: Source, uuids: set[str]) -> Parts:
    nova = source.nova
    return Parts(
        extra=nova.grouped('instance_extra', uuids), caches=nova.grouped('instance_info_caches', uuids),
        metadata=nova.grouped('instance_metadata', uuids),
        system_metadata=nova.grouped('instance_system_metadata', uuids),
        faults=nova.grouped('instance_faults', uuids), devices=nova.grouped('block_device_mapping', uuids),
        tags=nova.grouped('tags', uuids, by='resource_id'), specs=source.api.grouped('request_specs', uuids),
        pci=set(nova.grouped('pci_devices', uuids)), shares=set(nova.grouped('share_mapping', uuids)),
        left=_left(nova, uuids))


def _left(nova: Database, uuids: set[str]) -> dict[str, set[str]]:
    """Nova's compute there removes it when it starts. A host without a compute service never comes back."""
    hosts = {row.host for row in nova.rows('services') if row.binary == 'nova-compute'}
    found: dict[str, set[str]] = defaultdict(set)
    for uuid, rows in nova.grouped('migrations', uuids).items():
        found[uuid] = {row.source_compute for row in rows if row.migration_type == MigrationType.EVACUATION
                       and row.status == MigrationStatus.DONE and row.source_compute in hosts}
    return found


def _obstacle(row: Any, parts: Parts, known: Known) -> str | None:
    """Why the server cannot be taken over; None: it can."""
    if row.task_state:
        return f'{row.task_state} is under way: wait for its end, or reset its state, first'
    if row.vm_state not in STEADY:
        return _FIRST.get(row.vm_state, f'its state is {row.vm_state}')
    if row.host and (row.host, row.node) not in known.nodes:
        return f'its host {row.host} (node {row.node}) is not taken over'
    if row.host in known.alive:
        return f'nova-compute on {row.host} still reports: stop it first, two must not have one guest'
    if behind := sorted(parts.left[row.uuid] - {row.host}):
        return (f'{", ".join(behind)}, from where it was evacuated, may have it still: start nova-compute there, which '
                'removes it, or delete that compute service if the host is gone for good')
    if row.id in known.ids:
        return f'its number {row.id}, by which its domain is named, is taken here'
    if row.uuid in known.consumers:
        return 'something is claimed in its name here'
    extra = parts.extra[row.uuid][0] if parts.extra[row.uuid] else None
    flavor = convert.flavors(extra.flavor)[0] if extra is not None else None
    if extra is None or flavor is None:
        return 'its flavor is not in its record'
    if refused := convert.cannot_start(flavor, convert.image_properties(
            {item.key: item.value for item in parts.system_metadata[row.uuid]})):
        return f'it could not be started here: {refused}'
    if row.uuid in parts.shares:
        return 'it has shares of Manila'
    devices = 'PCI devices' if row.uuid in parts.pci else convert.needs_devices(
        extra.numa_topology, extra.pci_requests, extra.resources)
    if devices:
        return f'it has {devices}'
    if any(device.source_type == 'blank' and device.destination_type == 'local' and device.boot_index != 0
           for device in parts.devices[row.uuid]):
        return ('it has an ephemeral or swap disk, which Nova keeps as qcow2 and we as raw: it stays with Nova, or is '
                'made anew here from a snapshot, and what is on those disks copied')
    if any(getattr(device, 'encrypted', None) for device in parts.devices[row.uuid]):
        return 'it has encrypted disks'
    return None


def _server(plan: Plan, row: Any, parts: Parts, known: Known) -> None:
    one = _instance(row, parts)
    one.block_devices = [_device(device) for device in parts.devices[row.uuid]]
    spec = convert.request_spec(parts.specs[row.uuid][0].spec if parts.specs[row.uuid] else None, row,
                                one.flavor, one.image_properties)   # type: ignore[arg-type]
    root = next((device for device in one.block_devices if device.boot_index == 0), None)
    spec.is_volume_backed = root is not None and root.destination_type == 'volume'
    plan.add('server', models.instances, **db.to_columns(one), id=row.id, deleted=0, request_spec=to_primitive(spec))
    for device in one.block_devices:
        plan.add('block device', models.block_device_mappings,
                 **{name: getattr(device, name) for name in db._BDM if name != 'id'}, created_at=row.created_at)
    for tag in parts.tags[row.uuid]:
        plan.add('tag', models.tags, resource_id=row.uuid, tag=tag.tag)
    if row.host:
        needs = spec.resources()
        plan.add('allocation', models.allocations, consumer_uuid=row.uuid, instance_uuid=row.uuid,
                 node_id=known.nodes[row.host, row.node], vcpus=needs['VCPU'], memory_mb=needs['MEMORY_MB'],
                 disk_gb=needs['DISK_GB'], created_at=utcnow())


def _instance(row: Any, parts: Parts) -> Instance:
    extra = parts.extra[row.uuid][0]
    flavor, old = convert.flavors(extra.flavor)
    kept = {item.key: item.value for item in parts.system_metadata[row.uuid]}
    caches, faults = parts.caches[row.uuid], parts.faults[row.uuid]
    return Instance(
        uuid=row.uuid, project_id=row.project_id, user_id=row.user_id, reservation_id=row.reservation_id,
        launch_index=row.launch_index or 0, display_name=row.display_name, hostname=row.hostname,
        display_description=row.display_description, image_ref=row.image_ref or '', kernel_id=row.kernel_id or '',
        ramdisk_id=row.ramdisk_id or '', flavor=flavor, old_flavor=old, vm_state=row.vm_state, task_state=None,
        power_state=row.power_state or 0, progress=row.progress or 0, host=row.host, node=row.node,
        availability_zone=row.availability_zone, key_name=row.key_name, key_data=row.key_data,
        user_data=row.user_data, config_drive=bool(row.config_drive), root_device_name=row.root_device_name,
        access_ip_v4=_text(row.access_ip_v4), access_ip_v6=_text(row.access_ip_v6),
        auto_disk_config=bool(row.auto_disk_config), locked=bool(row.locked), locked_by=row.locked_by,
        locked_reason=kept.get('locked_reason'),
        metadata={item.key: item.value for item in parts.metadata[row.uuid]},
        image_properties=convert.image_properties(kept),
        network_info=convert.cards(caches[0].network_info) if caches else [],
        fault=_fault(faults[-1]) if faults and row.vm_state == VMState.ERROR else None,
        trusted_certs=convert.trusted_certs(extra.trusted_certs), created_at=row.created_at,
        updated_at=row.updated_at or row.created_at, launched_at=row.launched_at, terminated_at=row.terminated_at,
        system_metadata={name: value for name, value in kept.items() if name in convert.KEPT
                         or name.startswith(PASSWORD)})


def _text(value: Any) -> str | None:
    return str(value) if value else None


def _fault(row: Any) -> dict[str, Any]:
    said = row.message or ''
    return {'code': row.code, 'message': said[:255], 'details': (row.details or said)[:8000],
            'created': row.created_at.isoformat() if row.created_at else utcnow().isoformat()}


def _device(row: Any) -> BlockDevice:
    said: dict[str, Any] = {'state': 'attached', 'made': True, **convert.connection(
        row.connection_info)} if row.volume_id else {}
    return BlockDevice(
        source_type=row.source_type, destination_type=row.destination_type, instance_uuid=row.instance_uuid,
        uuid=row.uuid or uuidutils.generate_uuid(), boot_index=row.boot_index, device_name=row.device_name,
        device_type=row.device_type, disk_bus=row.disk_bus, guest_format=row.guest_format,
        volume_size=row.volume_size, volume_type=row.volume_type, image_id=row.image_id, volume_id=row.volume_id,
        snapshot_id=row.snapshot_id, attachment_id=row.attachment_id, connection_info=said,
        delete_on_termination=bool(row.delete_on_termination), no_device=bool(row.no_device), tag=row.tag)


# -- beside the servers -----------------------------------------------------------------

def _members(conn: sa.Connection, source: Source, plan: Plan, taken: set[str]) -> None:
    groups = {row.uuid: row.id for row in conn.execute(sa.select(models.instance_groups))}
    highest = max([0, *groups.values()])
    for kind, _, values in plan.rows:
        if kind == 'server group':
            highest += 1
            values['id'] = groups[values['uuid']] = highest
    uuids = {row.id: row.uuid for row in source.api.rows('instance_groups')}
    for row in source.api.rows('instance_group_member'):
        group = groups.get(uuids.get(row.group_id, ''))
        if row.instance_uuid in taken and group is not None:
            plan.add('group member', models.instance_group_members, group_id=group, instance_uuid=row.instance_uuid)


def _migrations(source: Source, plan: Plan, taken: set[str], known: Known) -> None:
    """What is over."""
    rows = source.nova.rows('migrations', taken)
    highest = max([0, *known.migration_ids, *(row.id for row in rows)])
    for row in rows:
        if row.uuid in known.migrations:
            plan.there['migration'] += 1
        elif row.status in MigrationStatus.LIVE:
            plan.refuse('migration', f'{row.uuid} of {row.instance_uuid}', f'its status is {row.status}: it is no end')
        else:
            values = {name: getattr(row, name) for name in MOVED}
            if row.id in known.migration_ids:
                values['id'] = highest = highest + 1
            plan.add('migration', models.migrations, **values, data=None, old_flavor_id=row.old_instance_type_id,
                     new_flavor_id=row.new_instance_type_id)


def _actions(conn: sa.Connection, source: Source, plan: Plan, taken: set[str]) -> None:
    """The log, with numbers behind ours. What did not end in Nova has ended now."""
    last = int(conn.execute(sa.select(sa.func.max(models.instance_actions.c.id))).scalar() or 0)
    numbers: dict[int, int] = {}
    for row in source.nova.rows('instance_actions', taken):
        numbers[row.id] = last = last + 1
        plan.add('action', models.instance_actions, id=last, action=row.action, flow='nova', request_id=row.request_id,
                 instance_uuid=row.instance_uuid, user_id=row.user_id, project_id=row.project_id, step=None, data=None,
                 state=ActionState.FAILED if row.message else ActionState.DONE, busy=None, generation=0, cancel=False,
                 attempts=0, message=row.message, start_time=row.start_time,
                 finish_time=row.finish_time or row.updated_at or row.start_time,
                 updated_at=row.updated_at or row.start_time)
    for event in source.nova.rows('instance_actions_events', numbers, by='action_id'):
        plan.add('action event', models.instance_actions_events, action_id=numbers[event.action_id],
                 event=event.event, start_time=event.start_time, finish_time=event.finish_time, result=event.result,
                 traceback=event.traceback, host=event.host, details=event.details)
