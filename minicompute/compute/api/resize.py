"""Resize and cold migration, and the two ways to end them."""
from __future__ import annotations

import functools
import uuid
from typing import Any

import sqlalchemy as sa

from minicompute import exception, quota, servicegroup
from minicompute.compute.api import begin, fitting, lookup
from minicompute.compute.api.power import shutdown_timeout
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import flavors, migrations, old_moves, services
from minicompute.objects import (
    Action,
    Flavor,
    ImageMeta,
    Instance,
    Migration,
    MigrationStatus,
    MigrationType,
    to_primitive,
)


class CannotResizeToSameFlavor(exception.Invalid):
    msg_fmt = 'When resizing, instances must change flavor!'


class CannotResizeDisk(exception.Invalid):
    msg_fmt = 'Server disk was unable to be resized because: %(reason)s'


class CannotMigrateToSameHost(exception.Invalid):
    msg_fmt = 'Cannot migrate to the host where the server exists.'


class NotResized(exception.Invalid):
    msg_fmt = 'Instance has not been resized.'


class HostIsDown(exception.Conflict):
    """What Nova answers here; elsewhere this is a 503."""
    msg_fmt = 'Service is unavailable at this time.'


def resize(context: RequestContext, instance: Instance, flavorid: str, auto_disk_config: bool | None = None) -> None:
    """Raises Invalid (the flavor), TooManyInstances, InstanceIsLocked, InstanceInvalidState, HostIsDown."""
    begin.check(context, instance, 'resize', 'resize')
    flavor = _flavor(context, flavorid)
    _check_flavor(instance, flavor, flavorid)
    changes: dict[str, Any] = {'progress': 0}
    if auto_disk_config is not None:
        changes['auto_disk_config'] = fitting.auto_disk_config(_image(instance), auto_disk_config)
    ignore = [] if CONF.allow_resize_to_same_host else [instance.host]
    _begin(context, instance, 'resize', MigrationType.RESIZE, flavor, changes, ignore=ignore)


def migrate(context: RequestContext, instance: Instance, host: str | None = None) -> None:
    """Raises Invalid (the host), InstanceIsLocked, InstanceInvalidState, HostIsDown."""
    begin.check(context, instance, 'migrate', 'migrate')
    if host is not None:
        _check_host(instance, host)
    assert instance.flavor is not None
    _begin(context, instance, 'migrate', MigrationType.MIGRATION, instance.flavor, {'progress': 0},
           ignore=[instance.host], host=host)


def _begin(context: RequestContext, instance: Instance, name: str, kind: str, flavor: Flavor, changes: dict[str, Any],
           **data: Any) -> None:
    assert instance.flavor is not None
    migration = Migration(
        uuid=str(uuid.uuid4()), instance_uuid=instance.uuid, migration_type=kind, status=MigrationStatus.PRE_MIGRATING,
        source_compute=instance.host, source_node=instance.node, old_flavor_id=instance.flavor.id,
        new_flavor_id=flavor.id, user_id=context.user_id, project_id=context.project_id)
    begin.flow(
        context, instance, name, name, 'resize', 'claim_destination', changes=changes, host_must_be_up=False,
        write=functools.partial(_write, instance=instance, migration=migration, flavor=flavor),
        data={'migration': migration.uuid, 'source': {'host': instance.host, 'node': instance.node},
              'flavor': to_primitive(flavor), 'old_vm_state': instance.vm_state,
              'timeout': shutdown_timeout(instance), **data})


def _write(conn: sa.Connection, action: Action, instance: Instance, migration: Migration, flavor: Flavor) -> None:
    assert instance.flavor is not None
    _must_be_up(conn, instance.host)
    quota.check_growth(conn, instance.project_id, instance.user_id, instance.flavor, flavor)
    old_moves.let_go(conn, instance.uuid)
    migrations.create(conn, migration)


def _must_be_up(conn: sa.Connection, host: str | None) -> None:
    if servicegroup.down_hosts(conn, {str(host)}):
        raise HostIsDown


# -- what is asked for must be right -----------------------------------------------------

def _flavor(context: RequestContext, flavorid: str) -> Flavor:
    with session.read() as conn:
        found = flavors.get_many(conn, [flavorid], project_id=lookup.scope(context)).get(flavorid)
    if found is None:
        raise exception.Invalid(str(exception.FlavorNotFound(flavor_id=flavorid)))
    return found


def _check_flavor(instance: Instance, flavor: Flavor, flavorid: str) -> None:
    old = instance.flavor
    assert old is not None
    volume_backed = is_volume_backed(instance)
    if flavor.root_gb == 0 and old.root_gb != 0 and not volume_backed:
        raise CannotResizeDisk(reason='Resize to zero disk flavor is not allowed.')
    if flavor.flavorid == old.flavorid and flavor.id == old.id:
        raise CannotResizeToSameFlavor
    if flavor.disabled:
        raise exception.Invalid(str(exception.FlavorNotFound(flavor_id=flavorid)))
    image = _image(instance)
    if flavor.memory_mb < image.min_ram:
        raise exception.FlavorMemoryTooSmall
    if flavor.ephemeral_gb < old.ephemeral_gb and not _names_ephemerals(instance):
        raise CannotResizeDisk(reason=f'the ephemeral disk has {old.ephemeral_gb} GiB, the flavor only '
                                      f'{flavor.ephemeral_gb} GiB.')
    if volume_backed:
        return
    fitting.check(image, flavor, zero_disk_allowed=True)
    if flavor.root_gb < old.root_gb:
        raise CannotResizeDisk(reason=f'the disk has {old.root_gb} GiB, the flavor only {flavor.root_gb} GiB: disks '
                                      'grow and never shrink.')


def is_volume_backed(instance: Instance) -> bool:
    return any(device.boot_index == 0 and device.destination_type == 'volume' for device in instance.block_devices)


def _names_ephemerals(instance: Instance) -> bool:
    """Whether the request of the server named its ephemeral disks: these go by no flavor."""
    return any(device.source_type == 'blank' and device.destination_type == 'local' and device.boot_index != 0
               and device.guest_format != 'swap' and not device.no_device for device in instance.block_devices)


def _image(instance: Instance) -> ImageMeta:
    """What the server keeps of its image."""
    says = instance.image_properties

    def number(name: str) -> int:
        text = str(says.get(name, ''))
        return int(text) if text.isdecimal() else 0
    return ImageMeta(id=instance.image_ref or None, min_disk=number('min_disk'), min_ram=number('min_ram'),
                     properties=dict(says))


def _check_host(instance: Instance, host: str) -> None:
    if host == instance.host:
        raise CannotMigrateToSameHost
    with session.read() as conn:
        there = services.every(conn, host=host, binary=services.COMPUTE)
    if not there:
        raise exception.Invalid(str(exception.ComputeHostNotFound(host=host)))


# -- confirm and revert --------------------------------------------------------------------

def confirm(context: RequestContext, instance: Instance) -> None:
    """Raises NotResized, HostIsDown, InstanceIsLocked, InstanceInvalidState."""
    begin.check(context, instance, 'confirm_resize', 'confirmResize')
    migration = _finished(instance)
    begin.flow(context, instance, 'confirmResize', 'confirm_resize', 'confirm-resize', 'decide',
               data=migrations.ending(migration, instance), changes={'due_at': None},
               write=functools.partial(_confirming, migration=migration), host_must_be_up=False)


def revert(context: RequestContext, instance: Instance) -> None:
    """Raises NotResized, TooManyInstances, InstanceIsLocked, InstanceInvalidState, HostIsDown."""
    begin.check(context, instance, 'revert_resize', 'revertResize')
    migration = _finished(instance)
    begin.flow(context, instance, 'revertResize', 'revert_resize', 'revert-resize', 'stop_resized',
               data={**migrations.ending(migration, instance), 'timeout': shutdown_timeout(instance)},
               changes={'due_at': None}, host_must_be_up=False,
               write=functools.partial(_reverting, migration=migration, instance=instance))


def _finished(instance: Instance) -> Migration:
    with session.read() as conn:
        found = migrations.of_instance(conn, instance.uuid, [MigrationStatus.FINISHED], migrations.COLD)
    if not found or instance.old_flavor is None:
        raise NotResized
    return found[0]


def _confirming(conn: sa.Connection, action: Action, migration: Migration) -> None:
    _must_be_up(conn, migration.source_compute)
    migrations.update(conn, migration.uuid, status=MigrationStatus.CONFIRMING)


def _reverting(conn: sa.Connection, action: Action, migration: Migration, instance: Instance) -> None:
    assert instance.flavor is not None and instance.old_flavor is not None
    _must_be_up(conn, instance.host)
    _must_be_up(conn, migration.source_compute)
    quota.check_growth(conn, instance.project_id, instance.user_id, instance.flavor, instance.old_flavor)
    migrations.update(conn, migration.uuid, status=MigrationStatus.REVERTING)
