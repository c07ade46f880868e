"""Server groups, and the hints that name other servers."""
from __future__ import annotations

import numpy as np

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class _GroupFilter(Filter):
    policy = ''

    def reads(self, request: Request) -> int | None:
        group = request.group
        return group.rule.id if group is not None and group.policy == self.policy else None

    def live(self, request: Request) -> bool:
        return True


class ServerGroupAntiAffinityFilter(_GroupFilter):
    """Hosts with fewer members of the group than `max_server_per_host`."""

    policy, why = 'anti-affinity', 'taken by other servers of the anti-affinity group'

    def mask(self, table: HostTable, request: Request) -> Mask:
        assert request.group is not None
        counts, most = request.group.counts(request.placing), request.group.rule.max_per_host
        return ~table.in_hosts(host for host, count in counts.items() if count >= most)


class ServerGroupAffinityFilter(_GroupFilter):
    """The host of the group's other members."""

    policy, why = 'affinity', 'without the other servers of the affinity group'

    def mask(self, table: HostTable, request: Request) -> Mask:
        assert request.group is not None
        counts = request.group.counts(request.placing)
        return table.in_hosts(counts) if counts else np.ones(len(table), np.bool_)


class _HintFilter(Filter):
    hint = ''

    def reads(self, request: Request) -> tuple[str, ...] | None:
        return tuple(request.hint(self.hint)) or None

    def live(self, request: Request) -> bool:
        return True

    def _hosts(self, table: HostTable, request: Request) -> Mask:
        return table.in_hosts(host for uuid in request.hint(self.hint)
                              for host in request.homes.get(uuid, ()))


class SameHostFilter(_HintFilter):
    """A host of one of the servers that the hint `same_host` names."""

    hint, why = 'same_host', 'without any server that the hint same_host names'

    def mask(self, table: HostTable, request: Request) -> Mask:
        return self._hosts(table, request)


class DifferentHostFilter(_HintFilter):
    """Not the host of any server that the hint `different_host` names."""

    hint, why = 'different_host', 'with a server that the hint different_host names'

    def mask(self, table: HostTable, request: Request) -> Mask:
        return ~self._hosts(table, request)
