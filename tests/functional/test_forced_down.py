"""A host that an operator has declared down is down also for a conductor that has just started, or lost its wire."""
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import servicegroup
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


def test_only_what_is_said_counts(bench: Bench) -> None:
    session.write(lambda conn: conn.execute(sa.update(services).where(services.c.host == 'host1').values(
        forced_down=True)))
    with session.read() as conn:
        assert list(servicegroup.forced_down(conn, {'host1', 'host2', 'nobody'})) == ['host1']
