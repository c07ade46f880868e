"""Evacuation: a server is made anew elsewhere, because its host is lost."""
from __future__ import annotations

import functools

import sqlalchemy as sa

from minicompute import exception, servicegroup
from minicompute.compute.api import begin
from minicompute.compute.api.live_migrate import create_migration, new_migration
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import services, undecided
from minicompute.objects import Action, Instance, Migration, MigrationStatus, MigrationType, VMState


def evacuate(context: RequestContext, instance: Instance, *, host: str | None, force: bool, shared: bool | None,
             password: str | None, stopped: bool) -> None:
    """`shared`: what the caller says of its disks; None: find out. `stopped`: it does not run afterwards, whatever
    it did before.

    Raises NotFound (the host), Invalid (it is the server's own, or the server's still reports),
    InstanceInvalidState, InstanceNotReady, ActionInProgress.
    """
    if host is not None:
        with session.read() as conn:
            if not services.every(conn, host=host, binary=services.COMPUTE):
                raise exception.NotFound(f'Compute host {host} not found.')
    if host is not None and host == instance.host:
        raise exception.Invalid("The target host can't be the same one.")
    begin.check(context, instance, 'evacuate', 'evacuate')
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    migration = new_migration(context, instance, MigrationType.EVACUATION, MigrationStatus.ACCEPTED)
    begin.flow(
        context, instance, 'evacuate', 'evacuate', 'evacuate', 'claim_destination', host_must_be_up=False,
        changes={'progress': 0}, write=functools.partial(_write, instance=instance, migration=migration),
        data={'migration': migration.uuid, 'source': {'host': instance.host, 'node': instance.node}, 'host': host,
              'force': bool(host and force), 'said_shared': shared,
              'stopped': stopped or instance.vm_state == VMState.STOPPED, 'secret': {'admin_password': password}})


def _write(conn: sa.Connection, action: Action, instance: Instance, migration: Migration) -> None:
    """Never while the host renews its lease, unless an operator has said that it is down. Nor while the other host does
    to which the guest may have gone before both were silent."""
    for host in (instance.host, undecided.other_host(conn, instance)):
        if host and not servicegroup.down_hosts(conn, {host}):
            raise exception.ComputeServiceInUse(host=host)
    create_migration(conn, action, migration)
