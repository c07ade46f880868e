"""Hosts and what runs on them."""
from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from minicompute.objects.base import record


@record
class Service:
    """A daemon that reports. `last_seen_up` is by the database's clock."""

    host: str
    binary: str
    id: int | None = None
    uuid: str | None = None
    topic: str | None = None
    version: int = 1
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False
    report_count: int = 0
    last_seen_up: datetime.datetime | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


@record
class ComputeNode:
    """A hypervisor and its inventory. `memory_mb` in MiB, `local_gb` in GiB; `vcpus` real cores.

    Capacity of a class = (total - reserved) * ratio.  `traits` are Placement's names (COMPUTE_..., HW_...).
    `capabilities` is what filters match (arch, hypervisor_type, hv_mode triples, cpu_info, ...).
    """

    host: str
    hypervisor_hostname: str
    uuid: str
    id: int | None = None
    hypervisor_type: str = 'QEMU'
    hypervisor_version: int = 0
    host_ip: str | None = None
    vcpus: int = 0
    memory_mb: int = 0
    local_gb: int = 0
    reserved_vcpus: int = 0
    reserved_memory_mb: int = 0
    reserved_disk_gb: int = 0
    cpu_allocation_ratio: float = 1.0
    ram_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0
    free_disk_least_gb: int | None = None
    cpu_info: dict[str, Any] = dataclasses.field(default_factory=dict)
    supported_instances: list[list[str]] = dataclasses.field(default_factory=list)
    traits: list[str] = dataclasses.field(default_factory=list)
    capabilities: dict[str, Any] = dataclasses.field(default_factory=dict)
    uptime: str | None = None
    failed_builds: int = 0
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


@record
class Aggregate:
    name: str
    id: int | None = None
    uuid: str | None = None
    hosts: list[str] = dataclasses.field(default_factory=list)
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None

    @property
    def availability_zone(self) -> str | None:
        return self.metadata.get('availability_zone')
