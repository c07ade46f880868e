"""A part of the kill matrix, for every run of the tests: one kill of each kind, under several actions at once. The
whole, and its scenarios, are `python -m tests.integration.kill_matrix`."""
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.kill_matrix.actions import BY_NAME
from tests.integration.kill_matrix.cases import EXECUTORS, Case, batches
from tests.integration.kill_matrix.runner import Runner
from tests.integration.kill_matrix.site import Site
from tests.integration.stack import PATIENCE

#: one of each kind: built, deleted, on the host alone, with an image, moved
NAMES = ('build', 'delete', 'stop', 'rebuild', 'shelve', 'resize', 'live-migrate')
#: the kinds of kills that are tried here, at the first point of each action
WHENS = {('compute', 'after'), ('conductor', 'before-commit'), ('conductor', 'after-commit'),
         ('scheduler', 'after'), ('broker', 'before-report'), ('database', 'before-commit')}


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp('site')) as running:
        yield running


@pytest.fixture(scope='module')
def runner(site: Site) -> Runner:
    return Runner(site, promise=PATIENCE, patience=PATIENCE)


@pytest.fixture(scope='module')
def cases(runner: Runner) -> list[Case]:
    found, left_out = runner.discover([BY_NAME[name] for name in NAMES])
    assert not left_out, left_out
    assert {case.action for case in found} == set(NAMES)
    return found


@pytest.mark.parametrize('executor', EXECUTORS)
def test_every_request_ends(runner: Runner, cases: list[Case], executor: str) -> None:
    chosen = [case for case in cases if case.executor == executor and (executor, case.when) in WHENS and not case.fail]
    assert chosen
    tried = [result for batch in _first(chosen) for result in runner.run(batch)]
    assert not [result for result in tried if result.verdict == 'broken']
    assert [result for result in tried if result.verdict == 'kept']


def test_what_unwinds_ends_as_well(runner: Runner, cases: list[Case]) -> None:
    chosen = [case for case in cases if case.fail and case.executor == 'conductor' and case.when == 'before-commit']
    assert chosen
    tried = [result for batch in _first(chosen) for result in runner.run(batch)]
    assert not [result for result in tried if result.verdict == 'broken']


def _first(cases: list[Case]) -> list[list[Case]]:
    """One batch of each kind of point."""
    found: dict[tuple[str, str], list[Case]] = {}
    for batch in batches(cases):
        found.setdefault((batch[0].role, batch[0].when), batch)
    return list(found.values())
