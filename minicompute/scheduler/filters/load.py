"""Bounds on how busy a host may be. Off by default; aggregates may say their own bound."""
from __future__ import annotations

from minicompute.conf import CONF
from minicompute.scheduler.facts import Floats, Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class _LoadFilter(Filter):
    option = ''

    def reads(self, request: Request) -> bool:
        return True

    def live(self, request: Request) -> bool:
        return True

    def mask(self, table: HostTable, request: Request) -> Mask:
        most = table.multipliers(self.option, float(CONF.filter_scheduler[self.option]))
        return self._column(table) < most

    def _column(self, table: HostTable) -> Floats:
        raise NotImplementedError


class NumInstancesFilter(_LoadFilter):
    option, why = 'max_instances_per_host', 'with as many servers as a host may have'

    def _column(self, table: HostTable) -> Floats:
        return table.instances


class IoOpsFilter(_LoadFilter):
    option, why = 'max_io_ops_per_host', 'busy with as many builds and moves as a host may have'

    def _column(self, table: HostTable) -> Floats:
        return table.io_ops
