"""What a filter is."""
from __future__ import annotations

from collections.abc import Hashable

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class Filter:
    """Takes the columns, gives a mask of the hosts that may have the server.

    `why` completes "8 hosts ...", for an operator who asks what became of them.
    """

    why = 'refused'

    @property
    def name(self) -> str:
        return type(self).__name__

    def reads(self, request: Request) -> Hashable | None:
        """The part of the request that the mask depends on; None when this filter has nothing to say."""
        raise NotImplementedError

    def live(self, request: Request) -> bool:
        """Whether the mask moves with claims or with the server, so that it must not be kept."""
        return False

    def mask(self, table: HostTable, request: Request) -> Mask:
        raise NotImplementedError

    def reason(self, request: Request) -> str:
        return self.why
