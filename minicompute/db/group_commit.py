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

Item = TypeVar('Item')
Result = TypeVar('Result')

#: as many share one transaction at most: locks are held for so long
MOST = 64


@dataclasses.dataclass(slots=True, eq=False)
class _Entry:
    item: Any
    woken: threading.Event = dataclasses.field(default_factory=threading.Event)
    done: bool = False
    result: Any = dataclasses.field(default_factory=lambda: RuntimeError('its writing was broken off'))


class GroupCommit(Generic[Item, Result]):
    """`write(items)` answers with a result or an exception for each. Items of one `key` are written one group
    at a time, since they would wait for the same lock; those of different keys side by side."""

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
            entry.woken.wait()
        if not entry.done:
            self._lead(key)
        if isinstance(entry.result, Exception):
            raise entry.result
        result: Result = entry.result
        return result

    def _lead(self, key: Hashable) -> None:
        """Write what has gathered, my own entry first, and leave the rest to the next in line."""
        with self._lock:
            queue = self._queues[key]
            group = [queue.popleft() for _ in range(min(len(queue), MOST))]
        try:
            results = self._write([entry.item for entry in group])
            for entry, result in zip(group, results, strict=True):
                entry.result = result
        except Exception as error:
            for entry in group:
                entry.result = error
        finally:
            for entry in group:
                entry.done = True
                entry.woken.set()
            with self._lock:
                if queue:
                    queue[0].woken.set()
                else:
                    del self._queues[key]
