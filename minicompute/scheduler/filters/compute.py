from __future__ import annotations

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class ComputeFilter(Filter):
    """Hosts whose compute service reports and is not disabled."""

    why = 'down or disabled'

    def reads(self, request: Request) -> bool:
        return True

    def mask(self, table: HostTable, request: Request) -> Mask:
        return table.up & table.enabled
