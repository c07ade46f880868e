"""What a weigher is."""
from __future__ import annotations

from minicompute.conf import CONF
from minicompute.scheduler.facts import Floats
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class Weigher:
    """Gives a column; the ranking scales it to 0..1 among the candidates and multiplies it.

    `option` names the multiplier in [filter_scheduler], and in the metadata of aggregates, which wins.
    """

    option = ''
    #: -1: more is worse, with a multiplier that operators write as a positive number
    sign = 1

    def column(self, table: HostTable, request: Request) -> Floats | None:
        """The quantity for each row, live (not a copy); None when it says nothing about this request."""
        raise NotImplementedError

    def multiplier(self, table: HostTable) -> float | Floats:
        return self.sign * table.multipliers(self.option, float(CONF.filter_scheduler[self.option]))
