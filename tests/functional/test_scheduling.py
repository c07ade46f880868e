"""What a placement costs in statements, and that it costs no more for many."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.db import models, session
from minicompute.db.api import allocations
from minicompute.scheduler.placer import Placer
from tests.functional.counting import told
from tests.unit.scheduler.support import claims, entry, node, store, store_group

pytestmark = pytest.mark.usefixtures('database')


@contextmanager
def counted() -> Iterator[list[str]]:
    """The first words of all statements that this process sends meanwhile, but for BEGIN."""
    seen: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if not statement.startswith('BEGIN'):
            seen.append(statement.split()[0])
    with told('before_cursor_execute', note):
        yield seen


@pytest.fixture
def placer(conf: Any) -> Placer:
    """Of twenty hosts, which it has read; it reads nothing anew while a test counts."""
    store(*(node(f'h{n:02}', vcpus=64, memory_mb=65536, local_gb=10000) for n in range(20)))
    made = Placer()
    made.feed.refresh()
    conf.set_override('refresh_interval', 3600.0, 'scheduler')
    return made


@pytest.mark.every_case
@pytest.mark.parametrize('count', [1, 10, 100])
def test_a_batch_of_requests_costs_four_statements(placer: Placer, count: int) -> None:
    with counted() as seen:
        answers = placer.place([entry() for _ in range(count)])
    assert all(answer['selections'] for answer in answers) and len(claims()) == count
    assert seen == ['SELECT', 'SELECT', 'INSERT', 'UPDATE'], 'lock, count, claim, tell the other schedulers'


@pytest.mark.every_case
@pytest.mark.parametrize('count', [1, 10, 100])
def test_one_request_for_many_costs_four_statements(placer: Placer, count: int) -> None:
    with counted() as seen:
        answer, = placer.place([entry(count)])
    assert len(answer['selections']) == count and len(seen) == 4


@pytest.mark.parametrize('groups', [1, 8])
def test_groups_cost_the_same_however_many_they_are(placer: Placer, groups: int) -> None:
    asked = [entry(2, group=store_group('anti-affinity', [])) for _ in range(groups)]
    with counted() as seen:
        answers = placer.place(asked)
    assert all(answer['selections'] for answer in answers)
    assert len(seen) == 10, seen


@pytest.mark.every_case
@pytest.mark.parametrize('count', [1, 10, 100])
def test_a_release_costs_two_statements(placer: Placer, count: int) -> None:
    asked = entry(count)
    placer.place([asked])
    with counted() as seen:
        nodes = session.write(allocations.release, asked['instance_uuids'])
    assert seen == ['DELETE', 'UPDATE'] and nodes and not claims()


def test_a_burst_in_one_request_is_spread_over_equal_hosts() -> None:
    """Nova's burst herds onto one host."""
    store(*(node(f'h{n:03}', vcpus=64, memory_mb=65536, local_gb=10000) for n in range(100)))
    answer, = Placer().place([entry(100)])
    assert len({one.host for one in answer['selections']}) == 100


def test_two_schedulers_that_see_nothing_of_each_other_never_take_too_much(conf: Any) -> None:
    """Each believes that all is free: what the first took the second finds out by its claims alone."""
    store(*(node(f'h{n}', vcpus=4) for n in range(10)))
    conf.set_override('refresh_interval', 3600.0, 'scheduler')
    placers = [Placer(), Placer()]
    for placer in placers:
        placer.feed.refresh()
    for turn in range(8):
        placers[turn % 2].place([entry() for _ in range(8)])
    with session.read() as conn:
        usage = allocations.usage_by_node(conn)
        assert len(conn.execute(sa.select(models.allocations.c.consumer_uuid)).all()) == 40
    assert [one.vcpus for one in usage.values()] == [4] * 10
    assert placers[1].stats.lost + placers[0].stats.lost > 0
