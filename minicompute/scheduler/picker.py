"""One decision: masks, then room, then the best of what is left."""
from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np

from minicompute.conf import CONF
from minicompute.scheduler import filters, weights, what_if
from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters import Filter, affinity, builtin
from minicompute.scheduler.funnel import SHORT, Funnel
from minicompute.scheduler.host_table import CLASSES, HostTable
from minicompute.scheduler.ranking import Ranking
from minicompute.scheduler.request import Request

#: kinds of requests whose ranking is kept, and masks of single filters
RANKINGS, MASKS = 128, 1024


class Picker:
    """What depends on the hosts' facts alone is kept until the table's version moves."""

    def __init__(self, table: HostTable) -> None:
        self._table = table
        self._filters, self._others = filters.load()
        self._weighers = weights.load()
        self._always: list[Filter] = [builtin.IgnoredHosts(), builtin.RequestedHost()]
        self._last: list[Filter] = [builtin.Traits(), builtin.ResourceClasses()]
        #: a forced host skips the filters, but for what a claim would refuse anyway
        self._forced: list[Filter] = [
            builtin.IgnoredHosts(), builtin.ForcedHost(), affinity.ServerGroupAntiAffinityFilter(),
            affinity.ServerGroupAffinityFilter()]
        self._version = -1
        self._masks: dict[Hashable, Mask] = {}
        self._rankings: OrderedDict[bytes, tuple[Ranking, Funnel]] = OrderedDict()

    def pick(self, request: Request) -> tuple[int | None, Funnel]:
        """-> (the row for `request.placing`, how the hosts became fewer). Takes nothing yet."""
        if self._version != self._table.version:
            self._masks.clear()
            self._rankings.clear()
            self._version = self._table.version
        conf = CONF.filter_scheduler
        if request.live is None:
            request.live = self._is_live(request)
        kept = None if request.live else self._rankings.get(request.shape)
        if kept is not None and kept[0].follow():
            row = kept[0].best(conf.host_subset_size, conf.shuffle_best_same_weighed_hosts)
            if row is not None:
                self._rankings.move_to_end(request.shape)
                return row, kept[1]
        ranking, funnel = self._rank(request)
        return ranking.best(conf.host_subset_size, conf.shuffle_best_same_weighed_hosts), funnel

    def changes(self, request: Request) -> list[dict[str, Any]]:
        """What would have to change for `request.placing`, after `pick` found nothing."""
        forced = request.spec.force_host or request.spec.force_node
        return what_if.changes(self._table, request, self._stages(request), [] if forced else self._others)

    def _stages(self, request: Request) -> list[Filter]:
        if request.spec.force_host or request.spec.force_node:
            return self._forced
        return [*self._always, *self._filters, *self._last]

    def _is_live(self, request: Request) -> bool:
        return bool(self._others) or request.group is not None or any(
            one.live(request) and one.reads(request) is not None for one in self._filters)

    def _rank(self, request: Request) -> tuple[Ranking, Funnel]:
        table = self._table
        funnel = Funnel(len(table))
        allowed = self._allowed(request, funnel)
        mask = self._with_room(request, allowed, funnel)
        made = Ranking(table, request, allowed, mask, self._weighers), funnel
        if not request.live:
            self._rankings[request.shape] = made
            if len(self._rankings) > RANKINGS:
                self._rankings.popitem(last=False)
        return made

    def _allowed(self, request: Request, funnel: Funnel) -> Mask:
        """What every filter passes; ours first, those of others on what ours left."""
        mask = np.ones(len(self._table), np.bool_)
        for one in self._stages(request):
            key = one.reads(request)
            if key is None:
                continue
            before = funnel.left
            mask = mask & self._mask(one, key, request)
            self._note(funnel, one.name, before, mask, one.reason(request))
        if not (request.spec.force_host or request.spec.force_node):
            for other in self._others:
                before = funnel.left
                mask = other.narrow(self._table, request, mask)
                self._note(funnel, other.name, before, mask, other.reason(request))
        return mask

    def _mask(self, one: Filter, key: Hashable, request: Request) -> Mask:
        if one.live(request):
            return one.mask(self._table, request)
        found = self._masks.get((one.name, key))
        if found is None:
            if len(self._masks) >= MASKS:
                self._masks.clear()
            found = self._masks[one.name, key] = one.mask(self._table, request)
        return found

    def _note(self, funnel: Funnel, name: str, before: int, mask: Mask, reason: str) -> None:
        left = int(np.count_nonzero(mask))
        funnel.add(name, left, reason)
        if before and not left:
            funnel.nearest = {'stage': name, 'hosts': before}

    def _with_room(self, request: Request, allowed: Mask, funnel: Funnel) -> Mask:
        mask = allowed
        for number, room in enumerate(self._table.fits(request.need, request.copies)):
            name, before, entered = CLASSES[number], funnel.left, mask
            mask = mask & room
            self._note(funnel, name, before, mask, SHORT[name])
            if funnel.nearest is not None and funnel.nearest['stage'] == name:
                short = self._table.shortage(number, request.need[number], request.copies)[entered]
                funnel.nearest['short_by'] = int(short.min())
        return mask
