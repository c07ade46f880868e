"""Bugs that the engine had: each test failed before its mending."""
from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute import servicegroup
from minicompute.compute.api import admin
from minicompute.compute.api import delete as compute_delete
from minicompute.conductor import settle
from minicompute.conductor.flow import Later
from minicompute.conf import CONF
from minicompute.context import RequestContext, admin_context
from minicompute.db import session
from minicompute.db.api import actions, stuck
from minicompute.db.models import instance_actions, services
from minicompute.objects import Action, StepReport
from minicompute.scheduler.rpcapi import SchedulerAPI
from minicompute.virt.fake import FakeDriver
from tests.functional.bench import Bench, MortalEngine
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
    assert broke.wait(60)
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


@pytest.mark.parametrize('what', ['delete', 'reset'])
def test_what_waits_behind_an_action_that_gets_stuck(bench: Bench, what: str) -> None:
    """It was accepted before, and waits for no operator."""
    spawning, gate, tries = threading.Event(), threading.Event(), []

    def hold(driver: Any, uuid: str) -> None:
        spawning.set()
        gate.wait(60)
        raise RuntimeError('planned')

    def refuse_some(driver: Any, uuid: str) -> None:
        tries.append(uuid)
        if len(tries) <= CONF.conductor.stuck_after:
            raise RuntimeError('planned')
    FakeDriver.faults.update(spawn=hold, destroy=refuse_some)
    ids = bench.new_server()
    bench.engine().ring(ids)
    assert spawning.wait(60)
    server = bench.server(bench.action(ids[0]).instance_uuid)
    context = RequestContext(user_id='u', project_id='p', is_admin=True, overwrite=False)
    if what == 'delete':
        compute_delete.delete(context, server)
    else:
        admin.reset_state(context, server, 'active')
    gate.set()
    with session.read() as conn:
        (waits,) = actions.waiting(conn, server.uuid)
    assert bench.finish([ids[0], waits.id or 0], states=('done', 'failed')) == ['failed', 'done']
    assert bench.server(server.uuid).deleted == (what == 'delete')
    assert 'RuntimeError' in str(bench.action(ids[0]).message)


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
        gate.wait(60)
        return bench.scheduler.select_destinations(ctx, requests)
    monkeypatch.setattr(SchedulerAPI, 'select_destinations', slow)
    engine, ids = bench.engine(), bench.new_server()
    engine.ring(ids)
    assert inside.wait(60)
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


def test_what_was_claimed_beside_a_broken_look_is_not_held_for_ever(bench: Bench, monkeypatch: Any) -> None:
    """A bell and the report of a stranger come together, and the database breaks between the two."""
    engine, ids = MortalEngine('conductor1', bench.send), bench.new_server()
    broke = threading.Event()

    def adopt(reports: Any) -> Any:
        if reports and not broke.is_set():
            broke.set()
            raise RuntimeError('planned')
        return []
    monkeypatch.setattr(engine, '_adopt', adopt)
    engine.ring(ids)
    engine.report([StepReport(action_id=ids[0] + 1000, generation=1, step='x', host='host1')])
    bench.engines.append(engine)
    engine.start()
    assert broke.wait(60)
    time.sleep(0.2)
    bench.expire_leases()
    engine.sweep()
    assert bench.finish(ids) == ['done']


def test_who_cannot_write_what_it_hears_judges_nobody(bench: Bench, monkeypatch: Any) -> None:
    """The beats of before are written when the database is back, and silence means nothing until then."""
    conductor, hosts = bench.conductor, sorted(bench.computes)
    monkeypatch.setattr(conductor.wire, '_since', -1e9)
    conductor.wire.heard()
    monkeypatch.setattr(conductor.wire, '_since', -1e9)
    assert conductor.wire.steady()
    conductor.heartbeats(admin_context(), [{'host': hosts[0], 'node': None}])
    with monkeypatch.context() as patch:
        patch.setattr(session, 'write', away)
        with pytest.raises(db_exc.DBConnectionError):
            conductor.write_heartbeats()
    assert not conductor.wire.steady()
    conductor.heartbeats(admin_context(), [hosts[1]])
    assert set(conductor._beats) == set(hosts[:2])
    conductor.write_heartbeats()
    assert not conductor._beats


def away(*_args: Any) -> Any:
    raise db_exc.DBConnectionError('planned')


def test_a_heartbeat_never_goes_back(bench: Bench, monkeypatch: Any) -> None:
    """A machine that was paused takes the time of before for now, for as long as it keeps the clock's answer."""
    host = sorted(bench.computes)[0]

    def beat(conn: sa.Connection) -> Any:
        servicegroup.report_computes(conn, [host])
        return conn.execute(sa.select(services.c.last_seen_up).where(services.c.host == host)).scalar_one()
    seen = session.write(beat)
    now = session.now
    monkeypatch.setattr(session, 'now', lambda conn: now(conn) - datetime.timedelta(seconds=300))
    assert session.write(beat) == seen


def test_a_row_that_is_held_is_waited_for_only_so_long(database: str, monkeypatch: Any) -> None:
    """Then the transaction starts anew, and finds it free, or waits again: never behind a dead client for ever."""
    if database.startswith('sqlite'):
        pytest.skip('SQLite locks no rows: there is one writer at a time, and a dead one\'s lock dies with it')
    monkeypatch.setattr(session, 'LOCK_WAIT', 1)
    session.dispose()
    ids = session.write(actions.begin, [Action(action='a', flow='f', step='s', instance_uuid='u', busy='u',
                                               request_id='r')])
    tries: list[int] = []

    def change_it(conn: sa.Connection) -> None:
        tries.append(1)
        if len(tries) == 2:
            holder.rollback()
        conn.execute(instance_actions.update().where(instance_actions.c.id == ids[0]).values(message='x'))
    holder = session.engine().connect()
    holder.execute(instance_actions.update().where(instance_actions.c.id == ids[0]).values(message='y'))
    try:
        session.write(change_it)
    finally:
        holder.close()
    assert len(tries) == 2
