"""Weighers of the soft policies of server groups."""
from __future__ import annotations

from minicompute.scheduler.facts import Floats
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request
from minicompute.scheduler.weights.base import Weigher


class _SoftWeigher(Weigher):
    policy = ''

    def column(self, table: HostTable, request: Request) -> Floats | None:
        group = request.group
        if group is None or group.policy != self.policy:
            return None
        return table.count_hosts(group.counts(request.placing))


class ServerGroupSoftAffinityWeigher(_SoftWeigher):
    """The more members of the group a host has, the better."""

    option, policy = 'soft_affinity_weight_multiplier', 'soft-affinity'


class ServerGroupSoftAntiAffinityWeigher(_SoftWeigher):
    """The fewer members of the group a host has, the better."""

    option, policy, sign = 'soft_anti_affinity_weight_multiplier', 'soft-anti-affinity', -1
