"""Services and hypervisors as the API shows and changes them. Their reports are servicegroup's."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.db import watch
from minicompute.db.api import aggregates, migrations
from minicompute.db.models import allocations, compute_nodes, instances, services
from minicompute.db.session import utcnow
from minicompute.objects import ComputeNode, Service, from_primitive

_SERVICE = [services.c[name] for name in Service.__dataclass_fields__]
_NODE = [compute_nodes.c[name] for name in ComputeNode.__dataclass_fields__]
COMPUTE = 'nova-compute'
#: why the service of a host is disabled that is Nova's again: a compute of ours that is started there by mistake would
#: find guests that nobody here knows
HANDED_BACK = 'The host was handed back to Nova.'


def every(conn: sa.Connection, *, host: str | None = None, binary: str | None = None,
          disabled: bool | None = None) -> list[Service]:
    query = sa.select(*_SERVICE).order_by(services.c.id)
    for column, wanted in ((services.c.host, host), (services.c.binary, binary)):
        if wanted is not None:
            query = query.where(column == wanted)
    if disabled is not None:
        query = query.where(services.c.disabled.is_(disabled))
    return [Service(**row._mapping) for row in conn.execute(query)]


def get(conn: sa.Connection, *, uuid: str | None = None, id: int | None = None) -> Service:
    """By one of the two. Raises ServiceNotFound."""
    where = services.c.uuid == uuid if uuid is not None else services.c.id == id
    row = conn.execute(sa.select(*_SERVICE).where(where)).first()
    if row is None:
        raise exception.ServiceNotFound(service_id=uuid if uuid is not None else id)
    return Service(**row._mapping)


def find(conn: sa.Connection, host: str, binary: str) -> Service:
    """Raises HostNotFound."""
    found = every(conn, host=host, binary=binary)
    if not found:
        raise exception.HostNotFound(host=host)
    return found[0]


def handed_back(conn: sa.Connection, hosts: Iterable[str]) -> list[str]:
    """-> those of the hosts that are Nova's again."""
    return list(conn.scalars(sa.select(services.c.host).where(
        services.c.host.in_(list(hosts)), services.c.binary == COMPUTE,
        services.c.disabled_reason == HANDED_BACK).order_by(services.c.host)))


def update(conn: sa.Connection, service: Service, **changes: Any) -> Service:
    """Set columns of one service. -> it as it is now."""
    conn.execute(services.update().where(services.c.id == service.id).values(**changes, updated_at=utcnow()))
    if service.binary == COMPUTE:    # so that schedulers look again
        conn.execute(compute_nodes.update().where(compute_nodes.c.host == service.host).values(changed_at=utcnow()))
    watch.changed(conn, 'service', 'update', service.id)
    return get(conn, id=service.id)


def destroy(conn: sa.Connection, service: Service) -> None:
    """Also the hypervisors of a compute and its places in aggregates. Raises Conflict while servers live there."""
    if service.binary == COMPUTE:
        living = sa.select(instances.c.id).where(instances.c.host == service.host, instances.c.deleted == 0).limit(1)
        if conn.execute(living).first() is not None:
            raise exception.Conflict('Unable to delete compute service that is hosting instances. '
                                     'Migrate or delete the instances first.')
        if migrations.under_way(conn, [service.host]):
            raise exception.Conflict('Unable to delete compute service that has in-progress migrations. Complete the '
                                     'migrations or delete the instances first.')
        aggregates.forget_host(conn, service.host)
        conn.execute(compute_nodes.delete().where(compute_nodes.c.host == service.host))
    conn.execute(services.delete().where(services.c.id == service.id))
    watch.changed(conn, 'service', 'delete', service)


def check_evacuations(conn: sa.Connection, host: str) -> None:
    """A host whose servers were evacuated may be up again only after it has removed them. Raises Invalid."""
    if migrations.evacuated_from(conn, host):
        raise exception.Invalid(f'Unable to force up host {host} as `done` evacuation migration records remain '
                                'associated with the host. Ensure the compute service has been restarted, allowing '
                                'these records to move to `completed` before retrying this request.')


def flavors_by_project(conn: sa.Connection, host: str) -> dict[str, tuple[int, int, int]]:
    """{project: (cores, memory in MiB, disks in GiB)} of the flavors of the servers that live on `host`."""
    sums: dict[str, tuple[int, int, int]] = {}
    for project_id, document in conn.execute(sa.select(instances.c.project_id, instances.c.flavor).where(
            instances.c.host == host, instances.c.deleted == 0).order_by(instances.c.project_id, instances.c.id)):
        flavor = from_primitive(document)
        if flavor is not None:
            cores, memory, disk = sums.get(project_id, (0, 0, 0))
            sums[project_id] = (cores + flavor.vcpus, memory + flavor.memory_mb,
                                disk + flavor.root_gb + flavor.ephemeral_gb)
    return sums


# -- hypervisors -------------------------------------------------------------------

@dataclasses.dataclass(slots=True)
class Usage:
    """What servers hold of a node: the sum over its allocations, and how many servers its host has."""

    vcpus: int = 0
    memory_mb: int = 0
    disk_gb: int = 0
    servers: int = 0
    busy: int = 0


@dataclasses.dataclass(slots=True)
class Hypervisor:
    node: ComputeNode
    service: Service
    usage: Usage
    servers: list[tuple[str, str]] | None = None     # (name, uuid), where asked for


def hypervisors(conn: sa.Connection, *, limit: int | None = None, marker: str | int | None = None,
                pattern: str | None = None, uuid: str | None = None, id: int | None = None, host: str | None = None,
                usage: bool = False, servers: bool = False) -> list[Hypervisor]:
    """A page, by id, in one query and one more for each of `usage` (two) and `servers`. A marker is a uuid or an
    id. Raises MarkerNotFound."""
    query = sa.select(*_NODE, *(column.label(f's_{column.name}') for column in _SERVICE)).join(
        services, sa.and_(services.c.host == compute_nodes.c.host, services.c.binary == COMPUTE)
    ).order_by(compute_nodes.c.id)
    if pattern is not None:
        # Not escaped, as in Nova: % and _ are the caller's wildcards.
        query = query.where(compute_nodes.c.hypervisor_hostname.like(f'%{pattern}%'))
    if uuid is not None:
        query = query.where(compute_nodes.c.uuid == uuid)
    if id is not None:
        query = query.where(compute_nodes.c.id == id)
    if host is not None:
        query = query.where(compute_nodes.c.host == host)
    if marker is not None:
        query = query.where(compute_nodes.c.id > _marker_id(conn, marker))
    if limit is not None:
        query = query.limit(limit)
    found = [_hypervisor(row) for row in conn.execute(query)]
    if usage and found:
        _add_usage(conn, found)
    if servers:
        _add_servers(conn, found)
    return found


def _marker_id(conn: sa.Connection, marker: str | int) -> int:
    column = compute_nodes.c.uuid if isinstance(marker, str) else compute_nodes.c.id
    row = conn.execute(sa.select(compute_nodes.c.id).where(column == marker)).first()
    if row is None:
        raise exception.MarkerNotFound(marker=marker)
    return int(row.id)


def _hypervisor(row: Any) -> Hypervisor:
    values = row._mapping
    node = ComputeNode(**{column.name: values[column] for column in _NODE})
    service = Service(**{column.name: values[f's_{column.name}'] for column in _SERVICE})
    return Hypervisor(node, service, Usage())


def _add_usage(conn: sa.Connection, found: Sequence[Hypervisor]) -> None:
    by_id = {one.node.id: one.usage for one in found}
    held = allocations.c
    sums = sa.select(held.node_id, sa.func.sum(held.vcpus), sa.func.sum(held.memory_mb), sa.func.sum(held.disk_gb))
    for node_id, vcpus, memory_mb, disk_gb in conn.execute(
            sums.where(held.node_id.in_(list(by_id))).group_by(held.node_id)):
        usage = by_id[node_id]
        usage.vcpus, usage.memory_mb, usage.disk_gb = int(vcpus or 0), int(memory_mb or 0), int(disk_gb or 0)
    by_host: dict[str, Usage] = {one.node.host: one.usage for one in found}
    counts = sa.select(instances.c.host, sa.func.count(), sa.func.count(instances.c.task_state)).where(
        instances.c.host.in_(list(by_host)), instances.c.deleted == 0).group_by(instances.c.host)
    for host, servers, busy in conn.execute(counts):
        by_host[host].servers, by_host[host].busy = int(servers), int(busy)


def _add_servers(conn: sa.Connection, found: Iterable[Hypervisor]) -> None:
    by_host = {one.node.host: one for one in found}
    for one in by_host.values():
        one.servers = []
    query = sa.select(instances.c.host, instances.c.id, instances.c.uuid).where(
        instances.c.host.in_(list(by_host)), instances.c.deleted == 0).order_by(instances.c.id)
    for row in conn.execute(query):
        servers = by_host[row.host].servers
        assert servers is not None
        servers.append(('instance-%08x' % row.id, row.uuid))
