"""How hypervisors are shown."""
from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from typing import Any

from minicompute import servicegroup
from minicompute.api.openstack.wsgi import Request
from minicompute.db.api.services import Hypervisor


class View:
    """`now` is the database's clock."""

    def __init__(self, req: Request, now: datetime.datetime) -> None:
        self.now = now
        self.by_uuid = req.since('2.53')
        self.cpu_as_text = not req.since('2.28')
        self.with_capacity = not req.since('2.88')
        self.servers_always = req.since('2.75')

    def is_up(self, one: Hypervisor) -> bool:
        return servicegroup.is_up(one.service, self.now)

    def id_of(self, one: Hypervisor) -> str | int | None:
        return one.node.uuid if self.by_uuid else one.node.id

    def brief(self, one: Hypervisor) -> dict[str, Any]:
        row: dict[str, Any] = {
            'id': self.id_of(one), 'hypervisor_hostname': one.node.hypervisor_hostname,
            'state': 'up' if self.is_up(one) else 'down',
            'status': 'disabled' if one.service.disabled else 'enabled'}
        if one.servers or (self.servers_always and one.servers is not None):
            row['servers'] = [{'name': name, 'uuid': uuid} for name, uuid in one.servers]
        return row

    def full(self, one: Hypervisor) -> dict[str, Any]:
        node, service = one.node, one.service
        row = {
            **self.brief(one), 'host_ip': node.host_ip, 'hypervisor_type': node.hypervisor_type,
            'hypervisor_version': node.hypervisor_version,
            'service': {'id': service.uuid if self.by_uuid else service.id, 'host': service.host,
                        'disabled_reason': service.disabled_reason}}
        if not self.with_capacity:
            row['uptime'] = node.uptime if self.is_up(one) else None
            return row
        cpu_info = node.cpu_info or {}
        row['cpu_info'] = json.dumps(cpu_info) if self.cpu_as_text else cpu_info
        row.update(capacity(one))
        return row


def capacity(one: Hypervisor) -> dict[str, int | None]:
    """What the node has and what is used of it, the host's own share included."""
    node, usage = one.node, one.usage
    memory_used = usage.memory_mb + node.reserved_memory_mb
    disk_used = usage.disk_gb + node.reserved_disk_gb
    return {
        'vcpus': node.vcpus, 'vcpus_used': usage.vcpus,
        'memory_mb': node.memory_mb, 'memory_mb_used': memory_used, 'free_ram_mb': node.memory_mb - memory_used,
        'local_gb': node.local_gb, 'local_gb_used': disk_used, 'free_disk_gb': node.local_gb - disk_used,
        'disk_available_least': node.free_disk_least_gb, 'running_vms': usage.servers,
        'current_workload': usage.busy}


def statistics(found: Iterable[Hypervisor]) -> dict[str, int]:
    """The sums over all that are enabled."""
    sums = dict.fromkeys(
        ('count', 'vcpus', 'vcpus_used', 'memory_mb', 'memory_mb_used', 'free_ram_mb', 'local_gb', 'local_gb_used',
         'free_disk_gb', 'disk_available_least', 'running_vms', 'current_workload'), 0)
    for one in found:
        sums['count'] += 1
        for name, value in capacity(one).items():
            sums[name] += value or 0
    return sums
