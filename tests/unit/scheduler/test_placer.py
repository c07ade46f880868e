"""Placing: all or nothing, never more than there is, never against a group's policy, and true reasons."""
from __future__ import annotations

import threading
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicompute.db import models, session
from minicompute.db.api import allocations, instance_groups
from minicompute.objects import InstanceGroup
from minicompute.scheduler import placer as placer_module
from minicompute.scheduler.filters import AvailabilityZoneFilter
from minicompute.scheduler.placer import BATCH, TRIES, Placer
from tests.unit.scheduler.support import claims, entry, flavor, node, store, store_group, wipe

pytestmark = pytest.mark.usefixtures('database')


def hosts_of(answer: dict[str, Any]) -> list[str] | None:
    return answer['selections'] and [one.host for one in answer['selections']]


def test_answers_come_in_order_with_what_was_claimed() -> None:
    store(node('a'), node('b', memory_mb=16384, vcpus=16))
    placer = Placer()
    wide = entry(key='wide', size=flavor(vcpus=12))
    answers = placer.place([entry(key='one'), wide, entry(key='two', size=flavor(vcpus=99))])
    assert [answer['key'] for answer in answers] == ['one', 'wide', 'two']
    place = answers[1]['selections'][0]
    assert (place.instance_uuid, place.host, place.node, place.availability_zone) == (
        wide['instance_uuids'][0], 'b', 'b', 'nova')
    assert answers[2]['selections'] is None
    assert answers[2]['reason'] == '2 hosts: 2 with too few free VCPUs (the nearest lacks 91 VCPU).'
    assert sorted(claims()) == sorted((one.instance_uuid, one.host) for answer in answers[:2]
                                      for one in answer['selections'])


def test_a_dry_run_claims_nothing_and_leaves_no_trace() -> None:
    store(node('a'))
    placer = Placer()
    answer = placer.place([entry(8, dry_run=True)])[0]
    assert hosts_of(answer) == ['a'] * 8 and claims() == []
    assert placer.table.free[:, 0].tolist() == [8, 8192, 100] and placer.table.io_ops[0] == 0
    assert placer.place([entry(9, dry_run=True)])[0]['reason'].startswith('There is room for 8 of 9 servers; ')


def test_a_dry_run_takes_no_room_from_the_requests_beside_it() -> None:
    store(node('a'))
    placer = Placer()
    dry, again, real = placer.place([entry(8, dry_run=True), entry(8, dry_run=True), entry(8)])
    assert hosts_of(dry) == hosts_of(again) == hosts_of(real) == ['a'] * 8 and len(claims()) == 8
    assert placer.table.free[:, 0].tolist() == [0, 0, 20] and placer.table.instances[0] == 8


def test_all_servers_of_a_request_or_none() -> None:
    store(node('a'), node('b'))
    placer = Placer()
    many, fits = placer.place([entry(17), entry(16)])
    assert many['selections'] is None and Counter(hosts_of(fits) or []) == {'a': 8, 'b': 8}
    assert len(claims()) == 16


def test_a_burst_is_spread() -> None:
    store(*(node(f'h{n}') for n in range(10)))
    answers = Placer().place([entry() for _ in range(20)])
    assert set(Counter(host for answer in answers for host in hosts_of(answer) or []).values()) == {2}


def test_more_than_one_batch() -> None:
    store(*(node(f'h{n}', vcpus=64, memory_mb=65536, local_gb=1000) for n in range(10)))
    answers = Placer().place([entry(3) for _ in range(BATCH // 2)])
    assert all(answer['selections'] for answer in answers) and len(claims()) == BATCH // 2 * 3


def test_a_step_that_runs_twice_gets_the_same_hosts_even_when_full() -> None:
    store(node('a'), node('b'))
    asked = entry(16)
    first = Placer().place([asked])[0]
    second = Placer().place([asked])[0]
    assert first['selections'] == second['selections'] and len(claims()) == 16


def test_twice_in_one_scheduler_does_not_count_twice() -> None:
    store(node('a'))
    placer, asked = Placer(), entry()
    for _ in range(3):
        assert hosts_of(placer.place([asked])[0]) == ['a']
    assert placer.table.free[1, 0] == 7168 and placer.table.instances[0] == 1


def test_twice_in_one_call_is_once() -> None:
    store(node('a'), node('b'))
    placer, asked = Placer(), entry()
    first, second, other = placer.place([asked, {**asked, 'key': 'again'}, entry()])
    assert first['selections'] == second['selections'] and second['key'] == 'again' and other['selections']
    assert len(claims()) == 2 and placer.table.free[1].sum() == 2 * 7168


def test_a_claim_held_by_a_migration() -> None:
    store(node('a'), node('b'))
    placer, asked = Placer(), entry()
    source = hosts_of(placer.place([asked])[0])
    moved = {**asked, 'consumers': {asked['instance_uuids'][0]: 'migration'}}
    moved['spec'].ignore_hosts = source
    target = hosts_of(placer.place([moved])[0])
    assert target != source and ('migration', (target or [''])[0]) in claims()


def test_only_fresh_facts_refuse() -> None:
    store(node('a'))
    placer, full = Placer(), entry(8)
    placer.place([full])
    assert placer.place([entry()])[0]['selections'] is None
    session.write(allocations.release, full['instance_uuids'])
    assert hosts_of(placer.place([entry()])[0]) == ['a']
    store(node('new', memory_mb=32768, vcpus=32))
    assert hosts_of(placer.place([entry(size=flavor(memory_mb=20000))])[0]) == ['new']


def test_a_lost_claim_takes_the_next_candidate() -> None:
    store(node('a', memory_mb=24576, vcpus=64, local_gb=1000), node('b'))
    one, two = Placer(), Placer()
    for placer in (one, two):
        placer.feed.refresh()
    big = flavor(memory_mb=8192)
    assert [hosts_of(answer) for answer in one.place([entry(size=big), entry(size=big)])] == [['a'], ['a']]
    answers = two.place([entry(size=big), entry(size=big)])
    assert sorted(hosts_of(answer) or [] for answer in answers) == [['a'], ['b']]
    assert two.stats.lost == 1 and two.stats.transactions == 2


def test_who_lost_looks_at_what_else_the_other_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not each full host by a lost claim of its own."""
    monkeypatch.setattr(placer_module, 'AFTER_LOSS', 0.0)
    store(*(node(f'h{n}', vcpus=1) for n in range(9)))
    one, two = Placer(), Placer()
    for placer in (one, two):
        placer.feed.refresh()
    one.place([entry() for _ in range(8)])
    assert two.place([entry()])[0]['selections'] and two.stats.lost <= 1


def test_a_host_that_is_removed_under_us() -> None:
    store(node('a', memory_mb=16384), node('b'))
    placer = Placer()
    placer.feed.refresh()
    session.write(lambda conn: conn.execute(models.compute_nodes.delete().where(models.compute_nodes.c.host == 'a')))
    assert hosts_of(placer.place([entry()])[0]) == ['b'] and placer.table.hosts == ['b']


def test_no_host_at_all() -> None:
    assert 'no compute' in Placer().place([entry()])[0]['reason']


def test_a_request_that_is_wrong_does_not_hurt_the_others() -> None:
    store(node('a'))
    bad, good = Placer().place([entry(extra_specs={'resources:VCPU': 'x'}), entry()])
    assert 'resources:VCPU' in bad['reason'] and hosts_of(good) == ['a']


@pytest.mark.parametrize('amount', ['\u00b2', '\u2488', '1e3', '-1', ''])
def test_amounts_that_are_no_numbers_are_told_so(amount: str) -> None:
    store(node('a'))
    bad, good = Placer().place([entry(extra_specs={'resources:VCPU': amount}), entry()])
    assert 'resources:VCPU is not a number' in bad['reason'] and hosts_of(good) == ['a']


def test_what_fails_in_a_filter_fails_its_own_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    store(node('a'), node('b'))
    real = AvailabilityZoneFilter.mask

    def fail(self: Any, table: Any, request: Any) -> Any:
        if request.spec.availability_zone == 'broken':
            raise ZeroDivisionError
        return real(self, table, request)
    monkeypatch.setattr(AvailabilityZoneFilter, 'mask', fail)
    placer = Placer()
    first, bad, last = placer.place([entry(), entry(availability_zone='broken'), entry(3)])
    assert first['selections'] and last['selections'] and len(claims()) == 4
    assert bad['selections'] is None and 'ZeroDivisionError' in bad['reason']
    assert placer.table.instances.sum() == 4


def test_what_the_database_refuses_fails_its_own_request_alone() -> None:
    """Some databases cut an id that is too long, some refuse it: the others are placed, and nothing is lost."""
    store(node('a'), node('b'))
    placer, refused = Placer(), entry(uuids=['no text \udc00'])
    answers = placer.place([entry(), refused, entry(2)])
    assert [bool(answer['selections']) for answer in answers] == [True, False, True]
    assert 'failed on this request' in answers[1]['reason'] and len(claims()) == 3
    assert placer.table.instances.sum() == 3


@pytest.mark.parametrize('uuids', [[], ['same', 'same']])
def test_a_request_names_each_server_once(uuids: list[str]) -> None:
    store(node('a'))
    bad, good = Placer().place([{**entry(), 'instance_uuids': uuids}, entry()])
    assert bad['selections'] is None and 'names each' in bad['reason'] and good['selections']


def test_a_hint_that_is_no_server_is_nowhere() -> None:
    store(node('a'))
    placer, odd = Placer(), '\x00'
    same, other = placer.place([entry(scheduler_hints={'same_host': odd}),
                                entry(scheduler_hints={'different_host': [odd]})])
    assert 'same_host' in same['reason'] and hosts_of(other) == ['a']


def test_a_claim_that_is_always_lost_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store(node('a'))
    placer = Placer()

    def lose(conn: Any, wanted: Any) -> allocations.Outcome:
        return allocations.Outcome({}, {one.together: 'room' for one in wanted}, {}, {}, session.now(conn))
    with monkeypatch.context() as patched:
        patched.setattr(allocations, 'claim', lose)
        patched.setattr(placer.feed, 'claimed', lambda *_: None)
        assert 'took the room first' in placer.place([entry()])[0]['reason']
    assert placer.stats.lost == TRIES and hosts_of(placer.place([entry()])[0]) == ['a']


def test_reasons_name_no_host() -> None:
    store(node('very-secret-name'))
    answer = Placer().place([entry(size=flavor(memory_mb=99999), availability_zone='nova')])[0]
    assert 'secret' not in str(answer)


def test_hints_read_who_is_where() -> None:
    store(*(node(f'h{n}') for n in range(3)))
    placer, first = Placer(), entry()
    home = hosts_of(placer.place([first])[0])
    same = placer.place([entry(scheduler_hints={'same_host': first['instance_uuids']})])[0]
    other = placer.place([entry(scheduler_hints={'different_host': first['instance_uuids'][0]})])[0]
    assert hosts_of(same) == home != hosts_of(other)


def in_group(group: InstanceGroup, count: int = 1, **values: Any) -> dict[str, Any]:
    return entry(count, group=group, **values)


def test_anti_affinity_in_one_request_and_between_requests() -> None:
    store(*(node(f'h{n}') for n in range(4)))
    group, placer = store_group('anti-affinity', []), Placer()
    three, two, one = placer.place([in_group(group, 3), in_group(group, 2), in_group(group)])
    assert len(set(hosts_of(three) or [])) == 3 and two['selections'] is None and one['selections']
    assert 'anti-affinity' in two['reason'] and two['funnel']['nearest']['hosts'] == 4
    assert len(set(hosts_of(three) or []) | set(hosts_of(one) or [])) == 4


def test_anti_affinity_with_several_a_host() -> None:
    store(node('a'), node('b'))
    group = store_group('anti-affinity', [], max_server_per_host=2)
    assert Counter(hosts_of(Placer().place([in_group(group, 4)])[0]) or []) == {'a': 2, 'b': 2}
    assert Placer().place([in_group(group)])[0]['selections'] is None


def test_affinity_finds_a_host_with_room_for_all() -> None:
    store(node('roomy', vcpus=3, memory_mb=65536), node('fits', memory_mb=5120))
    group = store_group('affinity', [])
    assert hosts_of(Placer().place([in_group(group, 5)])[0]) == ['fits'] * 5


def test_a_forced_host_keeps_to_the_group_as_well() -> None:
    store(node('a'), node('b'))
    group = store_group('anti-affinity', [])
    first = Placer().place([in_group(group, force_host='a')])[0]
    again = Placer().place([in_group(group, force_host='a')])[0]
    assert hosts_of(first) == ['a'] and 'anti-affinity' in again['reason']


def test_a_forced_host_needs_room() -> None:
    store(node('a'))
    answer = Placer().place([entry(force_host='a', size=flavor(memory_mb=9000))])[0]
    assert answer['reason'] == '1 host: 1 with too little free memory (the nearest lacks 808 MiB).'


def used() -> dict[str, tuple[int, int, int]]:
    with session.read() as conn:
        usage = allocations.usage_by_node(conn)
        rows = conn.execute(models.compute_nodes.select()).all()
    return {row.host: (usage[row.id].vcpus, usage[row.id].memory_mb, usage[row.id].disk_gb)
            for row in rows if row.id in usage}


requests = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from([512, 2048]),
                              st.sampled_from([None, 'anti-affinity', 'affinity', 'soft-anti-affinity'])),
                    min_size=1, max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hosts=st.lists(st.tuples(st.integers(1, 6), st.sampled_from([1024, 4096, 8192])), min_size=1, max_size=5),
       asked=requests, drop=st.sets(st.integers(0, 11)))
def test_whatever_two_schedulers_are_asked(hosts: Any, asked: Any, drop: set[int]) -> None:
    """Two schedulers with tables of different age: no over-commit, no broken group, all or nothing, and what
    an answer says is what the records hold."""
    wipe()
    store(*(node(f'h{n}', vcpus=vcpus, memory_mb=memory) for n, (vcpus, memory) in enumerate(hosts)))
    groups = {policy: store_group(policy, []) for policy in ('anti-affinity', 'affinity', 'soft-anti-affinity')}
    placers = [Placer(), Placer()]
    placers[1].feed.refresh()
    entries = [entry(count, key=n, size=flavor(vcpus=vcpus, memory_mb=memory), group=groups.get(policy or ''))
               for n, (count, vcpus, memory, policy) in enumerate(asked)]
    answers = []
    for number, one in enumerate(entries):
        answers += placers[number % 2].place([one])
        if number in drop:
            session.write(allocations.release, one['instance_uuids'])
    held = claims()
    for number, answer in enumerate(answers):
        mine = [(one.instance_uuid, one.host) for one in answer['selections'] or []]
        assert len(mine) in (0, asked[number][0]) and bool(mine) != bool(answer['reason'])
        assert set(mine) <= set(held) or number in drop
    sizes = {f'h{n}': (vcpus, memory, 100) for n, (vcpus, memory) in enumerate(hosts)}
    assert all(have <= most for host, sums in used().items() for have, most in zip(sums, sizes[host], strict=True))
    with session.read() as conn:
        for policy, group in groups.items():
            assert group.id is not None
            spread = Counter(host for host, _ in instance_groups.hosts(conn, [group.id])[group.id])
            assert policy != 'anti-affinity' or all(count == 1 for count in spread.values())
            assert policy != 'affinity' or len(spread) <= 1


def test_two_schedulers_at_once_fill_the_hosts_exactly() -> None:
    """60 servers want the room of 48, through two schedulers in threads, 20 of them in one group."""
    store(*(node(f'h{n}', vcpus=8) for n in range(6)))
    group = store_group('anti-affinity', [])
    answers: list[dict[str, Any]] = []
    failures: list[Exception] = []
    start = threading.Barrier(2)

    def run() -> None:
        placer = Placer()
        placer.feed.refresh()
        start.wait()
        try:
            for _ in range(10):
                answers.extend(placer.place([in_group(group), entry(), entry()]))
        except Exception as error:
            failures.append(error)
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert all(vcpus <= 8 for vcpus, _, _ in used().values())
    placed = [answer for answer in answers if answer['selections']]
    assert len(placed) == len(claims()) == len({consumer for consumer, _ in claims()})
    with session.read() as conn:
        assert group.id is not None
        spread = Counter(host for host, _ in instance_groups.hosts(conn, [group.id])[group.id])
    assert set(spread.values()) <= {1} and len(spread) == 6
    assert len(placed) == min(48, 40 + 6)


def test_uuids_are_not_mixed_up() -> None:
    store(node('a'))
    uuids = [str(uuid.uuid4()) for _ in range(4)]
    answer = Placer().place([entry(4, uuids=uuids)])[0]
    assert [one.instance_uuid for one in answer['selections']] == uuids
