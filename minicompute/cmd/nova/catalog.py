"""Flavors, key pairs, quotas, aggregates, server groups, services and hypervisors.

What is there under the same identity stays as it is; when it says something else, that is told. Ids that users know, or
that other rows name, are kept.
"""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import servicegroup
from minicompute.cmd.nova.plan import Plan
from minicompute.cmd.nova.source import Source, document
from minicompute.conf.quota import DEFAULTS
from minicompute.db import models
from minicompute.db.api import quotas, services
from minicompute.utils import utcnow

COMPUTE = 'nova-compute'


def take_all(conn: sa.Connection, source: Source, plan: Plan, hosts: set[str] | None) -> None:
    _flavors(conn, source, plan)
    _keypairs(conn, source, plan)
    _quotas(conn, source, plan)
    _aggregates(conn, source, plan)
    _groups(conn, source, plan)
    _services(conn, source, plan, hosts)


def _known(conn: sa.Connection, table: sa.Table, *columns: str) -> dict[Any, Any]:
    """{what identifies a row: the row}"""
    return {tuple(row._mapping[name] for name in columns) if len(columns) > 1 else row._mapping[columns[0]]: row
            for row in conn.execute(sa.select(table))}


def _flavors(conn: sa.Connection, source: Source, plan: Plan) -> None:
    specs = source.api.grouped('flavor_extra_specs', by='flavor_id')
    access = source.api.grouped('flavor_projects', by='flavor_id')
    known = _known(conn, models.flavors, 'flavorid')
    names, ids = {row.name for row in known.values()}, {row.id for row in known.values()}
    granted = {(row.flavor_id, row.project_id) for row in conn.execute(sa.select(models.flavor_projects))}
    for row in source.api.rows('flavors'):
        found = known.get(row.flavorid)
        size = (row.memory_mb, row.vcpus, row.root_gb, row.ephemeral_gb, row.swap)
        extra = {spec.key: spec.value for spec in specs[row.id]}
        if found is not None:
            ours = (found.memory_mb, found.vcpus, found.root_gb, found.ephemeral_gb, found.swap)
            if size != ours or extra != (found.extra_specs or {}):
                plan.refuse('flavor', row.flavorid, 'another one has this id here, with another size or extra specs')
                continue
            plan.there['flavor'] += 1
        elif row.name in names:
            plan.refuse('flavor', row.flavorid, f'another one is named {row.name} here')
            continue
        elif row.id in ids:
            plan.refuse('flavor', row.flavorid, f'its number {row.id}, which migrations name, is taken here')
            continue
        else:
            plan.add('flavor', models.flavors, id=row.id, flavorid=row.flavorid, name=row.name, memory_mb=row.memory_mb,
                     vcpus=row.vcpus, root_gb=row.root_gb, ephemeral_gb=row.ephemeral_gb or 0, swap=row.swap or 0,
                     rxtx_factor=row.rxtx_factor or 1.0, is_public=bool(row.is_public), disabled=bool(row.disabled),
                     description=row.description, extra_specs=extra, created_at=row.created_at)
        flavor_id = found.id if found is not None else row.id
        for one in access[row.id]:
            if (flavor_id, one.project_id) in granted:
                plan.there['flavor access'] += 1
            else:
                plan.add('flavor access', models.flavor_projects, flavor_id=flavor_id, project_id=one.project_id)


def _keypairs(conn: sa.Connection, source: Source, plan: Plan) -> None:
    known = _known(conn, models.key_pairs, 'user_id', 'name')
    for row in source.api.rows('key_pairs'):
        found = known.get((row.user_id, row.name))
        if found is None:
            plan.add('keypair', models.key_pairs, user_id=row.user_id, name=row.name, fingerprint=row.fingerprint,
                     public_key=row.public_key, type=row.type or 'ssh', created_at=row.created_at)
        elif found.public_key.strip() != (row.public_key or '').strip():
            plan.refuse('keypair', f'{row.name} of {row.user_id}', 'another key has this name here')
        else:
            plan.there['keypair'] += 1


def _quotas(conn: sa.Connection, source: Source, plan: Plan) -> None:
    known = _known(conn, models.quotas, 'scope', 'project_id', 'user_id', 'resource')
    wanted = [(quotas.PROJECT, row.project_id, '', row) for row in source.api.rows('quotas')]
    wanted += [(quotas.USER, row.project_id, row.user_id, row) for row in source.api.rows('project_user_quotas')]
    wanted += [(quotas.CLASS, row.class_name, '', row) for row in source.api.rows('quota_classes')]
    for scope, project_id, user_id, row in wanted:
        name = ' '.join(part for part in (scope, project_id, user_id, row.resource) if part)
        found = known.get((scope, project_id, user_id, row.resource))
        if row.resource not in DEFAULTS and row.resource not in quotas.NETWORK:
            plan.refuse('quota', name, 'nothing is counted under this name here')
        elif found is None:
            plan.add('quota', models.quotas, scope=scope, project_id=project_id, user_id=user_id,
                     resource=row.resource, hard_limit=row.hard_limit)
        elif found.hard_limit != row.hard_limit:
            plan.refuse('quota', name, f'it is {found.hard_limit} here, and {row.hard_limit} there')
        else:
            plan.there['quota'] += 1


def _aggregates(conn: sa.Connection, source: Source, plan: Plan) -> None:
    hosts = source.api.grouped('aggregate_hosts', by='aggregate_id')
    metadata = source.api.grouped('aggregate_metadata', by='aggregate_id')
    known = _known(conn, models.aggregates, 'uuid')
    names, ids = {row.name for row in known.values()}, {row.id for row in known.values()}
    for row in source.api.rows('aggregates'):
        if row.uuid in known:
            plan.there['aggregate'] += 1
        elif row.name in names:
            plan.refuse('aggregate', row.name, 'another one has this name here')
        elif row.id in ids:
            plan.refuse('aggregate', row.name, f'its id {row.id} is taken here')
        else:
            plan.add('aggregate', models.aggregates, id=row.id, uuid=row.uuid, name=row.name,
                     metadata={one.key: one.value for one in metadata[row.id]}, created_at=row.created_at)
            for one in hosts[row.id]:
                plan.add('aggregate host', models.aggregate_hosts, aggregate_id=row.id, host=one.host)


def _groups(conn: sa.Connection, source: Source, plan: Plan) -> None:
    """Their members come with the servers."""
    policies = source.api.grouped('instance_group_policy', by='group_id')
    known = _known(conn, models.instance_groups, 'uuid')
    for row in source.api.rows('instance_groups'):
        if row.uuid in known:
            plan.there['server group'] += 1
        elif not policies[row.id]:
            plan.refuse('server group', row.uuid, 'it has no policy')
        else:
            policy = policies[row.id][0]
            plan.add('server group', models.instance_groups, uuid=row.uuid, name=row.name or '',
                     project_id=row.project_id, user_id=row.user_id, policy=policy.policy,
                     rules=document(policy.rules) or {}, created_at=row.created_at, updated_at=row.created_at)


def _services(conn: sa.Connection, source: Source, plan: Plan, hosts: set[str] | None) -> None:
    """Of Nova's daemons only the computes are followed by ours of the same names; the others leave."""
    known, nodes = _known(conn, models.services, 'host', 'binary'), _known(conn, models.compute_nodes, 'uuid')
    theirs = {row.host for row in source.nova.rows('services') if row.binary == COMPUTE}
    for host in sorted((hosts or set()) - theirs):
        plan.refuse('service', host, 'Nova has no compute service on this host')
    for row in source.nova.rows('services'):
        if row.binary != COMPUTE or (hosts is not None and row.host not in hosts):
            continue
        found = known.get((row.host, row.binary))
        if found is not None and found.disabled_reason != services.HANDED_BACK:
            plan.there['service'] += 1
            continue
        if found is not None:   # it comes over once more
            plan.first.append(models.services.delete().where(models.services.c.id == found.id))
        plan.add('service', models.services, uuid=row.uuid, host=row.host, binary=row.binary, topic=row.topic,
                 version=servicegroup.SERVICE_VERSION, disabled=bool(row.disabled), disabled_reason=row.disabled_reason,
                 forced_down=bool(row.forced_down), report_count=row.report_count or 0, last_seen_up=row.last_seen_up,
                 created_at=row.created_at, updated_at=utcnow())
    of_hosts = {node.host: node for node in nodes.values()}
    for row in source.nova.rows('compute_nodes'):
        if hosts is not None and row.host not in hosts:
            continue
        found = nodes.get(row.uuid)
        if found is None and row.host in of_hosts:      # two for one host would be filled twice
            plan.refuse('compute node', row.hypervisor_hostname,
                        f'its uuid is {row.uuid}, and that of host {row.host} is {of_hosts[row.host].uuid} here: stop '
                        'our compute there, delete its service, and give it the compute_id of Nova')
        elif found is None:
            plan.add('compute node', models.compute_nodes, **_node(row))
        elif found.host != row.host:
            plan.refuse('compute node', row.hypervisor_hostname, f'its uuid {row.uuid} is of host {found.host} here')
        else:
            plan.there['compute node'] += 1


def _node(row: Any) -> dict[str, Any]:
    """What its compute tells of it anew when it starts; until then this is what is claimed from."""
    return {'uuid': row.uuid, 'host': row.host, 'hypervisor_hostname': row.hypervisor_hostname,
            'hypervisor_type': row.hypervisor_type, 'hypervisor_version': row.hypervisor_version,
            'host_ip': str(row.host_ip) if row.host_ip else None, 'vcpus': row.vcpus, 'memory_mb': row.memory_mb,
            'local_gb': row.local_gb, 'reserved_vcpus': 0, 'reserved_memory_mb': 0, 'reserved_disk_gb': 0,
            'cpu_allocation_ratio': row.cpu_allocation_ratio or 1.0,
            'ram_allocation_ratio': row.ram_allocation_ratio or 1.0,
            'disk_allocation_ratio': row.disk_allocation_ratio or 1.0, 'cpu_info': document(row.cpu_info) or {},
            'supported_instances': document(row.supported_instances) or [], 'traits': [], 'capabilities': {},
            'failed_builds': 0, 'created_at': row.created_at, 'updated_at': utcnow(), 'changed_at': utcnow()}
