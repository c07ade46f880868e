"""The scheduler daemon: gathers the calls that wait, places them together, answers each.

One thread owns the host table, so nothing in it needs a lock; calls that come while it works are the next
batch.  Several schedulers may run: each has its own table, and the claim decides.
"""
from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Any

import oslo_messaging as messaging
from oslo_log import log as logging

from minicompute import rpc, service
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import RequestSpec
from minicompute.scheduler import rpcapi
from minicompute.scheduler.placer import BATCH, Placer

LOG = logging.getLogger(__name__)

Answers = list[dict[str, Any]]


class _Call:
    """One RPC call that waits for its answers."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self.entries = entries
        self.answers: Future[Answers] = Future()

    @property
    def size(self) -> int:
        return sum(len(entry.get('instance_uuids') or ()) for entry in self.entries)


class SchedulerManager(service.Manager):
    def __init__(self) -> None:
        self._queue: queue.Queue[_Call | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._placer = Placer()

    # -- the daemon ----------------------------------------------------------

    def endpoints(self) -> list[Any]:
        return [SchedulerEndpoint(self)]

    def periodics(self) -> list[Any]:
        """None: the thread that owns the table refreshes it between two batches."""
        return []

    def start(self) -> None:
        """Read all hosts, waiting for the database; then serve."""
        service.wait_for(self._placer.feed.refresh, 'the database')
        LOG.info('%d hosts are known', len(self._placer.table))
        self._thread = threading.Thread(target=self._run, name='scheduler', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer what waits, then end."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(CONF.graceful_shutdown_timeout)
            self._thread = None

    # -- calls ---------------------------------------------------------------

    def select_destinations(self, context: RequestContext, requests: list[dict[str, Any]]) -> Answers:
        """Place and claim.

        Each of `requests`: {'key': anything, 'spec': RequestSpec, 'instance_uuids': [...]}, and if wanted
        'consumers' {instance uuid: who holds the claim, such as a migration}, 'dry_run' (claims nothing),
        'explain' (an answer without selections has 'placed', how many found a place, and 'changes', see `what_if`).
        All servers of a request are placed, or none.

        -> as many answers in the same order: {'key', 'selections': [Selection, ...] or None, 'funnel':
        {'total', 'stages': [[name, hosts left], ...], 'nearest'}, 'reason': why there is none, or None}.
        A request that is wrong, or that fails, is answered with its reason and hurts no other.
        """
        if not requests:
            return []
        call = _Call(requests)
        self._queue.put(call)
        return call.answers.result()

    def _run(self) -> None:
        while (calls := self._gather()) is not None:
            if calls:
                self._serve(calls)
            else:
                self._refresh()

    def _gather(self) -> list[_Call] | None:
        """The calls that wait, up to a batch; none when nothing came for a while, None to end."""
        try:
            found = self._queue.get(timeout=CONF.scheduler.refresh_interval)
        except queue.Empty:
            return []
        calls: list[_Call] = []
        size = 0
        while found is not None:
            calls.append(found)
            size += found.size
            if size >= BATCH:
                return calls
            try:
                found = self._queue.get_nowait()
            except queue.Empty:
                return calls
        if calls:
            self._queue.put(None)   # the farewell waits for those before it
            return calls
        return None

    def _serve(self, calls: list[_Call]) -> None:
        try:
            answers = self._placer.place([entry for call in calls for entry in call.entries])
        except Exception as error:    # not one of its requests, which the placer answers: the database is away
            LOG.exception('%d calls for %d servers failed', len(calls), sum(call.size for call in calls))
            for call in calls:
                call.answers.set_exception(error)
            return
        for call in calls:
            call.answers.set_result(answers[:len(call.entries)])
            answers = answers[len(call.entries):]

    def _refresh(self) -> None:
        try:
            if self._placer.feed.due():
                self._placer.feed.follow()
        except Exception as error:
            LOG.warning('The hosts cannot be read, what was read last counts on: %s',
                        ' '.join(str(error).split())[:300])


class SchedulerEndpoint:
    """What the wire may call, and nothing else of the manager."""

    target = messaging.Target(version=rpc.VERSION)

    def __init__(self, manager: SchedulerManager) -> None:
        self._manager = manager

    def select_destinations(self, context: RequestContext, requests: list[dict[str, Any]],
                            specs: list[RequestSpec] | None = None) -> Answers | dict[str, Any]:
        """With `specs`, as `rpcapi.pack` makes them, the answers come packed as well."""
        if specs is None:
            return self._manager.select_destinations(context, requests)
        whole = [{**entry, 'spec': specs[entry['spec']]} for entry in requests]
        return rpcapi.pack_answers(self._manager.select_destinations(context, whole))
