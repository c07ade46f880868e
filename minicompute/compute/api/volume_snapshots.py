"""Snapshots of local volumes that their owners ask for."""
from __future__ import annotations

import uuid

import sqlalchemy as sa

from minicompute import exception
from minicompute.compute.api import external_events, queue, volumes
from minicompute.conductor import rpcapi as conductor
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.objects import Action, Instance, VolumeSnapshot, VolumeStatus
from minicompute.volume import base as volume


def create(context: RequestContext, volume_id: str, *, name: str | None, description: str | None,
           metadata: dict[str, str] | None = None, force: bool = False) -> VolumeSnapshot:
    """-> the snapshot, `creating`. `force`: also while a server has the volume. Raises VolumeNotFound, InvalidVolume,
    OverQuota, and what `queue.begin` raises."""
    backend = volume.load()
    if CONF.volume_backend != 'local':
        return backend.create_snapshot(context, volume_id, name=name, description=description,
                                       metadata=metadata or {}, force=force)
    found = backend.show(context, volume_id)
    made = VolumeSnapshot(
        id=str(uuid.uuid4()), volume_id=found.id, project_id=found.project_id, size=found.size,
        user_id=context.user_id, name=name, description=description, bootable=found.bootable,
        image_metadata=found.image_metadata, metadata=metadata or {})
    if found.shown_status == VolumeStatus.IN_USE:
        _of_server(context, made, force)
    else:
        session.write(lambda conn: backend.reserve_copy(conn, context, made))   # type: ignore[attr-defined]
        conductor.copy_volumes()
    return backend.show_snapshot(context, made.id)


def _of_server(context: RequestContext, made: VolumeSnapshot, force: bool) -> None:
    server = volumes.server_of(made.volume_id)
    if not force:
        raise exception.InvalidVolume(reason=f'Volume {made.volume_id} status must be available to be snapshotted, and '
                                             "is 'in-use'; force says that it may be")
    if server is None:      # it has gone since we looked
        raise exception.InvalidVolume(reason=f'Volume {made.volume_id} has just been detached')
    if not server.host:
        raise exception.InvalidVolume(reason=f'Volume {made.volume_id} belongs to a server that is on no host: '
                                             'unshelve the server or detach the volume')

    def reserve(conn: sa.Connection, action: Action, now: Instance) -> None:
        one = volumes.find(now, made.volume_id)
        made.size = one.volume_size or made.size
        volume.load().reserve_snapshots(conn, [made])
        action.data.update(volume_id=made.volume_id, snapshot_id=made.id)
    try:
        queue.begin(external_events.as_operator(context), server, 'snapshot_volume', 'snapshot_volume',
                    'snapshot_volume', 'check_device', reserve=reserve)
    except (exception.InstanceInvalidState, exception.VolumeNotAttached) as error:
        raise exception.InvalidVolume(reason=error.message) from None
