"""What becomes of an action when a step has answered: the rules of the design's table, without any I/O of its own.

    dict / None     the next step, or the end
    Asked           parked until the compute reports
    Later, Retry    the same step again, uncounted or counted
    NeighbourUnavailable  the same step again with back-off until its deadline; then it unwinds. An undo, or a step
                    behind a pivot, ends and owes (`Step.debts`), or goes on asking, unless a delete waits behind it:
                    to that it gives way within seconds
    Reschedule      unwind to the step marked `retry`, then forward without that host
    a refusal       of what is part of an end (`owed_when_refused`): a few times again, then it is owed
    anything else   unwind, starting with the failed step itself: it may have half happened;
                    behind a pivot there is no way back: again with back-off, then `stuck`
"""
from __future__ import annotations

import datetime
import time
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from minicompute import exception
from minicompute.conductor.flow import Asked, Flow, Later, Outcome, Reschedule, Retry, Step, StepFailed, Task
from minicompute.conf import CONF
from minicompute.db.api import actions as journal
from minicompute.db.api import owed
from minicompute.objects import Action, ActionState, StepReport

LOG = logging.getLogger(__name__)

GOING = (ActionState.RUNNING, ActionState.UNWINDING)
MOST_BACKOFF = 30.0
#: what a compute says of a verb that it does not know
UNKNOWN = ('VerbUnknown', 'NotImplementedHere')
UNKNOWN_WORDS = exception.VerbUnknown.msg_fmt.removeprefix('%(verb)s')
#: seconds until an undo that nobody can answer looks again
PAUSE = 3.0
#: seconds until an undo that can be owed is: the server need not wait for what can be done behind it. So long, too, a
#: delete, or a reset of the state, waits for what cannot be owed
OWE_AFTER = 5.0
#: how often what may be owed is refused before it is
MOST_REFUSED = 3
#: of `_silent`: the neighbour has been silent for too long
FAILED = -1.0


class Cancelled(StepFailed):
    """Somebody deleted the server, or reset its state, while the action ran."""

    def __init__(self) -> None:
        super().__init__('cancelled: the server was deleted, its state reset or its guest rebooted', code=409)


class GivenUp(StepFailed):
    """An undo that nobody can answer, and that somebody will not wait for any longer: the action ends where it is."""


def may_cancel(action: Action) -> bool:
    flow = Flow.registry[action.flow]
    return flow.cancellable and action.state == ActionState.RUNNING and not flow.past_pivot(action.step)


def to_be_cancelled(action: Action) -> bool:
    return action.cancel and may_cancel(action)


def needs_spec(action: Action) -> bool:
    return Flow.registry[action.flow].with_spec


def outcome_of(task: Task, report: StepReport) -> Outcome | Exception:
    """A compute's report in the words of the engine."""
    if report.error is None:
        step = Flow.registry[task.action.flow].step(task.action.step)
        hook = step.undone if task.action.state == ActionState.UNWINDING else step.done
        if hook is None:
            return {}
        try:
            return hook(task)
        except Exception as error:
            return error
    if _is_unknown(task, report):
        task.notes = f'{report.host} is too old for it'
        return {}
    message, kind = report.error.get('message', ''), report.error.get('kind')
    if _says_unknown(report) and Flow.registry[task.action.flow].past_pivot(task.action.step):
        return exception.NeighbourUnavailable(service='compute', reason=(
            f'{message}, which is of an earlier version; the action goes on when it is upgraded'))
    if kind == 'reschedule':
        return Reschedule(message)
    if kind == 'retry':
        return Retry(message)
    if kind == 'neighbour':
        return exception.NeighbourUnavailable(message)
    return StepFailed(message, code=report.error.get('code', 500), details=report.error.get('details', ''))


def _is_unknown(task: Task, report: StepReport) -> bool:
    """Whether the flow goes on although the compute, of an earlier version, does not know the verb. One that cannot
    undo is as good as silent: most often it could not do it either."""
    if not _says_unknown(report):
        return False
    if task.action.state == ActionState.UNWINDING:
        task.data.setdefault('unreached', []).append(report.host)
        return True
    return Flow.registry[task.action.flow].step(task.action.step).newer


def _says_unknown(report: StepReport) -> bool:
    said = report.error or {}
    return said.get('class') in UNKNOWN and str(said.get('message')).endswith(UNKNOWN_WORDS)


def settle(task: Task, outcome: Outcome | Exception) -> Asked | float | None:
    """Move the action on in memory. -> the question to park on, the seconds to wait, or None: commit."""
    flow = Flow.registry[task.action.flow]
    step = flow.step(task.action.step)
    if isinstance(outcome, Asked):
        return outcome
    if isinstance(outcome, Later):
        task.silent_since, task.silence, task.silences = None, '', 0    # it has answered, if not yet what is hoped for
        return outcome.seconds
    if isinstance(outcome, Retry):
        task.failures += 1
        if task.failures < CONF.conductor.stuck_after:
            return _backoff(task.failures)
        outcome = StepFailed(str(outcome))
    undoing = task.action.state == ActionState.UNWINDING
    if isinstance(outcome, exception.NeighbourUnavailable):
        verdict = _silent(task, flow, step, outcome, undoing)
        if verdict != FAILED:
            return verdict
    task.silent_since, task.silence = None, ''
    if isinstance(outcome, Exception):
        task.changes, task.commits, task.gathered = {}, [], []
        return _undo_failed(task, flow, step, outcome) if undoing else _failed(task, flow, step, outcome)
    task.failures = task.silences = 0
    if undoing:
        task.data.update(outcome or {})
        _log(task, f'{step.name}_undo', 'Success')
        _undone(task, flow, step)
    else:
        _succeeded(task, flow, step, outcome)
    return None


def _silent(task: Task, flow: Flow, step: Step, error: Exception, undoing: bool) -> float | None:
    """A neighbour does not answer. -> seconds to wait, None when the step ended and owes or is stuck, or
    FAILED."""
    now = time.monotonic()
    task.changes, task.commits, task.gathered = {}, [], []
    if task.silent_since is None:
        task.silent_since = now
    task.silences += 1
    task.silence = str(error)
    wait = _backoff(task.silences)
    ends = step.debts is not None and (undoing or step.owed_when_down)
    endless = not ends and (undoing or flow.past_pivot(step.name))      # but for somebody who does not wait
    soon = endless or (undoing and ends)
    lasted = now + wait - task.silent_since
    if lasted < (min(step.deadline(), OWE_AFTER) if soon else step.deadline()):
        return wait
    given_up = endless and task.impatient()
    if not endless or given_up or lasted >= step.deadline():
        LOG.warning('Action %s (%s of %s) cannot go on at %s%s: %s', task.action.id, task.action.action, task.uuid,
                    step.name, f' ({task.asked.host})' if task.asked else '', error)
    if endless:
        if not given_up:
            return wait     # there is no other end than this one, and it comes when the neighbour is back
        _log(task, f'{step.name}_undo' if undoing else step.name, 'Error', error)
        _stuck(task, error)
        return None
    if not ends:
        return FAILED
    owe_neighbours(task, step, str(error))
    task.failures, task.silences, task.silent_since, task.silence = 0, 0, None, ''
    if undoing:
        _log(task, f'{step.name}_undo', 'Success', note=f'owed: {error}')
        _undone(task, flow, step)
    else:
        _succeeded(task, flow, step, {'owed': True})
    return None


def owe_neighbours(task: Task, step: Step, reason: str) -> None:
    found = list(step.debts(task)) if step.debts is not None else []

    def write(conn: sa.Connection) -> None:
        for debt in found:
            owed.add_debt(conn, debt.service, task.uuid, f'{debt.kind} {debt.ref}', debt.data, reason)
    task.on_commit(write)


def _succeeded(task: Task, flow: Flow, step: Step, facts: dict[str, Any] | None) -> None:
    task.data.update(facts or {})
    _log(task, step.name, 'Success')
    following = flow.next(task, flow.index(step.name))
    if following is not None:
        task.action.step, task.action.attempts = following.name, 0
        return
    if flow.finished is not None:
        flow.finished(task)
    _end(task, ActionState.DONE)


def _failed(task: Task, flow: Flow, step: Step, error: Exception) -> float | None:
    down = isinstance(error, exception.HostDown)
    if down and step.owed_when_down:
        owe(task, str(error))
        _succeeded(task, flow, step, {'owed': True})
        return None
    if step.owed_when_refused:
        return _refused(task, flow, step, error)
    _log(task, step.name, 'Error', error)
    if flow.past_pivot(step.name):
        return _again_or_stuck(task, error)
    action = task.action
    action.data['error'] = {'message': _public(error), 'code': getattr(error, 'code', 500),
                            'details': getattr(error, 'details', ''), 'step': step.name,
                            'cancelled': isinstance(error, Cancelled)}
    if isinstance(error, Reschedule):
        _elsewhere(task, flow, str(error))
    action.state, action.attempts = ActionState.UNWINDING, 0
    task.failures = task.silences = 0       # its undo has failed at nothing yet
    if step.undo is None:
        _undone(task, flow, step)
    return None


def _refused(task: Task, flow: Flow, step: Step, error: Exception) -> float | None:
    """It may be over in a second; else the debts know how to wait for it."""
    task.failures += 1
    if task.failures < MOST_REFUSED:
        return _backoff(task.failures)
    task.notes = f'owed: {_public(error)}'
    LOG.warning('Action %s (%s of %s) is refused at %s, which is owed now: %s', task.action.id, task.action.action,
                task.uuid, step.name, error)
    owe_neighbours(task, step, _public(error))
    task.failures = 0
    _succeeded(task, flow, step, {'owed': True})
    return None


def _public(error: Exception) -> str:
    """What a user may read: our own words. Those of others (SQL, paths) are for the log and the operator."""
    if isinstance(error, (exception.ComputeException, StepFailed, Reschedule, Retry)):
        return str(error)
    LOG.error('An unforeseen error: %s', error, exc_info=error)
    return f'Unexpected {type(error).__name__}; the log of the conductor has the rest.'


def _elsewhere(task: Task, flow: Flow, why: str) -> None:
    data = task.data
    tried = data.setdefault('tried', [])
    host = (data.get('dest') or {}).get('host') or (task.instance.host if task.instance else None)
    if host and host not in tried:
        tried.append(host)
    most = next((step.retry() for step in flow.steps if step.retry is not None), 0)
    if len(tried) < most:
        data['reschedule'] = True
        return
    data['error']['message'] = str(exception.RescheduleExhausted(instance_uuid=task.uuid, reason=why))


def _undone(task: Task, flow: Flow, step: Step) -> None:
    """`step` is undone: forward again from here, one step further back, or the end."""
    action = task.action
    if step.retry is not None and action.data.pop('reschedule', False):
        action.state, action.step = ActionState.RUNNING, step.name
        return
    before = flow.previous(flow.index(step.name))
    if before is not None:
        action.step = before.name
        if before.undo is None:
            _undone(task, flow, before)
        return
    flow.failed(task, action.data.get('error') or {'message': 'unknown', 'code': 500})
    _end(task, ActionState.FAILED, (action.data.get('error') or {}).get('message'))


def _undo_failed(task: Task, flow: Flow, step: Step, error: Exception) -> float | None:
    if isinstance(error, exception.HostDown) and step.undo_waits:
        return PAUSE
    if isinstance(error, exception.HostDown):
        if step.undo_owes:
            owe(task, str(error))
        task.data.setdefault('unreached', []).append(task.asked.host if task.asked else None)
        _log(task, f'{step.name}_undo', 'Success', note=f'owed: {error}')
        _undone(task, flow, step)
        return None
    _log(task, f'{step.name}_undo', 'Error', error)
    if isinstance(error, GivenUp):      # what does not wait puts it aside with this commit
        _stuck(task, error)
        return None
    return _again_or_stuck(task, error)


def _again_or_stuck(task: Task, error: Exception) -> float | None:
    task.failures += 1
    if task.failures < CONF.conductor.stuck_after:
        task.log.clear()
        return _backoff(task.failures)
    _stuck(task, error)
    return None


def _stuck(task: Task, error: Exception) -> None:
    task.action.state, task.action.message = ActionState.STUCK, _public(error)[:1000]
    task.action.attempts = task.failures + task.silences
    LOG.error('Action %s (%s of %s) is stuck at %s: %s', task.action.id, task.action.action, task.uuid,
              task.action.step, error)


def _end(task: Task, state: str, message: str | None = None) -> None:
    task.action.state, task.action.message = state, message
    journal.drop_secrets(task.action.data)


def _backoff(failures: int) -> float:
    return min(0.2 * 2 ** min(failures, 8), MOST_BACKOFF)


def owe(task: Task, reason: str) -> None:
    """The host is away: note what it has to clean up when it comes back."""
    host = task.asked.host if task.asked else (task.instance.host if task.instance else None)
    if host is None:
        return

    def write(conn: sa.Connection) -> None:
        owed.add(conn, host, task.uuid, 'destroy', reason)
    task.on_commit(write)


def _log(task: Task, event: str, result: str, error: Exception | None = None, note: str = '') -> None:
    report = task.report
    task.log.append({
        'action_id': task.action.id, 'event': event, 'result': result,
        'start_time': report.started_at if report else task.began,
        'finish_time': report.finished_at if report else None,
        'traceback': (getattr(error, 'details', '') or None) if error else None,
        'details': str(error)[:4000] if error else (note or task.notes or None),
        'host': report.host if report else task.action.owner})


def events(task: Task, now: datetime.datetime) -> list[dict[str, Any]]:
    """The rows of the step log that go with the commit."""
    return [{**row, 'start_time': row['start_time'] or now, 'finish_time': row['finish_time'] or now}
            for row in task.log]
