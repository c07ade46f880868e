"""A host that an operator has declared down is down also for a conductor that has just started, or lost its wire."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import servicegroup
from minicompute.conductor import wire
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.models import services
from tests.functional.bench import Bench


@pytest.fixture
def bench(database: str, monkeypatch: Any) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.close()


@pytest.mark.parametrize('forced', [True, False])
def test_what_waits_for_it_ends(bench: Bench, forced: bool) -> None:
    uuid = bench.built()
    host = bench.server(uuid).host
    bench.send = lambda host, request: None    # type: ignore[method-assign]    # it never gets there
    engine = bench.engine()
    engine._steady = lambda: False
    action = bench.new_action(uuid, 'delete')
    engine.ring([action])
    while not engine.load()['parked']:
        time.sleep(0.01)    # greenlets need their turn
    session.write(lambda conn: conn.execute(sa.update(services).where(services.c.host == host).values(
        forced_down=forced, last_seen_up=None)))
    engine.tick()
    if forced:
        assert bench.finish([action]) == ['done'], 'a delete does not wait for a host: it owes the rest'
        return
    assert engine.load()['parked'] == 1, 'silence means nothing to who cannot hear'
    engine._steady = lambda: True
    engine.tick()
    assert bench.finish([action]) == ['done']


class Clock:
    now = 1e9    # longer after the start than any host may be silent

    def monotonic(self) -> float:
        return self.now


def test_who_froze_with_the_lock_of_the_database_makes_no_host_look_down(bench: Bench, monkeypatch: Any) -> None:
    """A daemon that is stopped in the middle of a write to SQLite keeps the heartbeats of all hosts from being written.
    When it goes on they are old, and who reads them at that moment is not to end what is under way there."""
    judge, clock, uuid = bench.conductor.wire, Clock(), bench.built()
    monkeypatch.setattr(wire, 'time', clock)
    monkeypatch.setattr(judge, '_since', 0.0)
    host = bench.server(uuid).host
    bench.send = lambda host, request: None    # type: ignore[method-assign]    # it takes its time
    engine = bench.engine()
    engine._steady = judge.steady
    engine.ring([bench.new_action(uuid, 'delete')])
    while not engine.load()['parked']:
        time.sleep(0.01)    # greenlets need their turn
    session.write(lambda conn: conn.execute(sa.update(services).where(services.c.host == host).values(
        last_seen_up=None)))
    write, looks = session.write, []

    def behind_the_lock(function: Any, *args: Any) -> Any:
        if function is servicegroup.report_computes:
            clock.now += 8
            judge.heard()    # its own wire is whole
            judge._since = 0.0
            engine.tick()
            looks.append(engine.load()['parked'])
        return write(function, *args)
    judge.heard()
    monkeypatch.setattr(judge, '_since', 0.0)
    assert judge.steady()
    monkeypatch.setattr(session, 'write', behind_the_lock)
    bench.conductor.heartbeats(admin_context(), sorted(set(bench.computes) - {host}))
    bench.conductor.write_heartbeats()
    engine.tick()
    assert [*looks, engine.load()['parked']] == [1, 1], 'the other conductor, which froze, has the beats of this host'


def test_only_what_is_said_counts(bench: Bench) -> None:
    session.write(lambda conn: conn.execute(sa.update(services).where(services.c.host == 'host1').values(
        forced_down=True)))
    with session.read() as conn:
        assert list(servicegroup.forced_down(conn, {'host1', 'host2', 'nobody'})) == ['host1']
