"""Bugs that the engine had: each test failed before its mending."""
from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.compute.api import delete as compute_delete
from minicompute.conductor import settle
from minicompute.conductor.flow import Later
from minicompute.context import RequestContext, admin_context
from minicompute.db import session
from minicompute.db.api import actions, stuck
from minicompute.db.models import instance_actions
from minicompute.scheduler.rpcapi import SchedulerAPI
from minicompute.virt.fake import FakeDriver
from tests.functional.bench import Bench
from tests.functional.test_flows import begin, change, named


@pytest.fixture
def bench(database: str, monkeypatch: Any) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.close()


def refuse(driver: Any, uuid: str) -> None:
    raise RuntimeError('planned')


def make_stuck(bench: Bench) -> int:
    """-> a build whose undo cannot be done"""
    FakeDriver.faults.update(spawn=refuse, destroy=refuse)
    ids = bench.new_server()
    keep_a_secret(ids)
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['stuck']
    FakeDriver.faults.clear()
    return ids[0]


def keep_a_secret(ids: list[int]) -> None:
    def write(conn: sa.Connection) -> None:
        for action in actions.load(conn, ids):
            conn.execute(instance_actions.update().where(instance_actions.c.id == action.id).values(
                data={**action.data, 'secret': {'admin_password': 'x'}}))
    session.write(write)


def test_an_action_whose_batch_broke_is_taken_up_again(bench: Bench, monkeypatch: Any) -> None:
    real, broke = settle.settle, threading.Event()

    def breaks_once(task: Any, outcome: Any) -> Any:
        if not broke.is_set():
            broke.set()
            raise RuntimeError('a bug')
        return real(task, outcome)
    monkeypatch.setattr(settle, 'settle', breaks_once)
    engine, ids = bench.engine(), bench.new_server()
    engine.ring(ids)
    assert broke.wait(5)
    while engine.load()['held']:
        time.sleep(0.01)
    engine.sweep()
    assert bench.finish(ids) == ['done']


def test_a_delete_wins_over_a_stuck_action(bench: Bench) -> None:
    action_id = make_stuck(bench)
    server = bench.server(bench.action(action_id).instance_uuid)
    context = RequestContext(user_id='u', project_id='p', is_admin=True, overwrite=False)
    compute_delete.delete(context, server)
    with session.read() as conn:
        held = actions.running(conn, server.uuid)
    assert held is not None and held.flow == 'delete'
    bench.engines[-1].ring([held.id or 0])
    assert bench.finish([held.id or 0]) == ['done']
    assert bench.server(server.uuid).deleted


def test_an_abandoned_action_keeps_no_secret(bench: Bench) -> None:
    action_id = make_stuck(bench)
    session.write(stuck.abandon, action_id, '')
    assert 'secret' not in bench.action(action_id).data


def test_a_group_that_failed_keeps_no_secret(bench: Bench, conf: Any) -> None:
    conf.set_override('memory_mb', 1024, 'fake')
    for manager in bench.computes.values():
        bench.conductor.hello(admin_context(), manager.housekeeping.inventory())
    ids = bench.new_server(count=40)
    keep_a_secret(ids)
    bench.engine().ring(ids[:1])
    bench.finish(ids)
    assert not [i for i in ids if 'secret' in bench.action(i).data]


@pytest.mark.parametrize('seconds', [30, 30.0])
def test_later_waits(bench: Bench, monkeypatch: Any, seconds: float) -> None:
    _, action_id = begin(bench, 'stop')
    runs: list[int] = []

    def later(task: Any) -> Any:
        runs.append(1)
        raise Later(seconds)
    change(monkeypatch, 'stop', 'power_off', run=named(later, 'power_off'))
    engine = bench.engine()
    engine.ring([action_id])
    while not engine.load()['waiting']:
        time.sleep(0.01)
    assert runs == [1]


def test_a_step_of_another_version_is_left_alone(bench: Bench) -> None:
    ids = bench.new_server()
    session.write(lambda conn: conn.execute(instance_actions.update().values(
        step='from-the-future', lease_until=None)).rowcount)
    engine = bench.engine()
    engine.sweep()
    engine.ring(ids)
    time.sleep(0.3)
    assert bench.action(ids[0]).owner is None
    assert engine.load()['held'] == 0


def test_a_stop_lets_the_step_commit(bench: Bench, monkeypatch: Any) -> None:
    gate, inside = threading.Event(), threading.Event()

    def slow(_: Any, ctx: Any, requests: Any, timeout: float = 0) -> Any:
        inside.set()
        gate.wait(5)
        return bench.scheduler.select_destinations(ctx, requests)
    monkeypatch.setattr(SchedulerAPI, 'select_destinations', slow)
    engine, ids = bench.engine(), bench.new_server()
    engine.ring(ids)
    assert inside.wait(5)
    threading.Timer(0.2, gate.set).start()
    engine.stop()
    assert bench.action(ids[0]).step != 'schedule'


def test_failed_builds_count_until_one_succeeds(bench: Bench) -> None:
    from minicompute.db.models import compute_nodes

    def failures() -> int:
        with session.read() as conn:
            return int(conn.execute(sa.select(sa.func.sum(compute_nodes.c.failed_builds))).scalar_one())
    FakeDriver.faults['spawn'] = refuse
    engine, ids = bench.engine(), bench.new_server()
    engine.ring(ids)
    bench.finish(ids)
    assert failures() > 0
    FakeDriver.faults.clear()
    for _ in range(8):
        ids = bench.new_server()
        engine.ring(ids)
        assert bench.finish(ids) == ['done']
    assert failures() < 3
