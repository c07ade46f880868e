"""The engine that runs flows: claims actions, runs their steps in batches, parks what waits for a
compute, and commits each step in one guarded transaction.

    ring / report / timer --> _ready --> worker: admit -> run -> settle -> commit -> (next step | park | end)

A worker takes whatever gathered, so that under load a hundred servers share one transaction and one
message, and an idle system still answers at once.  The commit itself is committer.py's.
"""
from __future__ import annotations

import dataclasses
import datetime
import functools
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import oslo_messaging as messaging
import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging

from minicompute import crash, exception, metrics, servicegroup
from minicompute.conductor import settle
from minicompute.conductor.committer import Committer
from minicompute.conductor.flow import Asked, Flow, Outcome, Retry, Step, StepFailed, Task
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions as journal
from minicompute.db.api import instances, progress
from minicompute.db.group_commit import BrokenOff
from minicompute.objects import Action, ActionState, StepProgress, StepReport, StepRequest

LOG = logging.getLogger(__name__)

#: seconds between two looks at what gathered, while there is something all the time
PACE = 0.03
#: a step that a neighbour has not answered so often says so in the action log
TELL_AFTER = 3


@dataclasses.dataclass(slots=True)
class Parked:
    """An action that waits for a compute; no thread does."""

    task: Task
    asked: Asked
    #: when it was asked last, or heard of
    at: float
    #: when it was asked first
    since: float


class Engine:
    """One per conductor. `send(host, StepRequest)` announces a request to a compute and never blocks;
    `steady()` says whether a host that does not report is down, or we are cut off ourselves."""

    def __init__(self, owner: str, send: Callable[[str, StepRequest], None],
                 steady: Callable[[], bool] = lambda: True) -> None:
        self.owner, self._send, self._steady = owner, send, steady
        self._ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._held: set[int] = set()
        self._parked: dict[int, Parked] = {}
        self._timers: list[tuple[float, Task]] = []
        self._stopped = threading.Event()
        self._committer = Committer(owner, self._stopped)
        #: one thread at a time takes what gathered; while it claims that, more gathers for the next
        self._turn = threading.Lock()
        self._looked, self._crowded = 0.0, False
        self._threads: list[threading.Thread] = []

    # -- the outside -------------------------------------------------------

    def start(self) -> None:
        for number in range(CONF.conductor.workers):
            thread = threading.Thread(target=self._work, name=f'flow-{number}', daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """The batches under way commit the step they are at; the rest is in the journal."""
        self._stopped.set()
        for _ in self._threads:
            self._ready.put(None)
        until = time.monotonic() + CONF.graceful_shutdown_timeout
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def ring(self, ids: Iterable[int]) -> None:
        """These actions may be there to be claimed; one that is in our hands and waits for its time looks now."""
        wanted = list(dict.fromkeys(ids))
        for task in self._take_timers(set(wanted)):
            self._ready.put(task)
        for action_id in wanted:
            self._ready.put(action_id)

    def report(self, reports: Iterable[StepReport]) -> None:
        for report in reports:
            self._ready.put(report)

    def cancel(self, ids: set[int]) -> None:
        """Their rows say so already; those that are parked need not wait for the next tick."""
        for entry in self._parked_now():
            if entry.task.action.id in ids and settle.may_cancel(entry.task.action):
                if self._unpark(entry.task.action.id or 0) is not None:
                    self._ready.put((entry.task, settle.Cancelled()))
        self._wake(ids)

    def host_started(self, host: str) -> None:
        """A compute lost what it was doing: ask it again for all that is parked on it."""
        for entry in self._parked_now():
            if entry.asked.host == host:
                self._ask(entry.task, entry.asked)

    def sweep(self) -> None:
        """Find what no bell announced, and what is mine by name but not in my hands: from before a
        restart, or put down after an error."""
        def look(conn: sa.Connection) -> list[int]:
            found = journal.unclaimed(conn, self.owner, Flow.known())
            return found + journal.release_orphans(conn)
        with self._lock:
            held = set(self._held)
        self.ring(action_id for action_id in session.write(look) if action_id not in held)

    def tick(self) -> None:
        """Renew the leases, and see to what waits: cancelled, too long, or its host gone."""
        session.write(journal.renew, self.owner, CONF.conductor.lease)
        parked = self._parked_now()
        with self._lock:
            waiting = [task.action.id or 0 for _, task in self._timers]
        if not parked and not waiting:
            return
        with session.read() as conn:
            now = session.now(conn)
            cancelled = set(journal.cancelled(conn, [p.task.action.id or 0 for p in parked] + waiting))
            hosts = {entry.asked.host for entry in parked}
            down = servicegroup.down_hosts(conn, hosts)
            if down and not self._steady():
                down = servicegroup.forced_down(conn, hosts)
        for entry in parked:
            self._look_after(entry, now, cancelled, down)
        self._wake(cancelled)

    def _wake(self, cancelled: set[int]) -> None:
        """What waits for its time and is to be ended need not wait."""
        for task in self._take_timers(cancelled):
            task.action.cancel = True
            self._ready.put(task)

    def _take_timers(self, ids: set[int]) -> list[Task]:
        with self._lock:
            found = [task for _, task in self._timers if task.action.id in ids]
            if found:
                self._timers = [(at, task) for at, task in self._timers if task.action.id not in ids]
        return found

    def due(self) -> None:
        """Put back to work what waited for its time."""
        now = time.monotonic()
        with self._lock:
            ready = [task for at, task in self._timers if at <= now]
            self._timers = [(at, task) for at, task in self._timers if at > now]
        for task in ready:
            self._ready.put(task)

    def load(self) -> dict[str, int]:
        with self._lock:
            return {'held': len(self._held), 'parked': len(self._parked), 'waiting': len(self._timers),
                    'ready': self._ready.qsize()}

    # -- parked actions ----------------------------------------------------

    def _parked_now(self) -> list[Parked]:
        with self._lock:
            return list(self._parked.values())

    def _unpark(self, action_id: int) -> Parked | None:
        with self._lock:
            return self._parked.pop(action_id, None)

    def heard(self, items: Sequence[StepProgress]) -> tuple[list[StepProgress], list[StepProgress]]:
        """Computes are at it. -> (of what is parked here, of what is not)"""
        mine, others = [], []
        with self._lock:
            for item in items:
                entry = self._parked.get(item.action_id)
                if entry is None:
                    others.append(item)
                elif item.step == entry.task.action.step_key and entry.asked.host == item.host:
                    entry.at = time.monotonic()
                    if entry.task.instance is not None:
                        entry.task.instance.progress = item.percent or 0
                    mine.append(item)
        return mine, others

    def _look_after(self, entry: Parked, now: datetime.datetime, cancelled: set[int], down: dict[str, Any]) -> None:
        action = entry.task.action
        step = Flow.registry[action.flow].step(action.step)
        error: Exception | None = None
        age = (now - action.updated_at).total_seconds() if action.updated_at else 0.0
        if entry.task.silence:      # what waits for a neighbour has been at this step for as long as that is away
            age = time.monotonic() - entry.since
        if entry.asked.host in down:
            error = exception.HostDown(host=entry.asked.host, since=down[entry.asked.host] or 'it was forced down')
        elif age > step.deadline():
            why = f': {entry.task.silence}' if entry.task.silence else ''
            error = StepFailed(f'{entry.asked.host} did not finish {step.name} in {step.deadline()} s{why}')
        elif action.id in cancelled and settle.may_cancel(action):
            error = settle.Cancelled()
        if error is not None:
            if self._unpark(action.id or 0) is not None:
                self._ready.put((entry.task, error))
        elif time.monotonic() - entry.at > CONF.conductor.ask_again:
            self._ask(entry.task, entry.asked)

    def _ask(self, task: Task, asked: Asked) -> None:
        action = task.action
        with self._lock:
            before, at = self._parked.get(action.id or 0), time.monotonic()
            self._parked[action.id or 0] = Parked(task, asked, at, before.since if before is not None else at)
        task.asked = asked
        request = action.request(asked.verb, task.instance, asked.args, self.owner)
        request.attempt = task.failures + task.silences
        self._send(asked.host, request)

    # -- workers -----------------------------------------------------------

    def _work(self) -> None:
        while not self._stopped.is_set():
            entries, going = [], []
            try:
                with self._turn:
                    entries = self._take()
                    going = self._admit(entries)
                while going and not self._stopped.is_set():
                    going = self._advance(going)
            except Exception:
                LOG.exception('A batch of %d was put down; the sweep takes it up again', len(entries))
                self._drop({task.action.id for task, _, _ in going} | {_id_of(entry) for entry in entries})

    def _take(self) -> list[Any]:
        """What gathered; nothing when the engine stops."""
        entries: list[Any] = []
        entry = self._ready.get()
        self._pace()
        while entry is not None:
            entries.append(entry)
            if len(entries) >= CONF.conductor.batch:
                break
            try:
                entry = self._ready.get_nowait()
            except queue.Empty:
                break
        self._crowded = len(entries) > 1
        if entry is None and entries:
            self._ready.put(None)   # the farewell is for another thread; this one has work
        return entries

    def _pace(self) -> None:
        """One server alone never waits. When the last look found several, the next one is `PACE` later: what
        comes meanwhile shares its transactions, and the processors are left to those who accept requests."""
        wait = self._looked + PACE - time.monotonic()
        if self._crowded and wait > 0:
            self._stopped.wait(wait)
        self._looked = time.monotonic()

    def _admit(self, entries: Sequence[Any]) -> list[tuple[Task, Outcome | Exception | None, bool]]:
        """-> (task, what its step came to, whether it has run already)."""
        admitted: list[tuple[Task, Outcome | Exception | None, bool]] = []
        rings, strangers = [], []
        for entry in entries:
            if isinstance(entry, int):
                rings.append(entry)
            elif isinstance(entry, Task):
                admitted.append((entry, None, False))
            elif isinstance(entry, tuple):
                admitted.append((entry[0], entry[1], True))
            else:
                known = self._match(entry)
                if known is not None:
                    admitted.append(known)
                elif entry.action_id not in self._held:
                    strangers.append(entry)
        # The claim is last: a ring is put down by nobody but the claim, should something beside it fail.
        admitted += self._adopt(strangers)
        admitted += [(task, None, False) for task in self._claim(rings)]
        return admitted

    def _match(self, report: StepReport) -> tuple[Task, Outcome | Exception, bool] | None:
        """A report of what I parked; one of an earlier question is passed over."""
        with self._lock:
            entry = self._parked.get(report.action_id)
            if entry is None or report.step != entry.task.action.step_key:
                return None
            if entry.asked.host != report.host:
                return None
            del self._parked[report.action_id]
        entry.task.report = report
        return entry.task, settle.outcome_of(entry.task, report), True

    def _claim(self, ids: Sequence[int]) -> list[Task]:
        with self._lock:
            wanted = [action_id for action_id in dict.fromkeys(ids) if action_id not in self._held]
            self._held.update(wanted)
        if not wanted:
            return []
        try:
            taken = session.write(journal.claim, wanted, self.owner, CONF.conductor.lease, Flow.known())
            tasks = self._tasks(taken)
        except BaseException:
            self._drop(wanted)
            raise
        self._drop(set(wanted) - {action.id for action in taken})
        return tasks

    def _adopt(self, reports: Sequence[StepReport]) -> list[tuple[Task, Outcome | Exception | None, bool]]:
        """Reports of steps that the API asked for directly: the commit of the step is the claim."""
        if not reports:
            return []
        by_id = {report.action_id: report for report in reports}
        with session.read() as conn:
            found = [action for action in journal.load(conn, by_id) if action.owner is None and
                     action.state == ActionState.RUNNING and action.generation == by_id[action.id or 0].generation and
                     action.step in Flow.known().get(action.flow, ())]
        with self._lock:
            found = [action for action in found if action.id not in self._held]
            self._held.update(action.id or 0 for action in found)
        out: list[tuple[Task, Outcome | Exception | None, bool]] = []
        for task in self._tasks(found):
            task.report = by_id[task.action.id or 0]
            lives_there = task.instance is not None and task.instance.host == task.report.host
            if not lives_there or task.report.step != task.action.step_key:
                self._drop([task.action.id or 0])
                continue
            out.append((task, settle.outcome_of(task, task.report), True))
        return out

    def _tasks(self, taken: Sequence[Action]) -> list[Task]:
        if not taken:
            return []
        with session.read() as conn:
            uuids = {action.instance_uuid for action in taken}
            if any(settle.needs_spec(action) for action in taken):
                servers, specs = instances.with_specs(conn, uuids)
            else:
                servers, specs = instances.get_many(conn, uuids), {}
        return [Task(action=action, instance=servers.get(action.instance_uuid), context=_context(action),
                     steady=self._steady, spec=specs.get(action.instance_uuid),
                     impatient=functools.partial(_impatient, action.instance_uuid)) for action in taken]

    def _advance(self, batch: Sequence[tuple[Task, Outcome | Exception | None, bool]]) -> list[Any]:
        """Run what has not run, settle and commit all. -> what goes on at once."""
        todo: dict[tuple[str, str | None, str], list[Task]] = defaultdict(list)
        results: list[tuple[Task, Outcome | Exception | None]] = []
        for task, outcome, ran in batch:
            if ran:
                results.append((task, outcome))
            else:
                todo[(task.action.flow, task.action.step, task.action.state)].append(task)
        for tasks in todo.values():
            results += _run(tasks)
        commits: list[Task] = []
        for task, outcome in results:
            verdict = settle.settle(task, outcome)
            if task.silences == TELL_AFTER and isinstance(outcome, exception.NeighbourUnavailable):
                _tell_silence(task)
            if isinstance(verdict, Asked):
                self._ask(task, verdict)
            elif isinstance(verdict, (int, float)):
                with self._lock:
                    self._timers.append((time.monotonic() + verdict, task))
            else:
                commits.append(task)
        return [(task, None, False) for task in self._commit(commits)]

    # -- the commit --------------------------------------------------------

    def _commit(self, tasks: Sequence[Task]) -> list[Task]:
        """One transaction for all. -> those that are mine still and have a next step."""
        if not tasks:
            return []
        for task in tasks:
            if task.instance is not None and task.instance.progress and 'progress' not in task.changes:
                task.set(progress=0)     # of the step that is over
        if crash.armed:
            passed = [(_place_of_commit(task), task.uuid) for task in tasks]
            crash.points('conductor', passed, 'before-commit')
        try:
            kept, released = self._committer.commit(tasks)
            if metrics.on():
                _measure(kept)
            if crash.armed:
                crash.points('conductor', passed, 'after-commit')
        except BrokenOff:
            self._drop(task.action.id for task in tasks)     # the sweep finds out what is written
            return []
        except Exception as error:
            if len(tasks) > 1:
                return [task for one in tasks for task in self._commit([one])]
            return self._refused(tasks[0], error)
        self._drop(set(task.action.id for task in tasks) - set(task.action.id for task in kept))
        ended = [task.action.id for task in kept if task.action.state not in settle.GOING]
        self._drop(ended)
        self.ring(released)
        going = []
        for task in kept:
            task.changes, task.commits, task.gathered, task.log = {}, [], [], []
            task.report, task.notes = None, ''
            if task.action.state in settle.GOING:
                going.append(task)
        return going

    def _refused(self, task: Task, error: Exception) -> list[Task]:
        """The database would not have the step's writes: the step has failed, and unwinds."""
        LOG.error('The commit of action %s was refused', task.action.id, exc_info=error)
        with session.read() as conn:
            before = journal.load(conn, [task.action.id or 0])
        if not before or before[0].generation != task.action.generation:
            self._drop([task.action.id])
            return []
        task.action, task.changes, task.commits, task.gathered, task.log = before[0], {}, [], [], []
        verdict = settle.settle(task, StepFailed(f'{type(error).__name__} while the step was written'))
        try:
            if verdict is None:
                self._committer.commit([task])
                self._drop([task.action.id])
                self.ring([task.action.id or 0])   # claimed anew, from what is written
                return []
        except Exception as again:
            LOG.error('Its unwinding cannot be written either: %s', again)
        LOG.error('Action %s is put down; the sweep takes it up again', task.action.id)
        self._drop([task.action.id])
        return []

    def _drop(self, ids: Iterable[int | None]) -> None:
        with self._lock:
            self._held.difference_update(i for i in ids if i is not None)


def _impatient(uuid: str) -> bool:
    with session.read() as conn:
        return journal.impatient(conn, uuid)


def _tell_silence(task: Task) -> None:
    """While it waits: the step has no row in the log before it ends."""
    action = task.action
    said = StepProgress(action_id=action.id or 0, generation=action.generation, step=action.step_key,
                        host=action.owner or '', stage=f'waits: {task.silence}'[:1000])
    try:
        session.write(progress.note, [said], [])
    except db_exc.DBError as error:
        LOG.warning('That action %s waits for a neighbour could not be written: %s', action.id, error)


def _measure(tasks: Iterable[Task]) -> None:
    now = session.utcnow()
    for task in tasks:
        for row in task.log:
            took = (row['finish_time'] or now) - (row['start_time'] or now)
            metrics.observe('step_seconds', max(0.0, took.total_seconds()), task.action.flow, row['event'],
                            row['result'])


def _id_of(entry: Any) -> int | None:
    """The action of an entry of the queue; a ring is held only once it is claimed."""
    if isinstance(entry, Task):
        return entry.action.id
    if isinstance(entry, tuple):
        task: Task = entry[0]
        return task.action.id
    return entry.action_id if isinstance(entry, StepReport) else None


def _place_of_commit(task: Task) -> str:
    """The name of what is committed, for crash points: the action itself has moved on already."""
    event = task.log[-1]['event'] if task.log else str(task.action.step)
    return f"{task.action.flow}.{event.removesuffix('_undo') + '.undo' if event.endswith('_undo') else event}"


def _run(tasks: Sequence[Task]) -> list[tuple[Task, Outcome | Exception]]:
    """Run one step of one flow for all of `tasks`."""
    if not crash.armed:
        return _run_all(tasks)
    places = [(f'{task.action.flow}.{task.action.step_key}', task.uuid) for task in tasks]
    try:
        crash.points('conductor', places, 'before')
    except crash.Planned as error:
        return [(task, StepFailed(str(error))) for task in tasks]
    results = _run_all(tasks)
    crash.points('conductor', places, 'after')
    return results


def _run_all(tasks: Sequence[Task]) -> list[tuple[Task, Outcome | Exception]]:
    step = Flow.registry[tasks[0].action.flow].step(tasks[0].action.step)
    going = [task for task in tasks if not settle.to_be_cancelled(task.action)]
    results: list[tuple[Task, Outcome | Exception]] = [
        (task, settle.Cancelled()) for task in tasks if settle.to_be_cancelled(task.action)]
    for task in going:
        task.began = session.utcnow()
    if step.many is not None and going and going[0].action.state == ActionState.RUNNING:
        try:
            outcomes: list[Any] = step.many(going)
        except Exception as error:
            outcomes = [_expected(error)] * len(going)
        results += list(zip(going, outcomes, strict=True))
    else:
        results += [(task, _run_one(step, task)) for task in going]
    return results


def _run_one(step: Step, task: Task) -> Outcome | Exception:
    undoing = task.action.state == ActionState.UNWINDING
    function = step.undo if undoing else step.run
    if task.instance is None and not undoing:
        return StepFailed('the server is gone', code=404)
    if function is None:
        return None
    try:
        return function(task)
    except Exception as error:
        return _expected(error)


def _expected(error: Exception) -> Exception:
    """A call that did not get through, or failed over there, is asked again; all else is the step's own word."""
    if isinstance(error, (messaging.MessagingException, messaging.RemoteError)):
        return Retry(f'no answer: {error}')
    return error


def _context(action: Action) -> RequestContext:
    return RequestContext(user_id=action.user_id, project_id=action.project_id, is_admin=True,
                          roles=['admin'], request_id=action.request_id, overwrite=False)
