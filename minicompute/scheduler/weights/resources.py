"""Weighers of what is free and of how busy a host is."""
from __future__ import annotations

from minicompute.scheduler.facts import Floats
from minicompute.scheduler.host_table import DISK_GB, MEMORY_MB, VCPU, HostTable
from minicompute.scheduler.request import Request
from minicompute.scheduler.weights.base import Weigher


class RAMWeigher(Weigher):
    """More free memory is better; a negative multiplier stacks servers instead."""

    option = 'ram_weight_multiplier'

    def column(self, table: HostTable, request: Request) -> Floats:
        column: Floats = table.free[MEMORY_MB]
        return column


class CPUWeigher(Weigher):
    """More free cores (by the allocation ratio) are better."""

    option = 'cpu_weight_multiplier'

    def column(self, table: HostTable, request: Request) -> Floats:
        column: Floats = table.free[VCPU]
        return column


class DiskWeigher(Weigher):
    """More free disk is better."""

    option = 'disk_weight_multiplier'

    def column(self, table: HostTable, request: Request) -> Floats:
        column: Floats = table.free[DISK_GB]
        return column


class IoOpsWeigher(Weigher):
    """Builds, moves and copies under way; its multiplier is negative by default: fewer are better."""

    option = 'io_ops_weight_multiplier'

    def column(self, table: HostTable, request: Request) -> Floats:
        return table.io_ops


class BuildFailureWeigher(Weigher):
    """Builds that failed on the host since the last that succeeded."""

    option, sign = 'build_failure_weight_multiplier', -1

    def column(self, table: HostTable, request: Request) -> Floats:
        return table.failed_builds
