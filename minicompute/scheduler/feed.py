"""Keeps a host table in step with the database: everything once, then what changed.

A row is changed when its `changed_at` differs from what we saw.  The window of the poll reaches back
`OVERLAP` seconds, because a transaction takes its time stamp before it commits; rows in the window that we
have seen already cost two columns each.
"""
from __future__ import annotations

import datetime
import time
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import allocations, compute_nodes
from minicompute.objects import ComputeNode
from minicompute.scheduler.host_table import HostTable

OVERLAP = datetime.timedelta(seconds=5)
_LONG_AGO = datetime.datetime(1970, 1, 1)
#: what leaves no time stamp (removed nodes and services, swapped aggregate members) is read this seldom
SLOW = 10.0
#: and the stamps of all nodes, ten thousand of them, more seldom still
STAMPS = 60.0
#: a host goes down only after `service_down_time`, so who is down is looked for so many times in it: that look
#: goes over all services, whose heartbeats no index can follow for less
LOOKS = 12
CHUNK = 1000


class Feed:
    def __init__(self, table: HostTable) -> None:
        self._table = table
        self._seen: dict[int, datetime.datetime] = {}
        self._reported: dict[int, datetime.datetime | None] = {}
        self._mark: datetime.datetime | None = None
        self._last_service = 0
        self._serving: set[str] = set()
        self._aggregates: tuple[Any, Any] | None = None
        self._slow_at = self._services_at = self._stamps_at = 0.0
        #: time.monotonic() of the start of the last look at all there is, and of the last look
        self.refreshed = self._followed = 0.0

    def due(self) -> bool:
        return self.older_than(CONF.scheduler.refresh_interval)

    def older_than(self, seconds: float) -> bool:
        return time.monotonic() - self._followed >= seconds

    def follow(self) -> None:
        """What must be known each second; `refresh` knows all there is."""
        self.refresh(whole=False)

    def refresh(self, whole: bool = True) -> None:
        """Bring the table up to date. Not `whole`: without a look at who is down and at the aggregates, unless
        it is time for one or a node changed, as it does when its service is disabled or enabled."""
        began = time.monotonic()
        slow = began - self._slow_at >= SLOW
        with session.read() as conn:
            now = session.now(conn)
            moved = self._read_nodes(conn, began)
            if slow:
                self._drop_removed(conn)
            if whole or moved or slow or began - self._services_at >= CONF.service_down_time / LOOKS:
                self._read_services(conn, now)
                self._read_aggregates(conn, slow)
                self._services_at = began
            self._table.set_busy(allocations.busy_by_node(conn))
        self._mark, self._followed = now, began
        if whole:
            self.refreshed = began
        if slow:
            self._slow_at = began

    def claimed(self, outcome: allocations.Outcome, node_ids: set[int]) -> None:
        """Write into the table what a claim on `node_ids` counted under its locks."""
        self._forget(node_ids - set(outcome.usage))
        for node_id, usage in outcome.usage.items():
            row = self._table.row_of.get(node_id)
            if row is not None:
                self._table.set_usage(row, usage)
        for node_id, before in outcome.changed.items():
            # Nothing but our own claim moved it since we read it: no need to read it again.
            if self._seen.get(node_id) == before:
                self._seen[node_id] = outcome.changed_at

    def _read_nodes(self, conn: sa.Connection, began: float) -> bool:
        """-> whether any had changed."""
        if self._mark is None:
            self._put(compute_nodes.load(conn), allocations.usage_by_node(conn))
            self._stamps_at = began
            return True
        # Now and then all stamps: one that waited longer than `OVERLAP` for its commit is found then.
        every = began - self._stamps_at >= STAMPS
        changed = compute_nodes.changed_since(conn, _LONG_AGO if every else self._mark - OVERLAP)
        if every:
            self._stamps_at = began
        stale = {node_id: at for node_id, at in changed if self._seen.get(node_id) != at}
        numbers = list(stale)
        for start in range(0, len(numbers), CHUNK):
            self._read_again(conn, {node_id: stale[node_id] for node_id in numbers[start:start + CHUNK]})
        return bool(stale)

    def _read_again(self, conn: sa.Connection, stale: dict[int, datetime.datetime]) -> None:
        """Mostly these are claims of other schedulers: then the facts of the node are as they were.

        The stamps first and the usage last: what changes in between is read once more, and not overlooked."""
        stamps = compute_nodes.stamps(conn, list(stale))
        reported = [node_id for node_id, row in stamps.items() if self._reported.get(node_id, self) != row.updated_at]
        loaded = compute_nodes.load(conn, reported) if reported else []
        usage = allocations.usage_by_node(conn, list(stale))
        self._put(loaded, usage)
        for node_id in stamps.keys() - set(reported):
            self._table.set_load(self._table.row_of[node_id], usage[node_id], stamps[node_id].failed_builds)
            self._seen[node_id] = stale[node_id]

    def _put(self, found: list[tuple[ComputeNode, datetime.datetime]], usage: dict[int, allocations.Usage]) -> None:
        self._table.put([node for node, _ in found], usage)
        for node, at in found:
            assert node.id is not None
            self._seen[node.id], self._reported[node.id] = at, node.updated_at

    def _drop_removed(self, conn: sa.Connection) -> None:
        """Ten thousand names are read only when there are not as many as we know."""
        nodes, serving = compute_nodes.counts(conn)
        if nodes != len(self._table):
            self._forget(set(self._table.row_of) - compute_nodes.ids(conn))
        if serving != len(self._serving):
            self._last_service, self._serving = 0, set()

    def _forget(self, gone: set[int]) -> None:
        gone = {node_id for node_id in gone if node_id in self._table.row_of}
        if gone:
            self._table.drop(gone)
            for node_id in gone:
                self._seen.pop(node_id, None)
                self._reported.pop(node_id, None)

    def _read_services(self, conn: sa.Connection, now: datetime.datetime) -> None:
        horizon = now - datetime.timedelta(seconds=CONF.service_down_time)
        found = compute_nodes.services_to_know(conn, self._last_service, horizon)
        self._serving = self._serving | {service.host for service in found}
        self._last_service = max([self._last_service, *(service.id for service in found)])
        self._table.set_services(self._serving, {s.host for s in found if s.disabled},
                                 {s.host for s in found if s.down})

    def _read_aggregates(self, conn: sa.Connection, slow: bool) -> None:
        signs = compute_nodes.aggregate_metadata(conn), compute_nodes.aggregate_sizes(conn)
        if signs == self._aggregates and not slow:
            return
        self._aggregates = signs
        members: dict[str, list[int]] = defaultdict(list)
        for aggregate_id, host in compute_nodes.aggregate_members(conn):
            members[host].append(aggregate_id)
        metadata = {number: said for number, (said, _) in signs[0].items()}
        self._table.set_aggregates({host: tuple((number, metadata[number]) for number in sorted(numbers)
                                                if number in metadata) for host, numbers in members.items()})
