"""Group commit: what several threads want to write at the same moment goes into one transaction.

The first thread writes for itself; those that come while it does so wait, and the first of them then
writes for all.  Nobody waits for others to come, so one request alone is as fast as without.
"""
from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from oslo_db import exception as db_exc

from minicompute.db import session

Item = TypeVar('Item')
Result = TypeVar('Result')

#: as many share one transaction at most: locks are held for so long
MOST = 64


class BrokenOff(Exception):
    """The thread that wrote for others was stopped: whether it got to the commit is not known."""


@dataclasses.dataclass(slots=True, eq=False)
class _Entry:
    item: Any
    woken: threading.Event = dataclasses.field(default_factory=threading.Event)
    done: bool = False
    result: Any = dataclasses.field(default_factory=BrokenOff)


class GroupCommit(Generic[Item, Result]):
    """`write(items)` answers with a result or an exception for each. Items of one `key` are written one group
    at a time, since they would wait for the same lock; those of different keys side by side. When it raises,
    each is written by itself, so that nobody pays for another's fault."""

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Result | Exception]]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[_Entry]] = {}

    def put(self, key: Hashable, item: Item) -> Result:
        """Blocks until the item is written. Raises what its writing raised."""
        entry = _Entry(item)
        with self._lock:
            leads = key not in self._queues
            self._queues.setdefault(key, deque()).append(entry)
        if not leads:
            try:
                entry.woken.wait()
            except BaseException:
                self._leave(key, entry)
                raise
        if not entry.done:
            self._lead(key)
        if isinstance(entry.result, Exception):
            raise entry.result
        result: Result = entry.result
        return result

    def _leave(self, key: Hashable, entry: _Entry) -> None:
        """Somebody stops waiting: out of the queue, and if it was to lead, the next one does."""
        with self._lock:
            queue = self._queues.get(key)
            if queue is None or entry not in queue:
                return
            queue.remove(entry)
            if entry.woken.is_set():
                self._hand_on(key, queue)

    def _hand_on(self, key: Hashable, queue: deque[_Entry]) -> None:
        if queue:
            queue[0].woken.set()
        else:
            del self._queues[key]

    def _results(self, group: Sequence[_Entry]) -> Sequence[Any]:
        try:
            with session.guarded(None):     # what holds for the leader's request is nothing to the others
                return self._write([entry.item for entry in group])
        except db_exc.DBConnectionError as error:
            return [error] * len(group)
        except Exception as error:
            return [error] if len(group) == 1 else [self._results([entry])[0] for entry in group]

    def _lead(self, key: Hashable) -> None:
        """Write what has gathered, my own entry first, and leave the rest to the next in line."""
        with self._lock:
            queue = self._queues[key]
            group = [queue.popleft() for _ in range(min(len(queue), MOST))]
        try:
            for entry, result in zip(group, self._results(group), strict=True):
                entry.result = result
        finally:
            for entry in group:
                entry.done = True
                entry.woken.set()
            with self._lock:
                self._hand_on(key, queue)
