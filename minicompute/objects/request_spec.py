from __future__ import annotations

import dataclasses
from typing import Any

from minicompute.objects.base import record
from minicompute.objects.flavor import Flavor


@record
class InstanceGroup:
    """A server group. `policy`: affinity, anti-affinity, soft-affinity, soft-anti-affinity."""

    uuid: str
    name: str
    project_id: str
    user_id: str
    policy: str = 'anti-affinity'
    id: int | None = None
    rules: dict[str, Any] = dataclasses.field(default_factory=dict)
    members: list[str] = dataclasses.field(default_factory=list)
    hosts: list[str] = dataclasses.field(default_factory=list)


@record
class RequestSpec:
    """What a server asks of the scheduler. One spec stands for `num_instances` servers."""

    project_id: str
    user_id: str
    flavor: Flavor | None = None
    num_instances: int = 1
    image_id: str | None = None
    image_properties: dict[str, Any] = dataclasses.field(default_factory=dict)
    image_min_ram: int = 0
    image_min_disk: int = 0
    availability_zone: str | None = None
    #: host[:node] forced by AZ:host[:node]; skips the filters (Nova's force_hosts)
    force_host: str | None = None
    force_node: str | None = None
    #: `host`, `hypervisor_hostname` of 2.74: only this host, but checked by the filters
    requested_host: str | None = None
    requested_node: str | None = None
    ignore_hosts: list[str] = dataclasses.field(default_factory=list)
    scheduler_hints: dict[str, Any] = dataclasses.field(default_factory=dict)
    group: InstanceGroup | None = None
    #: names: id, port, fixed_ip, tag as the request gave them; 'none' or 'auto' in [0]['mode']
    requested_networks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    security_groups: list[str] = dataclasses.field(default_factory=list)
    is_volume_backed: bool = False

    def resources(self) -> dict[str, int]:
        """What one server takes of a host, by resource class (VCPU, MEMORY_MB, DISK_GB)."""
        flavor = self.flavor
        assert flavor is not None
        root = 0 if self.is_volume_backed else flavor.root_gb
        disk = root + flavor.ephemeral_gb + -(-flavor.swap // 1024)
        return {'VCPU': flavor.vcpus, 'MEMORY_MB': flavor.memory_mb, 'DISK_GB': disk}


@record
class Selection:
    """Where the scheduler put one server: claimed already."""

    instance_uuid: str
    host: str
    node: str
    node_uuid: str
    availability_zone: str | None = None
