from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from minicompute.objects.base import record


class MigrationType:
    MIGRATION = 'migration'
    RESIZE = 'resize'
    LIVE = 'live-migration'
    EVACUATION = 'evacuation'


class MigrationStatus:
    """Nova's words; clients compare them. A resize that waits for its confirmation is `finished`."""

    QUEUED = 'queued'
    ACCEPTED = 'accepted'
    PRE_MIGRATING = 'pre-migrating'
    PREPARING = 'preparing'
    MIGRATING = 'migrating'
    POST_MIGRATING = 'post-migrating'
    RUNNING = 'running'
    FINISHED = 'finished'
    CONFIRMING = 'confirming'
    CONFIRMED = 'confirmed'
    REVERTING = 'reverting'
    REVERTED = 'reverted'
    COMPLETED = 'completed'
    DONE = 'done'
    FAILED = 'failed'
    ERROR = 'error'
    CANCELLED = 'cancelled'

    #: something of the server is, or may be, on both hosts
    LIVE = (QUEUED, ACCEPTED, PRE_MIGRATING, PREPARING, MIGRATING, POST_MIGRATING, RUNNING, FINISHED, CONFIRMING,
            REVERTING)


@record
class Migration:
    """A move of one server, from its acceptance to its end. Memory and disk numbers in bytes (a live migration's).

    `uuid` is also the consumer that holds the claim of the host where the server is not: of the destination until
    the switch, of the source afterwards.
    """

    uuid: str
    instance_uuid: str
    migration_type: str
    status: str
    id: int | None = None
    source_compute: str | None = None
    source_node: str | None = None
    dest_compute: str | None = None
    dest_node: str | None = None
    dest_host: str | None = None
    old_flavor_id: int | None = None
    new_flavor_id: int | None = None
    user_id: str | None = None
    project_id: str | None = None
    memory_total: int | None = None
    memory_processed: int | None = None
    memory_remaining: int | None = None
    disk_total: int | None = None
    disk_processed: int | None = None
    disk_remaining: int | None = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
