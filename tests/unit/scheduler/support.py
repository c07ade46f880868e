"""Hosts and requests for the tests of the scheduler."""
from __future__ import annotations

import uuid
from typing import Any

from minicompute.db import models, session
from minicompute.db.api import compute_nodes, instance_groups
from minicompute.db.api.allocations import Group, Usage
from minicompute.objects import ComputeNode, Flavor, InstanceGroup, RequestSpec
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.picker import Picker
from minicompute.scheduler.request import GroupState, Request, parse


def node(host: str, **values: Any) -> ComputeNode:
    facts = {'vcpus': 8, 'memory_mb': 8192, 'local_gb': 100, 'hypervisor_version': 7002000,
             'supported_instances': [['x86_64', 'kvm', 'hvm']], **values}
    return ComputeNode(host=host, hypervisor_hostname=host, uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, host)), **facts)


def table(*nodes: ComputeNode, usage: dict[str, Usage] | None = None,
          aggregates: dict[str, list[dict[str, str]]] | None = None) -> HostTable:
    """Hosts that are up; `aggregates`: host -> the metadata of each of its aggregates."""
    made = HostTable()
    for number, one in enumerate(nodes, 1):
        one.id = number
    made.put(list(nodes), {one.id: (usage or {})[one.host] for one in nodes
                           if one.id is not None and one.host in (usage or {})})
    made.set_services({one.host for one in nodes}, set(), set())
    numbers: dict[str, int] = {}
    made.set_aggregates({
        host: tuple((numbers.setdefault(str(sorted(metadata.items())), len(numbers)), metadata) for metadata in many)
        for host, many in (aggregates or {}).items()})
    return made


def flavor(**values: Any) -> Flavor:
    return Flavor(**{'flavorid': '1', 'name': 'f', 'memory_mb': 1024, 'vcpus': 1, 'root_gb': 10, **values})


def entry(count: int = 1, *, key: Any = 'k', dry_run: bool = False, uuids: list[str] | None = None,
          extra_specs: dict[str, str] | None = None, size: Flavor | None = None, **spec: Any) -> dict[str, Any]:
    """One entry of select_destinations."""
    size = size or flavor()
    size.extra_specs = extra_specs or size.extra_specs
    return {'key': key, 'dry_run': dry_run, 'instance_uuids': uuids or [str(uuid.uuid4()) for _ in range(count)],
            'spec': RequestSpec('project', 'user', flavor=size, num_instances=count, **spec)}


def request(**values: Any) -> Request:
    """Ready for a picker: placing its first server."""
    made = parse(entry(**values))
    made.placing = made.uuids[0]
    return made


def group(policy: str, holders: list[tuple[str, str]], most: int = 1) -> GroupState:
    return GroupState(Group(1, policy, most), holders)


def passing(hosts: HostTable, asked: Request) -> set[str]:
    """The hosts that the enabled filters leave."""
    from minicompute.scheduler.funnel import Funnel
    mask = Picker(hosts)._allowed(asked, Funnel(len(hosts)))
    return {hosts.hosts[row] for row in mask.nonzero()[0]}


# -- in the database -----------------------------------------------------------

def store(*nodes: ComputeNode, serving: bool = True) -> dict[str, int]:
    """Write nodes and their services. -> host: node id."""
    def write(conn: Any) -> dict[str, int]:
        now = session.now(conn)
        ids = {one.host: compute_nodes.upsert(conn, one) for one in nodes}
        if serving:
            conn.execute(models.services.insert(), [
                {'uuid': str(uuid.uuid4()), 'host': one.host, 'binary': compute_nodes.COMPUTE, 'version': 1,
                 'disabled': False, 'forced_down': False, 'report_count': 1, 'last_seen_up': now} for one in nodes])
        return ids
    return session.write(write)


def store_group(policy: str, members: list[str], **rules: Any) -> InstanceGroup:
    return session.write(instance_groups.create, InstanceGroup(
        uuid='', name='g', project_id='project', user_id='user', policy=policy, rules=rules, members=members))


def store_servers(*uuids: str, **values: Any) -> None:
    session.write(lambda conn: conn.execute(models.instances.insert(), [
        {'uuid': one, 'project_id': 'project', 'user_id': 'user', 'vm_state': 'building', **values} for one in uuids]))


def claims() -> list[tuple[str, str]]:
    """(consumer, host) of all claims."""
    with session.read() as conn:
        rows = conn.execute(models.allocations.select().join(
            models.compute_nodes, models.compute_nodes.c.id == models.allocations.c.node_id).add_columns(
            models.compute_nodes.c.host))
        return [(row.consumer_uuid, row.host) for row in rows]


def wipe() -> None:
    def clear(conn: Any) -> None:
        for one in (models.allocations, models.instance_group_members, models.instance_groups, models.instances,
                    models.aggregate_hosts, models.aggregates, models.compute_nodes, models.services):
            conn.execute(one.delete())
    session.write(clear)
