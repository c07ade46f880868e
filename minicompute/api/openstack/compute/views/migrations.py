"""How moves of servers are shown: in the list of all, and below their server while they go on."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicompute.api.openstack import common
from minicompute.api.openstack.wsgi import Request
from minicompute.objects import Migration, MigrationType

#: a live migration that can be watched, and stopped
IN_PROGRESS = ('queued', 'preparing', 'running', 'post-migrating')
_HOSTS = ('source_compute', 'source_node', 'dest_compute', 'dest_node', 'dest_host')
_NUMBERS = ('memory_total', 'memory_processed', 'memory_remaining', 'disk_total', 'disk_processed', 'disk_remaining')


def index(req: Request, found: Sequence[Migration], *, hosts: bool, limit: int | None) -> dict[str, Any]:
    """`hosts`: whether the caller may know them; they are null otherwise."""
    page: dict[str, Any] = {'migrations': [_row(req, migration, hosts) for migration in found]}
    if limit is not None and found:
        links = common.next_links(req, 'os-migrations', found, found[-1].uuid, limit)
        if links:
            page['migrations_links'] = links
    return page


def _row(req: Request, migration: Migration, hosts: bool) -> dict[str, Any]:
    row = _common(req, migration, hosts)
    row.update(instance_uuid=migration.instance_uuid, old_instance_type_id=migration.old_flavor_id,
               new_instance_type_id=migration.new_flavor_id)
    if req.since('2.23'):
        row['migration_type'] = migration.migration_type
        if migration.migration_type == MigrationType.LIVE and migration.status in IN_PROGRESS:
            row['links'] = common.Links(req, f'servers/{migration.instance_uuid}/migrations')(migration.id)
    return row


def of_server(req: Request, migration: Migration, *, hosts: bool) -> dict[str, Any]:
    row = _common(req, migration, hosts)
    row['server_uuid'] = migration.instance_uuid
    row.update((f'{name}_bytes', getattr(migration, name)) for name in _NUMBERS)
    return row


def _common(req: Request, migration: Migration, hosts: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        'id': migration.id, 'status': migration.status, 'created_at': common.micro(migration.created_at),
        'updated_at': common.micro(migration.updated_at),
        **{name: getattr(migration, name) if hosts else None for name in _HOSTS}}
    if req.since('2.59'):
        row['uuid'] = migration.uuid
    if req.since('2.80'):
        row.update(user_id=migration.user_id, project_id=migration.project_id)
    return row
