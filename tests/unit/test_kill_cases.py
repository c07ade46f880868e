"""What the kill matrix makes of a trace. (The matrix itself runs daemons: tests/integration/kill_matrix.)"""
from __future__ import annotations

from collections import Counter

from tests.integration.kill_matrix.actions import ACTIONS
from tests.integration.kill_matrix.cases import EXECUTORS, MAKERS, MOST, Case, batches, cases_of, points_of, unwound

TRACE = [
    ('conductor', 'build.schedule', 'before', 'a'), ('scheduler', 'claim', 'before', 'a'),
    ('scheduler', 'claim', 'before', 'b'), ('scheduler', 'claim', 'after', 'a'),
    ('conductor', 'build.schedule', 'before-commit', 'a'), ('conductor', 'build.schedule', 'after-commit', 'a'),
    ('compute', 'build.spawn', 'before', 'a'), ('compute', 'build.spawn', 'before', 'a'),
    ('compute', 'stop.power_off', 'before', 'a'), ('compute', 'build.spawn', 'before-report', 'a'),
    ('compute', 'build.spawn.undo', 'before', 'a'), ('conductor', 'builder.x', 'before', 'a')]


def test_points_are_of_one_server_and_one_flow_and_once() -> None:
    assert points_of(TRACE, 'a', 'build') == [
        ('conductor', 'build.schedule', 'before'), ('scheduler', 'claim', 'before'), ('scheduler', 'claim', 'after'),
        ('conductor', 'build.schedule', 'before-commit'), ('conductor', 'build.schedule', 'after-commit'),
        ('compute', 'build.spawn', 'before'), ('compute', 'build.spawn', 'before-report'),
        ('compute', 'build.spawn.undo', 'before')]


def test_each_point_kills_who_is_there_and_some_kill_what_it_stands_on() -> None:
    cases = cases_of('boot', points_of(TRACE, 'a', 'build'))
    assert Counter(case.executor for case in cases) == {
        'conductor': 3, 'scheduler': 2, 'compute': 3, 'broker': 3, 'database': 1}
    assert len({case.key for case in cases}) == len(cases)


def test_of_what_unwinds_only_the_undoing_is_new() -> None:
    cases = cases_of('boot', points_of(TRACE, 'a', 'build'), fail='build.spawn:after')
    assert [(case.place, case.fail) for case in cases] == [('build.spawn.undo', 'build.spawn:after')]


def test_what_goes_forward_again_is_made_to_fail_earlier() -> None:
    forward = [('conductor', 'move.claim_destination', 'before'), ('compute', 'move.migrate', 'after')]
    half = [*forward, ('compute', 'move.migrate.undo', 'before')]
    whole = [*half, ('conductor', 'move.claim_destination.undo', 'before')]
    assert not unwound(forward, half)
    assert unwound(forward, whole)
    assert unwound(forward[1:], [])
    assert [case.place for case in cases_of('move', whole, 'move.migrate:before', half)] == [
        'move.claim_destination.undo']


def test_a_batch_has_one_victim_and_each_case_once() -> None:
    cases = [case for name in [f'action{n}' for n in range(MOST + 3)] + ['lost', *MAKERS]
             for case in cases_of(name, points_of(TRACE, 'a', 'build'))]
    found = batches(cases, alone=['lost'])
    assert sorted(case.key for batch in found for case in batch) == sorted(case.key for case in cases)
    for batch in found:
        names = [case.action for case in batch]
        assert len({case.executor for case in batch}) == 1
        assert batch[0].executor in EXECUTORS
        assert len(batch) <= MOST
        assert sum(name in MAKERS for name in names) <= 1, 'servers that are being made cannot be told apart'
        assert 'lost' not in names or set(names) == {'lost'}
        assert len(batch) == 1 or 'scheduler' not in {case.role for case in batch}


def test_what_makes_its_servers_is_known() -> None:
    assert [act.name for act in ACTIONS if act.boots] == list(MAKERS)


def test_neighbours_are_kept_apart() -> None:
    cases = [Case('a', 'compute', 'compute', place, 'before', stage) for stage, place in enumerate('wxyz')]
    assert batches(cases, most=2) == [[cases[0], cases[2]], [cases[1], cases[3]]]
