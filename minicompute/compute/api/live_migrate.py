"""Live migrations: begun, hurried, called off."""
from __future__ import annotations

import functools
import time
import uuid

import sqlalchemy as sa

from minicompute import exception
from minicompute.compute import rpcapi as compute
from minicompute.compute.api import begin, ring
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, live_migrations, migrations, old_moves, services
from minicompute.objects import (
    Action,
    ActionState,
    Instance,
    Migration,
    MigrationStatus,
    MigrationType,
)

FLOW, FIRST = 'live-migration', 'claim_destination'
#: what a caller of before 2.34 waits for, and at most how many seconds
CHECKS = (FIRST, 'check_source', 'check_destination')
PATIENCE = 60.0
POLL = 0.2
#: the microversions know two sets of statuses in which a live migration can be aborted
ABORTABLE = (MigrationStatus.RUNNING,)
ABORTABLE_QUEUED = (*ABORTABLE, MigrationStatus.ACCEPTED, MigrationStatus.QUEUED, MigrationStatus.PREPARING)


def live_migrate(context: RequestContext, instance: Instance, *, host: str | None, block: bool | None, force: bool,
                 over_commit: bool | None = None, wait: bool = False) -> None:
    """`block` None: disks are copied where hosts do not share them. `force`: the filters are not asked about `host`.
    `wait`: until both hosts have said that it can be done.

    Raises Invalid (the host is unknown; with `wait` also what the checks find), InstanceIsLocked,
    InstanceInvalidState, InstanceNotReady, ActionInProgress.
    """
    begin.check(context, instance, 'live_migrate', 'os-migrateLive')
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    if host:
        with session.read() as conn:
            if not services.every(conn, host=host, binary=services.COMPUTE):
                raise exception.Invalid(str(exception.ComputeHostNotFound(host=host)))
    migration = new_migration(context, instance, MigrationType.LIVE, MigrationStatus.ACCEPTED)
    action = begin.flow(
        context, instance, 'live-migration', 'live_migrate', FLOW, FIRST, changes={'progress': 0},
        host_must_be_up=False, write=functools.partial(create_migration, migration=migration),
        data={'migration': migration.uuid, 'source': {'host': instance.host, 'node': instance.node}, 'host': host,
              'force': bool(host and force), 'block': block, 'over_commit': over_commit})
    if wait:
        _wait_for_checks(action)


def new_migration(context: RequestContext, instance: Instance, kind: str, status: str) -> Migration:
    flavor_id = instance.flavor.id if instance.flavor else None
    return Migration(uuid=str(uuid.uuid4()), instance_uuid=instance.uuid, migration_type=kind, status=status,
                     source_compute=instance.host, source_node=instance.node, old_flavor_id=flavor_id,
                     new_flavor_id=flavor_id, user_id=context.user_id, project_id=context.project_id)


def create_migration(conn: sa.Connection, action: Action, migration: Migration) -> None:
    old_moves.let_go(conn, migration.instance_uuid)
    migrations.create(conn, migration)


def _wait_for_checks(action: Action) -> None:
    """A caller who goes away, or a conductor that takes its time, changes nothing: it ends by itself."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with session.read() as conn:
            now = actions.load(conn, [action.id or 0])[0]
        if now.state == ActionState.FAILED:
            raise exception.Invalid(now.message or 'The live migration is not possible.')
        if now.state != ActionState.UNWINDING and (now.state != ActionState.RUNNING or now.step not in CHECKS):
            return
        time.sleep(POLL)


# -- while it goes on ----------------------------------------------------------

def force_complete(context: RequestContext, instance: Instance, migration_id: str) -> None:
    """Raises InstanceIsLocked, InstanceInvalidState, Invalid (there is none, or it does not copy)."""
    begin.check(context, instance, 'force_complete', 'force_complete')
    try:
        migration = _find(instance, migration_id)
    except exception.MigrationNotFoundForInstance as error:
        raise exception.Invalid(error.message) from None
    _order(context, instance, migration, 'force_complete', 'force complete', (MigrationStatus.RUNNING,),
           'live_migration_force_complete')


def abort(context: RequestContext, instance: Instance, migration_id: str, *, queued_too: bool) -> None:
    """Raises InstanceIsLocked, InstanceInvalidState, MigrationNotFoundForInstance, InvalidMigrationState."""
    begin.check(context, instance, 'abort_live', 'abort live migration')
    _order(context, instance, _find(instance, migration_id), 'abort', 'abort live migration',
           ABORTABLE_QUEUED if queued_too else ABORTABLE, 'live_migration_cancel')


def _find(instance: Instance, migration_id: str) -> Migration:
    with session.read() as conn:
        found = migrations.one_of(conn, instance.uuid, migration_id)
    if found is None:
        raise exception.MigrationNotFoundForInstance(migration_id=migration_id[:64], instance_id=instance.uuid)
    return found


def _order(context: RequestContext, instance: Instance, migration: Migration, order: str, method: str,
           statuses: tuple[str, ...], name: str) -> None:
    """The order lies with the migration, where its flow and its host look for it; the message only hurries them."""
    def write(conn: sa.Connection) -> None:
        now = live_migrations.lock(conn, migration.uuid)
        if now is None or now.status not in statuses or now.migration_type != MigrationType.LIVE:
            raise exception.InvalidMigrationState(
                migration_id=migration.id, instance_uuid=instance.uuid, method=method,
                state=now.status if now else migration.status)
        live_migrations.order(conn, migration.uuid, order)
        actions.record(conn, ring.new_action(context, instance, name, name, ''), order)
    session.write(write)
    if migration.source_compute:
        compute.live_order(migration.source_compute, instance.uuid, order)
