from __future__ import annotations

import datetime
import functools
import threading
import uuid
from typing import Any

import pytest

from minicompute.db import models, session
from minicompute.db.api import allocations, instance_groups
from minicompute.db.api.allocations import Group, Wanted
from tests.unit.scheduler.support import claims, node, store, store_group, store_servers

pytestmark = pytest.mark.usefixtures('database')


def want(node_id: int, *, consumer: str | None = None, together: int = 0, memory_mb: int = 1024,
         group: Group | None = None) -> Wanted:
    consumer = consumer or str(uuid.uuid4())
    return Wanted(consumer, consumer, node_id, 1, memory_mb, 10, together, group)


def claim(*wanted: Wanted) -> allocations.Outcome:
    return session.write(allocations.claim, list(wanted))


def changed_at(node_id: int) -> datetime.datetime:
    with session.read() as conn:
        return conn.execute(models.compute_nodes.select().where(models.compute_nodes.c.id == node_id)).one().changed_at


def test_a_claim_takes_room_and_moves_the_node() -> None:
    at = store(node('a'))['a']
    before = changed_at(at)
    outcome = claim(want(at, consumer='c1'), want(at, consumer='c2', together=1))
    assert outcome.held == {'c1': at, 'c2': at} and not outcome.lost
    assert outcome.usage[at] == allocations.Usage(2, 2048, 20, 2)
    assert outcome.changed == {at: before} and changed_at(at) == outcome.changed_at > before
    with session.read() as conn:
        assert allocations.usage_by_node(conn) == outcome.usage


def test_what_does_not_fit_is_lost_and_what_fits_is_not() -> None:
    at = store(node('a', memory_mb=2048, reserved_memory_mb=512))['a']
    outcome = claim(want(at, consumer='big', memory_mb=2000), want(at, consumer='small', together=1))
    assert outcome.lost == {0: 'room'} and outcome.held == {'small': at}


def test_ratios_and_reserves_count() -> None:
    at = store(node('a', vcpus=2, reserved_vcpus=1, cpu_allocation_ratio=2.5))['a']
    outcome = claim(*(want(at, together=n) for n in range(3)))
    assert set(outcome.lost) == {2}


def test_a_server_larger_than_the_host_is_refused_whatever_the_ratio() -> None:
    at = store(node('a', memory_mb=1024, ram_allocation_ratio=4.0))['a']
    assert claim(want(at, memory_mb=1025)).lost == {0: 'room'}


def test_all_of_one_request_or_none() -> None:
    ids = store(node('a'), node('b', memory_mb=1024))
    outcome = claim(want(ids['a']), want(ids['b']), want(ids['b']))
    assert outcome.lost == {0: 'room'} and not outcome.held and not claims()
    assert outcome.usage[ids['a']] == allocations.Usage()


def test_a_claim_that_exists_is_returned_as_it_is() -> None:
    ids = store(node('a'), node('b'))
    first = claim(want(ids['a'], consumer='c'))
    again = claim(want(ids['b'], consumer='c'))
    assert again.held == {'c': ids['a']} and not again.lost
    assert claims() == [('c', 'a')] and first.usage[ids['a']].consumers == 1
    assert again.usage[ids['b']].consumers == 0


def test_one_that_asks_twice_in_one_batch_claims_once() -> None:
    """Its caller lost patience and asked again while the first call waited."""
    ids = store(node('a'), node('b'))
    outcome = claim(want(ids['a'], consumer='c'), want(ids['b'], consumer='c', together=1))
    assert outcome.held == {'c': ids['a']} and not outcome.lost and claims() == [('c', 'a')]
    assert outcome.usage[ids['b']].consumers == 0


def test_a_node_that_is_gone_is_a_lost_claim() -> None:
    assert claim(want(999)).lost == {0: 'gone'}


def test_release_twice_is_once() -> None:
    ids = store(node('a'), node('b'))
    claim(want(ids['a'], consumer='c1'), want(ids['b'], consumer='c2', together=1))
    before = changed_at(ids['a'])
    assert session.write(allocations.release, ['c1', 'never']) == {ids['a']}
    assert session.write(allocations.release, ['c1']) == set()
    assert claims() == [('c2', 'b')] and changed_at(ids['a']) > before


def test_for_instances_names_the_host() -> None:
    ids = store(node('a'), node('b'))
    claim(want(ids['a'], consumer='c1'), Wanted('migration', 'c1', ids['b'], 1, 1, 1))
    with session.read() as conn:
        rows = allocations.for_instance(conn, 'c1')
        assert {(row.consumer_uuid, row.host, row.node) for row in rows} == {('c1', 'a', 'a'), ('migration', 'b', 'b')}
        assert allocations.for_instance(conn, 'c2') == []
        assert allocations.hosts_of(conn, ['c1', 'c2']) == {'c1': {'a', 'b'}}


def test_anti_affinity_counts_members_claims_under_the_lock() -> None:
    ids = store(node('a'), node('b'))
    members = [str(uuid.uuid4()) for _ in range(3)]
    group = store_group('anti-affinity', members)
    assert group.id is not None
    rule = Group(group.id, group.policy)
    one, two, three = members
    assert claim(want(ids['a'], consumer=one, group=rule), want(ids['a'], consumer=two, group=rule, together=1),
                 want(ids['b'], consumer=three, group=rule, together=2)).lost == {1: 'group'}
    assert claim(want(ids['b'], consumer=two, group=rule)).lost == {0: 'group'}
    assert not claim(want(ids['b'], consumer=two, group=Group(group.id, group.policy, 2))).lost


def test_affinity_keeps_to_the_members_host_and_claims_join_the_group() -> None:
    ids = store(node('a'), node('b'))
    group = store_group('affinity', [])
    assert group.id is not None
    rule = Group(group.id, group.policy)
    assert not claim(want(ids['b'], consumer='c1', group=rule)).lost
    assert claim(want(ids['a'], consumer='c2', group=rule)).lost == {0: 'group'}
    assert not claim(want(ids['b'], consumer='c2', group=rule)).lost
    with session.read() as conn:
        assert instance_groups.get(conn, group.uuid).members == ['c1', 'c2']


def test_busy_servers_are_counted_from_the_actions_under_way() -> None:
    ids = store(node('a'))
    uuids = [str(uuid.uuid4()) for _ in range(3)]
    store_servers(*uuids[:2])
    store_servers(uuids[2], task_state='powering-off')
    session.write(lambda conn: conn.execute(models.instances.update().where(
        models.instances.c.uuid == uuids[2]).values(vm_state='active')))
    claim(*(want(ids['a'], consumer=one, together=n) for n, one in enumerate(uuids)))
    session.write(lambda conn: conn.execute(models.instance_actions.insert(), [
        {'action': 'create', 'flow': 'build', 'instance_uuid': one, 'request_id': 'r', 'state': state}
        for one, state in zip(uuids, ('running', 'done', 'running'), strict=True)]))
    with session.read() as conn:
        assert allocations.busy_by_node(conn) == {ids['a']: 1}


def together(*calls: Any) -> list[Any]:
    """Run all at the same time, each in a thread of its own."""
    results: list[Any] = [None] * len(calls)
    start = threading.Barrier(len(calls))

    def run(number: int) -> None:
        start.wait()
        try:
            results[number] = calls[number]()
        except Exception as error:
            results[number] = error
    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failures = [result for result in results if isinstance(result, Exception)]
    assert not failures, failures
    return results


def test_threads_never_take_the_same_room_twice() -> None:
    """Four threads want 4 servers on each of three hosts, in different orders; 8 fit on each."""
    ids = list(store(node('a'), node('b'), node('c')).values())

    def taker(turn: int) -> Any:
        order = ids[turn % 3:] + ids[:turn % 3]
        return lambda: [claim(*(want(at, together=n, memory_mb=2048) for n, at in enumerate(order))) for _ in range(4)]
    outcomes = [one for many in together(*(taker(n) for n in range(4))) for one in many]
    with session.read() as conn:
        usage = allocations.usage_by_node(conn, ids)
    assert all(one.memory_mb == 8192 for one in usage.values())
    assert sum(len(one.held) for one in outcomes) == len(claims()) == 12


def test_a_step_that_runs_twice_at_once_claims_once() -> None:
    ids = store(*(node(host, vcpus=64, local_gb=1000) for host in 'ab'))
    for _ in range(10):
        server = str(uuid.uuid4())
        store_servers(server)
        first, second = together(*(functools.partial(claim, want(at, consumer=server, memory_mb=64))
                                   for at in ids.values()))
        assert first.held == second.held
        assert [consumer for consumer, _ in claims()].count(server) == 1


def test_threads_never_break_a_group() -> None:
    ids = list(store(*(node(f'h{n}') for n in range(4))).values())
    for _ in range(5):
        servers = [str(uuid.uuid4()) for _ in range(4)]
        group = store_group('anti-affinity', servers)
        assert group.id is not None
        rule = Group(group.id, group.policy)
        together(*(functools.partial(claim, want(ids[n % 2], consumer=one, memory_mb=64, group=rule))
                   for n, one in enumerate(servers)))
        mine = [host for consumer, host in claims() if consumer in servers]
        assert sorted(mine) == sorted(set(mine)) and len(mine) == 2


def test_claims_and_releases_in_opposite_orders_do_not_wait_in_a_ring() -> None:
    ids = list(store(*(node(f'h{n}', memory_mb=65536, vcpus=64, local_gb=10000) for n in range(5))).values())

    def churn(order: list[int]) -> None:
        for _ in range(8):
            mine = [want(at, memory_mb=64, together=n) for n, at in enumerate(order)]
            claim(*mine)
            session.write(allocations.release, [one.consumer_uuid for one in reversed(mine)])
    together(lambda: churn(ids), lambda: churn(ids[::-1]), lambda: churn(ids[2:] + ids[:2]))
    assert claims() == []
