from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters import extra_specs
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import LIVE, HostTable
from minicompute.scheduler.request import Request


class ComputeCapabilitiesFilter(Filter):
    """Hosts that have what the flavor's `capabilities:` extra specs say."""

    why = 'without a capability that the flavor asks for'

    def reads(self, request: Request) -> Hashable | None:
        return extra_specs.reads(request, 'capabilities')

    def live(self, request: Request) -> bool:
        return any(key.rpartition(':')[2] in LIVE for key in request.extra_specs)

    def mask(self, table: HostTable, request: Request) -> Mask:
        mask = np.ones(len(table), np.bool_)
        for name, wanted in extra_specs.capability_specs(table, request).items():
            values, codes = table.attribute(name.split(':'))
            good = np.array([extra_specs.matches(value, wanted) for value in values], np.bool_)
            mask &= good[codes] if len(values) else False
        return mask
