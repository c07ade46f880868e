"""What every registered flow gets without asking: fail at each step, run each step twice, undo twice, and
kill the conductor after each commit."""
from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conductor import flows  # noqa: F401
from minicompute.conductor.flow import Asked, Flow, Step, StepFailed
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import stuck
from minicompute.virt.fake import FakeDriver
from tests.functional.beginnings import GONE, begin, last_way_back
from tests.functional.bench import PATIENCE, Bench

NAMES = sorted(Flow.registry)
STEPS = [(name, step.name) for name in NAMES for step in Flow.registry[name].steps]


@pytest.fixture
def bench(database: str, monkeypatch: Any) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.close()


def change(monkeypatch: Any, flow: str, step: str, **parts: Any) -> None:
    """Replace parts of one step for the length of the test."""
    changed = tuple(dataclasses.replace(s, **parts) if s.name == step else s for s in Flow.registry[flow].steps)
    monkeypatch.setattr(Flow.registry[flow], 'steps', changed)


def named(function: Any, name: str) -> Any:
    function.__name__ = name
    return function


def step_of(flow: str, step: str) -> Step:
    return Flow.registry[flow].step(step)


@pytest.mark.every_case
@pytest.mark.parametrize('name', NAMES)
def test_it_works(bench: Bench, name: str) -> None:
    uuid, action_id = begin(bench, name)
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done']
    bench.check()
    assert bench.server(uuid).deleted == (name == 'delete')


@pytest.mark.generic
@pytest.mark.parametrize(('name', 'step'), STEPS)
@pytest.mark.parametrize('when', ['before', 'after'])
def test_fail_at_each_step(bench: Bench, monkeypatch: Any, name: str, step: str, when: str) -> None:
    """`before`: it did nothing; `after`: it did all, and then failed: its own undo must know."""
    real = step_of(name, step)
    uuid, action_id = begin(bench, name)

    refused: list[str] = []

    def fails(task: Any) -> Any:
        outcome = real.run(task) if when == 'after' else None
        if isinstance(outcome, Asked) and refused:
            return outcome      # behind a pivot it is tried again
        if isinstance(outcome, Asked):
            refused.append(outcome.verb)
            FakeDriver.faults[outcome.verb + '.after'] = _refuse_once(outcome.verb)
            return outcome
        raise StepFailed('planned')
    change(monkeypatch, name, step, run=named(fails, step), many=None, when=None)
    bench.engine().ring([action_id])
    state = bench.finish([action_id])[0]
    past = Flow.registry[name].past_pivot(step) or step in GONE.get(name, ())[1:]
    if past and not real.owed_when_refused and (when == 'before' or state == 'stuck'):
        assert state == 'stuck'     # never back; the operator gives up here
        session.write(stuck.abandon, action_id, '')
    else:
        assert state in ('failed', 'done')   # a build that a host refused goes on elsewhere
    if state != 'done':
        assert bench.action(action_id).message
    bench_check_after_failure(bench, name, uuid)


def _refuse_once(verb: str) -> Any:
    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.pop(verb + '.after', None)
        raise RuntimeError('planned, after all was done')
    return refuse


def bench_check_after_failure(bench: Bench, name: str, uuid: str) -> None:
    if name == 'build':
        bench.check()
        return
    if name == 'delete':
        return   # its step is broken for good here; that a second delete ends is tested below
    # The server is there still, with its claim and a reason; a delete must be able to end it.
    again = bench.new_action(uuid, 'delete')
    bench.engines[-1].ring([again])
    assert bench.finish([again]) == ['done']
    bench.check()


@pytest.mark.generic
@pytest.mark.parametrize(('name', 'step'), STEPS)
def test_run_each_step_twice(bench: Bench, monkeypatch: Any, name: str, step: str) -> None:
    real = step_of(name, step)
    _, action_id = begin(bench, name)

    def twice(task: Any) -> Any:
        real.run(task)
        return real.run(task)
    change(monkeypatch, name, step, run=named(twice, step), many=None)
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done']
    bench.check()


@pytest.mark.generic
@pytest.mark.parametrize(('name', 'step'), [(n, s) for n, s in STEPS if step_of(n, s).undo])
def test_undo_each_step_twice(bench: Bench, monkeypatch: Any, name: str, step: str) -> None:
    real = step_of(name, step)
    _, action_id = begin(bench, name)

    def twice(task: Any) -> Any:
        assert real.undo is not None
        real.undo(task)
        return real.undo(task)
    last = last_way_back(name)

    def fails(task: Any) -> Any:
        raise StepFailed('planned')
    change(monkeypatch, name, step, undo=twice)
    if step == last:
        change(monkeypatch, name, step, undo=twice, run=named(fails, step), many=None, when=None)
    else:
        change(monkeypatch, name, last, run=named(fails, last), many=None, when=None)
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['failed']
    bench.check()


@pytest.mark.generic
@pytest.mark.parametrize('broken', [False, True], ids=['forward', 'unwinding'])
@pytest.mark.parametrize('name', NAMES)
def test_kill_after_each_commit(bench: Bench, monkeypatch: Any, name: str, broken: bool) -> None:
    """A conductor that dies after 0, 1, 2, ... commits; another takes over when the lease has run out."""
    if broken:
        last = last_way_back(name)

        def fails(task: Any) -> Any:
            raise StepFailed('planned')
        real = Flow.registry[name].steps
    for commits in range(len(Flow.registry[name].steps) + 3):
        if broken:
            monkeypatch.setattr(Flow.registry[name], 'steps', real)
        uuid, action_id = begin(bench, name)
        if broken:
            change(monkeypatch, name, last, run=named(fails, last), many=None, when=None)
        mortal = bench.engine(f'mortal{commits}', commits=commits)
        mortal.ring([action_id])
        end = time.monotonic() + PATIENCE
        while not mortal.dead.wait(0.02):
            mortal.due()
            if bench.action(action_id).state in ('done', 'failed'):
                break
            assert time.monotonic() < end, (bench.action(action_id), mortal.load())
        mortal.dead.set()
        bench.expire_leases()
        heir = bench.engine(f'heir{commits}')
        heir.sweep()
        assert bench.finish([action_id]) == ['failed' if broken else 'done']
        heir.dead.set()
        if not broken or name in ('build', 'resize', 'revert-resize'):
            bench.check()


def test_a_group_is_placed_together(bench: Bench) -> None:
    ids = bench.new_server(count=5)
    bench.engine().ring(ids[:1])
    assert bench.finish(ids) == ['done'] * 5
    bench.check()


def test_a_group_that_does_not_fit_fails_together(bench: Bench, conf: Any) -> None:
    conf.set_override('memory_mb', 1024, 'fake')
    for manager in bench.computes.values():
        bench.conductor.hello(admin_context(), manager.housekeeping.inventory())
    ids = bench.new_server(count=40)
    bench.engine().ring(ids[:1])
    assert set(bench.finish(ids)) == {'failed'}
    fault = bench.server(bench.action(ids[3]).instance_uuid).fault
    assert fault and 'No valid host' in fault['message']
    bench.check()


def test_a_build_goes_to_another_host(bench: Bench) -> None:
    refused: list[str] = []

    def refuse(driver: Any, uuid: str) -> None:
        if not refused:
            refused.append(driver.host)
            raise RuntimeError('this host is broken')
    FakeDriver.faults['spawn'] = refuse
    ids = bench.new_server()
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['done']
    assert bench.server(bench.action(ids[0]).instance_uuid).host not in refused
    bench.check()


def test_a_build_that_no_host_can_do_says_so(bench: Bench) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('this host is broken')
    FakeDriver.faults['spawn'] = refuse
    ids = bench.new_server()
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['failed']
    fault = bench.server(bench.action(ids[0]).instance_uuid).fault
    assert fault and ('broken' in fault['message'] or 'No valid host' in fault['message'])
    bench.check()


def test_delete_wins_over_a_build(bench: Bench) -> None:
    """The delete cancels the spawn that runs, and ends after it."""
    import threading

    from minicompute.db import session
    from minicompute.db.api import actions
    from minicompute.objects import Action
    gate, spawning = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        spawning.set()
        gate.wait(60)
    FakeDriver.faults['spawn'] = hold
    ids = bench.new_server()
    engine = bench.engine()
    engine.ring(ids)
    assert spawning.wait(60)
    uuid = bench.action(ids[0]).instance_uuid

    def write(conn: Any) -> int:
        actions.cancel(conn, ids[0])
        return actions.begin(conn, [Action(action='delete', flow='delete', step='destroy', instance_uuid=uuid,
                                           request_id='req-1', state='queued', after=ids[0],
                                           busy=actions.queued_key(uuid))])[0]
    delete = session.write(write)
    engine.cancel({ids[0]})
    gate.set()
    assert bench.finish([ids[0], delete]) == ['failed', 'done']
    assert bench.server(uuid).deleted
    bench.check()


def test_a_delete_that_failed_can_be_asked_again(bench: Bench) -> None:
    uuid, action_id = begin(bench, 'delete')

    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('the hypervisor is away')
    FakeDriver.faults['destroy'] = refuse
    engine = bench.engine()
    engine.ring([action_id])
    assert bench.finish([action_id]) == ['failed']
    assert bench.server(uuid).vm_state == 'error'
    FakeDriver.faults.clear()
    again = bench.new_action(uuid, 'delete')
    engine.ring([again])
    assert bench.finish([again]) == ['done']
    bench.check()
