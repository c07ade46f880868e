"""The commit of steps: one guarded transaction for all that is ready at the moment.

    lock the actions -> what single steps want written -> servers -> actions -> step log -> what steps gather

Whatever the number of steps, each of these is one statement or two.  Locks are taken in that order
everywhere: actions, servers, nodes, addresses.
"""
from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging

from minicompute.conductor import settle
from minicompute.conductor.flow import Task
from minicompute.conf import CONF
from minicompute.db import session, watch
from minicompute.db.api import actions as journal
from minicompute.db.api import instances
from minicompute.db.group_commit import GroupCommit
from minicompute.objects import ActionState

LOG = logging.getLogger(__name__)

#: (those of the tasks that are ours still, actions to ring)
Written = tuple[list[Task], list[int]]


class Committer:
    """One per engine. Nothing here trusts the engine's memory: each commit checks under a row lock that the
    generation is still the one that this engine claimed."""

    def __init__(self, owner: str, stopped: threading.Event) -> None:
        self._owner, self._stopped = owner, stopped
        self._groups: GroupCommit[Sequence[Task], Written] = GroupCommit(self._write_group)

    def commit(self, tasks: Sequence[Task]) -> Written:
        """Together with what other threads commit at this moment. Raises what the database says to it."""
        return self._groups.put(None, tasks)

    def _write_group(self, batches: Sequence[Sequence[Task]]) -> list[Written | Exception]:
        written = self._write_or_wait([task for batch in batches for task in batch])
        if isinstance(written, Exception):
            if len(batches) == 1:
                return [written]
            return [self._write_or_wait(batch) for batch in batches]
        kept, released = written
        ours = {id(task) for task in kept}
        mine = [[task for task in batch if id(task) in ours] for batch in batches]
        return [(some, released if place == 0 else []) for place, some in enumerate(mine)]

    def _write_or_wait(self, tasks: Sequence[Task]) -> Written | Exception:
        """While the database is away the steps wait: nobody else can take them over either."""
        while True:
            try:
                return session.write(self._write, tasks)
            except db_exc.DBConnectionError as error:
                if self._stopped.is_set():
                    return [], []
                LOG.error('The database does not answer: %s. %d steps wait for it.', error, len(tasks))
                time.sleep(1.0)
            except Exception as error:
                return error

    def _write(self, conn: sa.Connection, tasks: Sequence[Task]) -> Written:
        kept, released = self._ours(conn, tasks), []
        for task in kept:
            for write in task.commits:
                more = write(conn)
                if isinstance(more, list):
                    released += more
        now = session.now(conn)
        changes: dict[str, dict[str, Any]] = defaultdict(dict)
        for task in kept:
            if task.changes:
                changes[task.uuid].update(task.changes)
        instances.update_many(conn, changes)
        journal.save_many(conn, [task.action for task in kept], now, CONF.conductor.lease)
        journal.add_events(conn, [row for task in kept for row in settle.events(task, now)])
        gathered: dict[Callable[..., Any], list[Any]] = defaultdict(list)
        for task in kept:
            for write_all, item in task.gathered:
                gathered[write_all].append(item)
        for write_all, items in gathered.items():
            write_all(conn, items)
        if watch.listener is not None:
            for task in kept:
                watch.note(conn, watch.Stepped(task.action, task.instance, task.spec, tuple(
                    (row['event'], row['result']) for row in task.log)))
        ended = [task.action for task in kept if task.action.state in ActionState.ENDED]
        if ended:
            released += journal.release_waiting(conn, ended)
        stuck = [task.action for task in kept if task.action.state == ActionState.STUCK]
        if stuck:
            released += journal.give_way(conn, stuck)
        return kept, released

    def _ours(self, conn: sa.Connection, tasks: Sequence[Task]) -> list[Task]:
        """Those whose action nobody else has claimed; their rows are held from here on."""
        rows = journal.lock(conn, [task.action.id or 0 for task in tasks])
        kept = []
        for task in tasks:
            action, row = task.action, rows.get(task.action.id or 0)
            if row is None or row.state not in settle.GOING or row.owner not in (None, self._owner) or (
                    row.generation != action.generation):
                LOG.warning('Action %s was taken over; what was done here is not written', action.id)
                continue
            action.owner, action.cancel = self._owner, bool(row.cancel)
            kept.append(task)
        return kept
