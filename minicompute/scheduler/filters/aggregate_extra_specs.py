from __future__ import annotations

from collections.abc import Hashable

from minicompute.scheduler.facts import Mask, Membership
from minicompute.scheduler.filters import extra_specs
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class AggregateInstanceExtraSpecsFilter(Filter):
    """Hosts in aggregates whose metadata says what the flavor's extra specs ask."""

    why = 'in no aggregate with the metadata that the flavor asks for'

    def reads(self, request: Request) -> Hashable | None:
        return extra_specs.reads(request, 'aggregate_instance_extra_specs')

    def mask(self, table: HostTable, request: Request) -> Mask:
        wanted = extra_specs.aggregate_specs(table, request)

        def good(membership: Membership) -> bool:
            return all(any(extra_specs.matches(value, ask) for value in membership.values(key))
                       for key, ask in wanted.items())
        return table.membership.mask(good)
