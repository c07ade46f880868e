"""A neighbour that does not answer: what becomes of a step, of an undo, and of what is owed."""
from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute import exception, utils
from minicompute.compute.manager.verbs.base import failure
from minicompute.conductor import debts, settle
from minicompute.conductor.flow import Debt, Flow, Later, Retry, Step, StepFailed, Task
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import owed
from minicompute.objects import Action, ActionState, StepReport

SILENT = exception.NeighbourUnavailable(service='Image', reason='it cannot be reached')
UUID = '3f1a2f6e-7a35-4d5a-9f2a-9a4ba10e4b0f'


def first(task: Task) -> None: ...
def ask(task: Task) -> None: ...
def back(task: Task) -> None: ...
def last(task: Task) -> None: ...


def left(task: Task) -> list[Debt]:
    return [Debt('glance', 'image', 'an-image')]


@pytest.fixture
def make(conf: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """-> make(flow's steps) -> a task at the step `ask`, whose deadline is 60 s, and the clock's hand."""
    clock = [1000.0]
    monkeypatch.setattr(time, 'monotonic', lambda: clock[0])

    def made(state: str = ActionState.RUNNING, pivot: bool = False, **step: Any) -> tuple[Task, list[float]]:
        Flow('of-this-test', Step(first, undo=back, pivot=pivot), Step(ask, deadline=lambda: 60, **step), Step(last),
             failed=lambda task, error: None)
        action = Action(id=1, action='test', flow='of-this-test', step='ask', state=state, instance_uuid=UUID,
                        request_id='req-1', user_id='u', project_id='p', data={})
        return Task(action=action, instance=None, context=RequestContext(overwrite=False)), clock
    yield made
    Flow.registry.pop('of-this-test', None)


def waited(task: Task, clock: list[float], most: int = 100) -> tuple[int, Any]:
    """Let the neighbour be silent until settle says more than `wait`. -> (how often it was asked, what it says)"""
    for asked in range(1, most):
        verdict = settle.settle(task, SILENT)
        if verdict is None:
            return asked, None
        clock[0] += verdict
    return most, verdict


def test_a_step_is_asked_again_until_its_deadline(make: Any) -> None:
    task, clock = make()
    asked, _ = waited(task, clock)
    assert 5 < asked < 15 and 1030 < clock[0] <= 1060
    assert task.action.state == ActionState.UNWINDING and task.action.step == 'first'
    assert task.action.data['error']['message'] == 'The Image service is not available: it cannot be reached'
    assert task.action.data['error']['code'] == 503


def test_one_that_answers_in_between_begins_anew(make: Any) -> None:
    task, clock = make()
    for _ in range(4):
        clock[0] += settle.settle(task, SILENT)
    assert task.silence == str(SILENT)      # which the engine adds when a compute is late
    assert settle.settle(task, {}) is None and task.action.step == 'last'
    assert task.silent_since is None and task.failures == 0 and task.silence == ''


@pytest.mark.parametrize('undoing', [True, False])
def test_where_there_is_no_other_way_it_goes_on_asking(make: Any, undoing: bool) -> None:
    """An undo that owes nothing, a step behind the pivot: no operator is needed when the neighbour is back."""
    task, clock = make(ActionState.UNWINDING, undo=back) if undoing else make(pivot=True)
    state = task.action.state
    assert waited(task, clock, 500) == (500, settle.MOST_BACKOFF)
    assert clock[0] > 10000 and task.action.state == state and task.action.step == 'ask'
    assert settle.settle(task, {}) is None and task.action.step == ('first' if undoing else 'last')


def test_an_undo_without_debts_gives_way(make: Any) -> None:
    """So that a delete need not wait for a neighbour that never comes back."""
    task, clock = make(ActionState.UNWINDING, undo=back)
    task.impatient = lambda: True
    waited(task, clock)
    assert 1000 < clock[0] < 1000 + settle.OWE_AFTER
    assert task.action.state == ActionState.STUCK and task.action.step == 'ask'
    assert 'The Image service' in task.action.message and task.log[-1]['event'] == 'ask_undo'


@pytest.mark.parametrize('undoing', [True, False])
def test_one_that_asks_already_gives_way_at_the_next_look(make: Any, undoing: bool) -> None:
    """Long before the step's deadline: a delete that comes wakes it up, and has not to wait for that."""
    task, clock = make(ActionState.UNWINDING, undo=back) if undoing else make(pivot=True)
    waited(task, clock, 6)
    assert clock[0] < 1060 - settle.MOST_BACKOFF
    task.impatient = lambda: True
    assert settle.settle(task, SILENT) is None and task.action.state == ActionState.STUCK


def test_an_undo_ends_and_owes(make: Any) -> None:
    task, clock = make(ActionState.UNWINDING, undo=back, debts=left)
    waited(task, clock)
    assert clock[0] < 1000 + settle.OWE_AFTER          # the server is free again soon
    assert task.action.step == 'first' and len(task.commits) == 1
    assert task.log[-1]['event'] == 'ask_undo' and 'owed: The Image service' in task.log[-1]['details']


def test_behind_the_pivot_there_is_no_way_back(make: Any) -> None:
    task, clock = make(pivot=True)
    task.impatient = lambda: True
    waited(task, clock)
    assert 1000 < clock[0] < 1000 + settle.OWE_AFTER
    assert task.action.state == ActionState.STUCK and task.action.step == 'ask'
    assert [(row['event'], row['result']) for row in task.log] == [('ask', 'Error')]


def test_silence_is_no_failure(make: Any) -> None:
    """Which, behind a pivot, end in `stuck`; and each question is another try for the compute."""
    task, clock = make(pivot=True)
    tries = [task.failures + task.silences]
    clock[0] -= 1e6
    for outcome in [*[SILENT] * 12, StepFailed('an ordinary error'), SILENT, Retry('once more')]:
        clock[0] += 1
        assert settle.settle(task, outcome) <= settle.MOST_BACKOFF
        tries.append(task.failures + task.silences)
    assert tries == sorted(set(tries)) and task.action.state == ActionState.RUNNING


def test_an_answer_between_ends_a_silence(make: Any) -> None:
    """Two silences far from each other are not one, though what is waited for has not come in between."""
    task, clock = make()
    assert settle.settle(task, SILENT) > 0
    assert settle.settle(task, Later(3, 'it is still being made')) == 3
    clock[0] += 1000
    assert settle.settle(task, SILENT) > 0 and task.action.state == ActionState.RUNNING


def test_an_undo_begins_without_failures(make: Any) -> None:
    task, clock = make()
    waited(task, clock)
    assert task.action.state == ActionState.UNWINDING
    assert settle.settle(task, StepFailed('an ordinary error')) < 1 and task.action.state == ActionState.UNWINDING


def test_a_silence_of_days(make: Any) -> None:
    task, clock = make(undo=back)
    object.__setattr__(Flow.registry['of-this-test'].step('ask'), 'deadline', lambda: 10**6)
    assert waited(task, clock, 3000) == (3000, settle.MOST_BACKOFF)


def test_a_step_may_end_and_owe(make: Any) -> None:
    task, clock = make(debts=left, owed_when_down=True)
    waited(task, clock)
    assert task.action.state == ActionState.RUNNING and task.action.step == 'last' and len(task.commits) == 1


def test_a_compute_that_finds_nobody(make: Any) -> None:
    """Its report says so, and no other host is tried."""
    task, clock = make()
    said = failure('spawn', SILENT)
    task.report = StepReport(1, 1, 'ask', 'host1', error=said)
    outcome = settle.outcome_of(task, task.report)
    assert said['kind'] == 'neighbour' and isinstance(outcome, exception.NeighbourUnavailable)
    assert str(outcome) == str(SILENT)


@pytest.mark.parametrize('pivot', [True, False])
def test_a_compute_that_is_too_old(make: Any, pivot: bool) -> None:
    """Behind the pivot it is waited for, until it is upgraded; before it there is a way back."""
    task, clock = make(pivot=pivot)
    task.report = StepReport(1, 1, 'ask', 'host1', error=failure('ask', exception.VerbUnknown(verb='ask')))
    for _ in range(100):
        outcome = settle.outcome_of(task, task.report)
        verdict = settle.settle(task, outcome)
        if verdict is None:
            break
        clock[0] += verdict
    if not pivot:
        assert task.action.state == ActionState.UNWINDING
        return
    assert task.action.state == ActionState.RUNNING and verdict == settle.MOST_BACKOFF
    assert 'ask is unknown to this compute' in task.silence and 'when it is upgraded' in task.silence
    assert 'host1' not in task.silence, "which is not its owner's business"


def test_debts_are_paid_when_it_is_back(database: str, conf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.set_override('image_backend', 'glance')
    paid, silent, broken = [], {'b'}, {'c'}

    def pay(ref: str, data: dict[str, Any]) -> None:
        if ref in silent:
            raise SILENT
        if ref in broken:
            raise RuntimeError('a bug')
        if ref == 'gone':
            raise exception.VolumeNotFound(volume_id=ref)
        if ref == 'page':
            raise exception.NotFound('of a proxy, say: it does not tell that the thing is gone')
        paid.append((ref, data))
    monkeypatch.setitem(debts.PAYERS, 'thing', pay)

    def write(conn: Any) -> None:
        for verb in ('thing a', 'thing a', 'thing c', 'unknown x', 'thing gone', 'thing page', 'thing b', 'thing d'):
            owed.add_debt(conn, 'glance', UUID, verb, {'k': 1}, 'it was away')
        owed.add_debt(conn, 'neutron', UUID, 'thing e', {}, 'it was away')
        owed.add_debt(conn, 'cinder', UUID, 'thing f', {'not_before': '2020-01-01T00:00:00'}, 'an api died')
        owed.add_debt(conn, 'cinder', UUID, 'thing later', {'not_before': '2999-01-01T00:00:00'}, 'in case it dies')
    session.write(write)
    with session.read() as conn:
        assert owed.debts(conn) == {} and owed.of_hosts(conn, ['host1']) == []     # no compute is bothered
    assert debts.pay() == 4
    assert [ref for ref, _ in paid] == ['a', 'e', 'f'] and paid[0][1] == {'k': 1}   # `d` is of the same service as `b`
    silent.clear()
    assert debts.pay() == 2
    with session.read() as conn:
        assert [row.verb for row in owed.of_neighbours(conn, 10)] == [
            'thing c', 'unknown x', 'thing page', 'thing later']


def test_debts_that_cannot_be_paid_stand_in_nobodys_way(database: str, conf: Any,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """They are put off, for longer each time; what is not due or of a silent service is passed over."""
    tried: list[str] = []
    now = [utils.utcnow()]

    def pay(ref: str, data: dict[str, Any]) -> None:
        tried.append(ref)
        if ref.startswith('away'):
            raise SILENT
        if ref.startswith('bad'):
            raise exception.Conflict('it is in use')
    monkeypatch.setitem(debts.PAYERS, 'thing', pay)
    monkeypatch.setattr(debts, 'MOST', 4)
    monkeypatch.setattr(utils, 'utcnow', lambda: now[0])

    def write(conn: Any) -> None:
        for number in range(6):
            owed.add_debt(conn, 'cinder', UUID, f'thing away{number}', {}, 'it was away')
            owed.add_debt(conn, 'neutron', UUID, f'thing later{number}', {'not_before': '2999-01-01'}, 'in case')
        for ref in ('bad1', 'bad2', 'bad3', 'bad4', 'good1', 'good2'):
            owed.add_debt(conn, 'glance', UUID, f'thing {ref}', {}, 'it was away')
    session.write(write)
    assert debts.pay() == 0 and tried == []         # all is local here: there is nobody to ask
    conf.set_override('image_backend', 'glance')
    assert debts.pay() == 0 and tried == ['away0', 'bad1', 'bad2', 'bad3']
    tried.clear()
    assert debts.pay() == 2 and tried == ['away0', 'bad4', 'good1', 'good2']
    for seconds, again in ((0, []), (debts.AGAIN, ['bad1', 'bad2', 'bad3']), (0, ['bad4']), (debts.AGAIN, []),
                           (debts.AGAIN, ['bad1', 'bad2', 'bad3'])):
        tried.clear()
        now[0] += datetime.timedelta(seconds=seconds)
        assert debts.pay() == 0 and tried == ['away0', *again]
