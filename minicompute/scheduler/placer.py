"""Many requests at a time: pick in the columns, claim in one transaction, let the losers pick again.

A pick is written into the columns at once, so that the next one, of the same burst or of another request,
sees it; the claim counts under locks and its sums replace ours.  Another scheduler may have taken the room
meanwhile: then the claim is lost, which costs one more round.
"""
from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from oslo_db import exception as db_exc
from oslo_log import log as logging
from oslo_utils import uuidutils

from minicompute import crash, exception, metrics
from minicompute.db import session
from minicompute.db.api import allocations, compute_nodes, instance_groups
from minicompute.objects import Selection
from minicompute.scheduler.feed import Feed
from minicompute.scheduler.funnel import Funnel
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.picker import Picker
from minicompute.scheduler.request import GroupState, Request, parse

LOG = logging.getLogger(__name__)

#: servers that one transaction claims for at most (a larger request is not split)
BATCH = 256
#: claims that a request may lose before it is told so
TRIES = 10
#: a claim was lost to another scheduler, which took more than that: a look so many seconds old is too old now
AFTER_LOSS = 0.05


@dataclasses.dataclass(slots=True)
class Draft:
    """The picks of one request, not claimed yet; `rows` in the order of its servers."""

    request: Request
    rows: list[int] = dataclasses.field(default_factory=list)
    funnel: Funnel | None = None
    complete: bool = False
    error: Exception | None = None
    changes: list[dict[str, Any]] | None = None


@dataclasses.dataclass(slots=True)
class Stats:
    """What this scheduler did since it started; `lost` are claims that another scheduler won."""

    decisions: int = 0
    claimed: int = 0
    lost: int = 0
    refused: int = 0
    transactions: int = 0


class Placer:
    """Owned by one thread."""

    def __init__(self) -> None:
        self.table = HostTable()
        self.feed = Feed(self.table)
        self.picker = Picker(self.table)
        self.stats = Stats()

    def place(self, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Entries and answers as `SchedulerManager.select_destinations` has them."""
        arrived = time.monotonic()
        if self.feed.due():
            self.feed.follow()
        answers: list[dict[str, Any] | None] = [None] * len(entries)
        requests: list[tuple[int, Request]] = []
        seen: dict[int, Request] = {}
        for number, entry in enumerate(entries):
            try:
                request = parse(entry, seen.get(id(entry['spec'])))
                requests.append((number, request))
                seen[id(request.spec)] = request
            except Exception as error:
                answers[number] = _failed(entry.get('key'), error)
        for part in _batches(requests):
            found = self._place_batch([request for _, request in part], arrived)
            for (number, _), answer in zip(part, found, strict=True):
                answers[number] = answer
        return [answer for answer in answers if answer is not None]

    def _place_batch(self, requests: list[Request], arrived: float) -> list[dict[str, Any]]:
        answers: dict[int, dict[str, Any]] = {}
        waiting = requests
        for _ in range(TRIES):
            self._look_around(waiting)
            drafts = [self._draft(request) for request in waiting]
            waiting = self._settle([draft for draft in drafts if draft.complete], answers)
            answers.update((id(one.request), _failed(one.request.key, one.error)) for one in drafts if one.error)
            if waiting and self.feed.older_than(AFTER_LOSS):
                self.feed.follow()
            failed = [draft for draft in drafts if not draft.complete and not draft.error]
            if failed and self.feed.refreshed < arrived:
                # Only fresh facts may refuse: room may have come back since the last look.
                self.feed.refresh()
                waiting += [draft.request for draft in failed]
            else:
                self._refuse(failed, answers)
            if not waiting:
                break
        for request in waiting:
            answers[id(request)] = _answer(
                request.key, None, None,
                f'Other requests took the room first, {TRIES} times in a row; there may be room still.')
        return [answers[id(request)] for request in requests]

    def _look_around(self, requests: list[Request]) -> None:
        """Read who is where for the requests that care: groups, and servers named by hints."""
        uuids = {r.spec.group.uuid for r in requests if r.spec.group is not None}
        named = {uuid for r in requests for hint in ('same_host', 'different_host') for uuid in r.hint(hint)
                 if uuidutils.is_uuid_like(uuid)}   # anything else is no server, and may be no text for a database
        if not uuids and not named:
            return
        with session.read() as conn:
            groups = instance_groups.policies(conn, uuids) if uuids else {}
            holders = instance_groups.hosts(conn, [group.id for group in groups.values()]) if groups else {}
            homes = allocations.hosts_of(conn, named) if named else {}
        states = {uuid: GroupState(_rule(group), holders[group.id]) for uuid, group in groups.items()}
        for request in requests:
            request.homes = homes
            request.group = states.get(request.spec.group.uuid) if request.spec.group is not None else None

    # -- picking -------------------------------------------------------------

    def _draft(self, request: Request) -> Draft:
        """Pick a host for each server; all of them, or none."""
        draft = Draft(request)
        try:
            self._pick_all(draft)
        except Exception as error:   # its own, such as of a filter: the other requests of the batch go on
            LOG.exception('A request for %d servers failed', len(request.uuids))
            draft.error = error
        if not draft.complete or request.dry_run:   # a dry run must not stand in the way of the rest of its batch
            self._undo(draft)
        return draft

    def _pick_all(self, draft: Draft) -> None:
        request = draft.request
        together = request.group is not None and request.group.policy == 'affinity'
        for place, uuid in enumerate(request.uuids):
            request.placing = uuid
            request.copies = len(request.uuids) - place if together else 1
            row, draft.funnel = self.picker.pick(request)
            self.stats.decisions += 1
            if row is None:
                if request.explain:
                    draft.changes = self.picker.changes(request)
                return
            draft.rows.append(row)
            self.table.take(row, request.need)
            if request.group is not None:
                request.group.holders.append((self.table.hosts[row], uuid))
        draft.complete = True

    def _undo(self, draft: Draft) -> None:
        """Give the picks back to the columns; `rows` stays, to say how far it came."""
        request = draft.request
        for row, uuid in zip(draft.rows, request.uuids, strict=False):
            self.table.take(row, request.need, -1)
            if request.group is not None:
                request.group.holders.remove((self.table.hosts[row], uuid))

    # -- claiming ------------------------------------------------------------

    def _settle(self, drafts: list[Draft], answers: dict[int, dict[str, Any]]) -> list[Request]:
        """Claim what was picked and answer it. -> the requests that lost and may try again."""
        for draft in drafts:
            if draft.request.dry_run:
                answers[id(draft.request)] = self._selected(draft, draft.rows)
        drafts = [draft for draft in drafts if not draft.request.dry_run]
        if not drafts:
            return []
        try:
            outcome = self._claim(drafts)
        except db_exc.DBConnectionError:
            raise    # of all alike
        except Exception as error:
            return self._settle_each(drafts, answers, error)
        again = []
        for number, draft in enumerate(drafts):
            if number not in outcome.lost:
                answers[id(draft.request)] = self._held(draft, outcome.held)
                continue
            self.stats.lost += 1
            metrics.count('placements', 1, 'lost')
            again.append(draft.request)
        return again

    def _settle_each(self, drafts: list[Draft], answers: dict[int, dict[str, Any]],
                     error: Exception) -> list[Request]:
        """The database refused a claim: of one request, perhaps, that must not fail the others."""
        if len(drafts) == 1:
            request = drafts[0].request
            LOG.error('The claim of a request for %d servers failed', len(request.uuids), exc_info=error)
            answers[id(request)] = _failed(request.key, error)
            return []
        again = []
        for request in [draft.request for draft in drafts]:
            draft = self._draft(request)   # anew: rows may have moved since
            again += self._settle([draft], answers) if draft.complete else [request]
        return again

    def _claim(self, drafts: list[Draft]) -> allocations.Outcome:
        wanted = [self._wanted(draft.request, uuid, row, number) for number, draft in enumerate(drafts)
                  for uuid, row in zip(draft.request.uuids, draft.rows, strict=True)]
        if crash.armed:
            crash.points('scheduler', [('claim', want.instance_uuid) for want in wanted], 'before')
        try:
            outcome = session.write(allocations.claim, wanted)
        except Exception:
            for draft in drafts:
                self._undo(draft)
            raise
        if crash.armed:
            crash.points('scheduler', [('claim', want.instance_uuid) for want in wanted], 'after')
        self.stats.transactions += 1
        claimed = sum(len(draft.rows) for n, draft in enumerate(drafts) if n not in outcome.lost)
        self.stats.claimed += claimed
        metrics.count('placements', claimed, 'claimed')
        for number, draft in enumerate(drafts):
            if number in outcome.lost or self._was_held(draft, outcome.held):
                self._undo(draft)
        self.feed.claimed(outcome, {want.node_id for want in wanted})
        return outcome

    def _wanted(self, request: Request, uuid: str, row: int, number: int) -> allocations.Wanted:
        group = request.group
        binding = group.rule if group is not None and not group.policy.startswith('soft') else None
        return allocations.Wanted(request.consumer(uuid), uuid, self.table.ids[row], *request.need,
                                  together=number, group=binding)

    def _was_held(self, draft: Draft, held: dict[str, int]) -> bool:
        """Whether the claims were there before, on nodes other than ours."""
        return any(held.get(draft.request.consumer(uuid)) != self.table.ids[row]
                   for uuid, row in zip(draft.request.uuids, draft.rows, strict=True))

    def _refuse(self, failed: list[Draft], answers: dict[int, dict[str, Any]]) -> None:
        """No host; but for a step that runs twice the first run may have claimed the last room."""
        consumers = [d.request.consumer(u) for d in failed if not d.request.dry_run for u in d.request.uuids]
        held = {}
        if consumers:
            with session.read() as conn:
                held = {name: nodes[0] for name, nodes in allocations.nodes_of(conn, consumers).items()}
        for draft in failed:
            request = draft.request
            if not request.dry_run and all(request.consumer(uuid) in held for uuid in request.uuids):
                answers[id(request)] = self._held(draft, held)
                continue
            assert draft.funnel is not None
            self.stats.refused += 1
            _measure(draft)
            text = draft.funnel.text()
            if draft.rows:
                text = (f'There is room for {len(draft.rows)} of {len(request.uuids)} servers; '
                        f'for the next: {text}')
            answers[id(request)] = _answer(request.key, None, draft.funnel, text)
            if draft.changes is not None:
                answers[id(request)].update(changes=draft.changes, placed=len(draft.rows))

    # -- answers -------------------------------------------------------------

    def _held(self, draft: Draft, held: dict[str, int]) -> dict[str, Any]:
        request, rows = draft.request, []
        for uuid in request.uuids:
            node_id = held[request.consumer(uuid)]
            if node_id not in self.table.row_of:
                # Claimed before on a node that we have not seen yet.
                with session.read() as conn:
                    self.table.put([node for node, _ in compute_nodes.load(conn, [node_id])],
                                   allocations.usage_by_node(conn, [node_id]))
            rows.append(self.table.row_of[node_id])
        return self._selected(draft, rows)

    def _selected(self, draft: Draft, rows: list[int]) -> dict[str, Any]:
        table, request = self.table, draft.request
        selections = [Selection(instance_uuid=uuid, host=table.hosts[row], node=table.nodes[row],
                                node_uuid=table.uuids[row], availability_zone=table.zone(row))
                      for uuid, row in zip(request.uuids, rows, strict=True)]
        return _answer(request.key, selections, draft.funnel, None)


def _measure(draft: Draft) -> None:
    """Which filters refused how many hosts of a request that found none."""
    if draft.request.dry_run or draft.funnel is None:
        return
    metrics.count('placements', 1, 'refused')
    before = draft.funnel.total
    for name, left, _ in draft.funnel.stages:
        metrics.count('rejected_hosts', before - left, name)
        before = left


def _answer(key: Any, selections: list[Selection] | None, funnel: Funnel | None,
            reason: str | None) -> dict[str, Any]:
    return {'key': key, 'selections': selections, 'funnel': funnel.to_dict() if funnel else {},
            'reason': reason}


def _failed(key: Any, error: Exception) -> dict[str, Any]:
    """Users read a reason: what a caller did wrong they may know, the rest is in the log."""
    if not isinstance(error, exception.Invalid):
        LOG.warning('A request cannot be placed: %s: %s', type(error).__name__, error)
        error = exception.Invalid(f'The scheduler failed on this request ({type(error).__name__}); its log says more.')
    return _answer(key, None, None, str(error))


def _rule(group: Any) -> allocations.Group:
    """Of a row; a bound that is no number binds as if there were none said."""
    most = str((group.rules or {}).get('max_server_per_host', 1))
    return allocations.Group(group.id, group.policy, int(most) if most.isdecimal() else 1)


def _batches(requests: list[tuple[int, Request]]) -> Iterator[list[tuple[int, Request]]]:
    part: list[tuple[int, Request]] = []
    size = 0
    for numbered in requests:
        count = len(numbered[1].uuids)
        if part and size + count > BATCH:
            yield part
            part, size = [], 0
        part.append(numbered)
        size += count
    if part:
        yield part
