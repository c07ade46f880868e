"""Volumes of servers that are there: one comes, one goes, one takes the place of another.

What a request needs is reserved in the transaction that accepts it: the volume, by a block device that refers to it,
and the device's name.
"""
from __future__ import annotations

import uuid
from collections.abc import Mapping

import sqlalchemy as sa

from minicompute import exception
from minicompute.compute.api import device_names, queue
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import block_devices, instances
from minicompute.objects import Action, BlockDevice, Instance, VMState, Volume
from minicompute.volume import base as volume


def attachments(instance: Instance) -> list[BlockDevice]:
    """The volumes that a server has, is getting or is losing."""
    return [device for device in instance.block_devices
            if device.volume_id and state_of(device) != block_devices.SWAPPING]


def find(instance: Instance, volume_id: str) -> BlockDevice:
    """Raises VolumeNotAttached."""
    for device in attachments(instance):
        if device.volume_id == volume_id:
            return device
    raise exception.VolumeNotAttached(instance_uuid=instance.uuid, volume_id=volume_id[:64])


def server_of(volume_id: str) -> Instance | None:
    """Whoever asks: the server that has the volume."""
    with session.read() as conn:
        device = block_devices.of_volume(conn, volume_id)
        uuids = [str(device.instance_uuid)] if device is not None else []
        return next(iter(instances.get_many(conn, uuids).values()), None)


def state_of(device: BlockDevice) -> str:
    return str(device.connection_info.get('state', block_devices.ATTACHED))


def mapping(found: Volume, *, state: str, **facts: object) -> BlockDevice:
    """A block device of this volume, for whoever has reserved it."""
    return BlockDevice(source_type='volume', destination_type='volume', volume_id=found.id, volume_size=found.size,
                       volume_type=found.volume_type, snapshot_id=found.snapshot_id,
                       # A volume service names its attachments itself, when it is asked for them.
                       attachment_id=None if volume.load().remote else str(uuid.uuid4()),
                       connection_info=block_devices.begins(found, state), **facts)  # type: ignore[arg-type]


def reserve(conn: sa.Connection, context: RequestContext, volumes: Mapping[str, Volume], *,
            for_server: str | None = None) -> dict[str, Volume]:
    """`VolumeBackend.reserve`, and that no server of ours has them or is about to: a service hears of that only when
    the flow of the attachment runs. Raises VolumeNotFound, InvalidVolume."""
    backend = volume.load()
    found = backend.reserve(conn, context, volumes)
    for one in found.values() if backend.remote else ():
        has = {str(device.instance_uuid) for device in block_devices.all_of_volume(conn, one.id)}
        if has and (not one.multiattach or for_server in has):
            raise exception.InvalidVolume(
                reason=f'volume {one.id} is already attached to instances: {" ".join(sorted(has))}')
    return found


def check_zone(instance: Instance, found: Volume) -> None:
    """Raises InvalidVolume."""
    mine, its = instance.availability_zone or CONF.default_availability_zone, found.availability_zone
    if its is not None and its != mine and not CONF.cinder.cross_az_attach:
        raise exception.InvalidVolume(
            reason=f'Instance {instance.uuid} and volume {found.id} are not in the same availability_zone. Instance '
                   f'is in {mine}. Volume is in {its}')


def attach(context: RequestContext, instance: Instance, volume_id: str, *, device: str | None = None,
           tag: str | None = None, delete_on_termination: bool = False, multiattach: bool = True) -> BlockDevice:
    """-> the mapping, with its name; the guest sees the disk a moment later. `multiattach`: whether the caller's
    version knows of volumes that several servers have.
    Raises VolumeNotFound, InvalidVolume, DevicePathInUse, TooManyDiskDevices and what `queue.begin` raises."""
    backend = volume.load()
    shown = backend.show(context, volume_id)
    check_zone(instance, shown)
    if shown.multiattach:
        _check_shared(instance, multiattach)
    if tag and instance.vm_state == VMState.SHELVED_OFFLOADED:
        raise exception.Invalid('Tagged volume attachment is not supported for shelved-offloaded instances.')
    made: list[BlockDevice] = []

    def write(conn: sa.Connection, action: Action, now: Instance) -> None:
        found = reserve(conn, context, {volume_id: shown}, for_server=now.uuid)[volume_id]
        one = mapping(found, state=block_devices.ATTACHING, instance_uuid=now.uuid, tag=tag,
                      device_name=device_names.pick(now.root_device_name, now.block_devices, device),
                      delete_on_termination=delete_on_termination)
        block_devices.insert(conn, one)
        action.data.update(bdm=one.uuid, volume_id=volume_id)
        made[:] = [one]
    queue.begin(context, instance, 'attach_volume', 'attach_volume', 'attach_volume', 'check_volume', reserve=write)
    return made[0]


def _check_shared(instance: Instance, known: bool) -> None:
    """Raises Invalid."""
    if not known:
        raise exception.Invalid('Multiattach volumes are only supported starting with compute API version 2.60.')
    if instance.vm_state == VMState.SHELVED_OFFLOADED:
        raise exception.Invalid('Attaching multiattach volumes is not supported for shelved-offloaded instances.')


def detach(context: RequestContext, instance: Instance, volume_id: str) -> None:
    """Raises VolumeNotFound, VolumeNotAttached, Invalid for the root disk, InvalidVolume unless it is attached."""
    volume.load().show(context, volume_id)
    find(instance, volume_id)

    def reserve(conn: sa.Connection, action: Action, now: Instance) -> None:
        one = find(now, volume_id)
        if one.boot_index == 0:
            raise exception.Invalid('Cannot detach a root device volume')
        _leave(conn, one)
        action.data.update(bdm=one.uuid, volume_id=volume_id)
    try:
        queue.begin(context, instance, 'detach_volume', 'detach_volume', 'detach_volume', 'check_volume',
                    reserve=reserve)
    except exception.ServiceUnavailable as error:
        raise exception.Conflict(error.message) from None


def _leave(conn: sa.Connection, one: BlockDevice) -> None:
    if state_of(one) != block_devices.ATTACHED:
        raise exception.InvalidVolume(reason=f"volume {one.volume_id} status must be 'in-use'. Currently in "
                                             f"'{state_of(one)}' status")
    block_devices.set_state(conn, one, block_devices.DETACHING)


def swap(context: RequestContext, instance: Instance, old_id: str, new_id: str) -> None:
    """Raises VolumeNotFound for the old volume, Invalid for what is wrong with the new one, VolumeNotAttached."""
    backend = volume.load()
    old = backend.show(context, old_id)
    try:
        new = backend.show(context, new_id)
    except exception.VolumeNotFound as error:
        raise exception.Invalid(error.message) from None
    find(instance, old_id)
    if new.size < old.size:
        raise exception.InvalidVolume(reason='New volume must be the same size or larger.')

    def write(conn: sa.Connection, action: Action, now: Instance) -> None:
        one = find(now, old_id)
        found = reserve(conn, context, {new_id: new}, for_server=now.uuid)[new_id]
        other = mapping(found, state=block_devices.SWAPPING, instance_uuid=now.uuid, device_name=one.device_name)
        _leave(conn, one)
        block_devices.insert(conn, other)
        action.data.update(bdm=one.uuid, new=other.uuid, volume_id=old_id, new_volume_id=new_id)
    queue.begin(context, instance, 'swap_volume', 'swap_volume', 'swap_volume', 'check_volume', reserve=write)


def set_delete_on_termination(instance: Instance, one: BlockDevice, value: bool) -> None:
    """Raises VolumeNotAttached when it has gone meanwhile."""
    if not session.write(block_devices.update, str(one.uuid), delete_on_termination=value):
        raise exception.VolumeNotAttached(instance_uuid=instance.uuid, volume_id=one.volume_id)
