"""Filters written for Nova: `host_passes(host_state, spec)`, one host at a time, on what our masks left."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from oslo_log import log as logging

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.host_table import DISK_GB, MEMORY_MB, VCPU, HostTable
from minicompute.scheduler.request import Request

LOG = logging.getLogger(__name__)


class HostState:
    """A row under the names that Nova's filters know."""

    def __init__(self, table: HostTable, row: int) -> None:
        facts = table.facts.of(row)
        self.host, self.nodename, self.uuid = table.hosts[row], table.nodes[row], table.uuids[row]
        self.hypervisor_hostname = self.nodename
        self.free_ram_mb, self.free_disk_mb = table.free[MEMORY_MB, row], table.free[DISK_GB, row] * 1024
        self.total_usable_ram_mb = table.size[MEMORY_MB, row]
        self.total_usable_disk_gb = table.size[DISK_GB, row]
        self.vcpus_total = table.size[VCPU, row]
        self.vcpus_used = table.capacity[VCPU, row] - table.free[VCPU, row]
        self.num_instances, self.num_io_ops = table.instances[row], table.io_ops[row]
        self.failed_builds = table.failed_builds[row]
        self.hypervisor_type, self.hypervisor_version = facts.hypervisor_type, facts.hypervisor_version
        self.cpu_info, self.capabilities, self.traits = facts.cpu_info, facts.capabilities, facts.traits
        self.supported_instances = [list(triple) for triple in facts.supported_instances]
        self.aggregates = [dict(metadata) for _, metadata in table.membership.of(row).aggregates]
        self.availability_zone = table.zone(row)


class ThirdParty:
    """Not a `Filter`: it sees only the hosts that are left."""

    def __init__(self, name: str, theirs: Any) -> None:
        self.name, self._theirs = name, theirs

    def narrow(self, table: HostTable, request: Request, mask: Mask) -> Mask:
        """-> `mask` without the hosts that they refuse; one that raises refuses."""
        kept = np.zeros(len(table), np.bool_)
        kept[list(self._passing(table, request, mask))] = True
        return kept

    def _passing(self, table: HostTable, request: Request, mask: Mask) -> Iterator[int]:
        for row in np.flatnonzero(mask):
            try:
                if self._theirs.host_passes(HostState(table, int(row)), request.spec):
                    yield int(row)
            except Exception:
                LOG.exception('Filter %s failed on host %s', self.name, table.hosts[row])

    def reason(self, request: Request) -> str:
        return f'refused by {self.name}'
