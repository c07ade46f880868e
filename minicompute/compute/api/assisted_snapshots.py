"""A volume service asks for the help of a server's host with a snapshot of a volume that the server uses."""
from __future__ import annotations

import sqlalchemy as sa

from minicompute.compute.api import queue
from minicompute.context import RequestContext
from minicompute.objects import Action, Instance


def create(context: RequestContext, instance: Instance, volume_id: str, snapshot_id: str, new_file: str) -> None:
    """Raises what `queue.begin` raises."""
    queue.begin(context, instance, 'volume_snapshot_create', 'assist_snapshot', 'branch_volume', 'find_volume',
                reserve=_nothing, data={'volume_id': volume_id, 'snapshot_id': snapshot_id, 'new_file': new_file})


def delete(context: RequestContext, instance: Instance, volume_id: str, snapshot_id: str, top: str | None,
           base: str | None) -> None:
    """Raises what `queue.begin` raises."""
    queue.begin(context, instance, 'volume_snapshot_delete', 'assist_snapshot', 'merge_volume', 'find_volume',
                reserve=_nothing, data={'volume_id': volume_id, 'snapshot_id': snapshot_id, 'top': top, 'base': base})


def _nothing(conn: sa.Connection, action: Action, now: Instance) -> None:
    """The service has made what is needed."""
