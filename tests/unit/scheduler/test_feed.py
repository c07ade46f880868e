"""The table follows the database."""
from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest

from minicompute.db import models, session
from minicompute.db.api import allocations, compute_nodes, services
from minicompute.scheduler import feed
from minicompute.scheduler.feed import Feed
from minicompute.scheduler.host_table import HostTable
from tests.unit.scheduler.support import node, store

pytestmark = pytest.mark.usefixtures('database')


@pytest.fixture
def following() -> tuple[HostTable, Feed]:
    store(node('a'), node('b'))
    table = HostTable()
    made = Feed(table)
    made.refresh()
    return table, made


def run(statement: Any) -> None:
    session.write(lambda conn: conn.execute(statement))


def test_everything_is_loaded_at_first(following: Any) -> None:
    table, _ = following
    assert table.hosts == ['a', 'b'] and table.up.all() and table.enabled.all()
    assert table.free[:, 0].tolist() == [8, 8192, 100]


def test_only_what_changed_is_read_again(following: Any, monkeypatch: Any) -> None:
    table, made = following
    session.write(allocations.claim, [allocations.Wanted('c', 'c', table.ids[1], 2, 1024, 5)])
    loaded: list[Any] = []
    real = compute_nodes.load
    monkeypatch.setattr(compute_nodes, 'load', lambda conn, ids=None: loaded.append(ids) or real(conn, ids))
    asked: list[Any] = []
    usage = allocations.usage_by_node
    monkeypatch.setattr(allocations, 'usage_by_node', lambda conn, ids=None: asked.append(ids) or usage(conn, ids))
    made.refresh()
    assert asked == [[table.ids[1]]] and table.free[:, 1].tolist() == [6, 7168, 95] and table.instances[1] == 1
    assert loaded == [], 'a claim is no report: the facts are as they were'
    version = table.version
    made.refresh()
    assert len(asked) == 1 and table.version == version, 'seen already'
    store(node('b', memory_mb=9216), serving=False)
    made.refresh()
    assert loaded == [[table.ids[1]]] and table.free[:, 1].tolist() == [6, 8192, 95]
    session.write(allocations.release, ['c'])
    made.refresh()
    assert table.free[:, 1].tolist() == [8, 9216, 100]


def test_own_claims_are_not_read_again_but_changes_that_they_hide_are(following: Any, monkeypatch: Any) -> None:
    table, made = following
    own = session.write(allocations.claim, [allocations.Wanted('c', 'c', table.ids[0], 2, 1024, 5)])
    made.claimed(own, {table.ids[0]})
    session.write(compute_nodes.bump_failed_builds, ['b'])
    hiding = session.write(allocations.claim, [allocations.Wanted('d', 'd', table.ids[1], 1, 1, 1)])
    made.claimed(hiding, {table.ids[1]})
    asked: list[Any] = []
    real = allocations.usage_by_node
    monkeypatch.setattr(allocations, 'usage_by_node', lambda conn, ids=None: asked.append(ids) or real(conn, ids))
    made.refresh()
    assert asked == [[table.ids[1]]] and table.failed_builds.tolist() == [0, 1]


def test_a_commit_that_comes_late_is_not_missed(following: Any) -> None:
    table, made = following
    with session.read() as conn:
        early = session.now(conn)
    made.refresh()
    run(models.compute_nodes.update().where(models.compute_nodes.c.host == 'a').values(
        failed_builds=7, changed_at=early - datetime.timedelta(seconds=1)))
    made.refresh()
    assert table.failed_builds.tolist() == [7, 0]


def test_a_commit_that_comes_very_late_is_found_by_the_slow_look(following: Any, monkeypatch: Any) -> None:
    """Its transaction stamped the node and then waited for a lock longer than the window of the polls."""
    table, made = following
    with session.read() as conn:
        early = session.now(conn) - datetime.timedelta(seconds=60)
    run(models.compute_nodes.update().where(models.compute_nodes.c.host == 'a').values(
        failed_builds=7, changed_at=early))
    made.refresh()
    assert table.failed_builds.tolist() == [0, 0]
    monkeypatch.setattr(feed, 'STAMPS', 0.0)
    made.refresh()
    assert table.failed_builds.tolist() == [7, 0]


def test_new_hosts_services_and_aggregates(following: Any) -> None:
    table, made = following
    store(node('c', traits=['T']))
    store(node('mute'), serving=False)
    run(models.services.update().where(models.services.c.host == 'a').values(disabled=True))
    run(models.services.update().where(models.services.c.host == 'b').values(forced_down=True))
    run(models.aggregates.insert().values(id=1, uuid=str(uuid.uuid4()), name='x',
                                          metadata={'availability_zone': 'az1'}))
    run(models.aggregate_hosts.insert().values(aggregate_id=1, host='c'))
    made.refresh()
    assert dict(zip(table.hosts, table.up.tolist(), strict=True)) == {'a': True, 'b': False, 'c': True, 'mute': False}
    assert table.enabled.tolist() == [False, True, True, True]
    assert [table.zone(row) for row in range(4)] == ['nova', 'nova', 'az1', 'nova']
    run(models.aggregates.update().values(metadata={'availability_zone': 'az2'}))
    run(models.services.update().values(disabled=False, forced_down=False))
    made.refresh()
    assert table.zone(2) == 'az2' and table.enabled.all() and table.up.tolist() == [True, True, True, False]


def test_a_host_goes_down_by_the_clock_of_the_database(following: Any) -> None:
    table, made = following
    with session.read() as conn:
        long_ago = session.now(conn) - datetime.timedelta(seconds=61)
    run(models.services.update().where(models.services.c.host == 'a').values(last_seen_up=long_ago))
    made.refresh()
    assert table.up.tolist() == [False, True]


def test_between_two_looks_nobody_asks_ten_thousand_services(following: Any, monkeypatch: Any) -> None:
    table, made = following
    asked: list[Any] = []
    real = compute_nodes.services_to_know
    monkeypatch.setattr(compute_nodes, 'services_to_know', lambda *words: asked.append(words) or real(*words))
    made.follow()
    assert not asked
    session.write(allocations.claim, [allocations.Wanted('c', 'c', table.ids[1], 2, 1024, 5)])
    made.follow()
    assert table.instances[1] == 1, 'claims are followed all the same'


def test_who_follows_sees_a_disabled_host_at_once_and_one_that_is_down_when_it_is_time(
        following: Any, monkeypatch: Any) -> None:
    table, made = following
    session.write(lambda conn: services.update(conn, services.find(conn, 'a', 'nova-compute'), disabled=True))
    made.follow()
    assert table.enabled.tolist() == [False, True]
    run(models.services.update().where(models.services.c.host == 'b').values(forced_down=True))
    made.follow()
    assert table.up.tolist() == [True, True]
    monkeypatch.setattr(feed, 'LOOKS', 1e9)
    made.follow()
    assert table.up.tolist() == [True, False]


def test_what_is_removed_is_forgotten_by_the_slow_look(following: Any, monkeypatch: Any) -> None:
    table, made = following
    run(models.compute_nodes.delete().where(models.compute_nodes.c.host == 'a'))
    run(models.services.delete().where(models.services.c.host == 'b'))
    monkeypatch.setattr(feed, 'SLOW', 0.0)
    made.refresh()
    assert table.hosts == ['b'] and table.up.tolist() == [False] and table.rows_of_host == {'b': [0]}


def test_facts_that_never_stay_the_same_do_not_pile_up() -> None:
    table = HostTable()
    one = node('a')
    one.id = 1
    for turn in range(500):
        one.capabilities = {'load': turn}
        table.put([one], {})
    assert len(table.facts.values) < 100 and table.facts.of(0).capabilities == {'load': 499}
