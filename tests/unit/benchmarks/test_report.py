"""The benchmark's arithmetic: what the table says of results that are known."""
from __future__ import annotations

import importlib
import pathlib
import subprocess
import sys
import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.models import instances

BENCHMARKS = pathlib.Path(__file__).resolve().parents[3] / 'benchmarks'


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def harness(name: str) -> Any:
    return importlib.import_module(f'harness.{name}')


def burst(rate: float, *, error: int = 0, cpu: float = 0.01) -> dict[str, Any]:
    return {'per_s': rate, 'refused': 0, 'error': error, 'stuck': 0, 'cpu_total_s': cpu,
            'accept': {'p95_ms': 40.0}, 'delete': {'gone_s': 1.0, 'left': 0}}


def document(ours: list[Any], nova: list[Any], part: str = 'boots-100-8') -> dict[str, Any]:
    rows = [{'part': part, 'system': system, 'run': number, 'at': '2026-01-01T00:00:00Z', 'commit': 'abc',
             'load_average': [0.1, 0.2], 'result': result}
            for system, results in (('ours', ours), ('nova', nova)) for number, result in enumerate(results)]
    return {'rows': rows, 'commit': 'abc'}


def line(name: str, results: dict[str, Any]) -> Any:
    found = [one for one in harness('goals').lines(harness('figures').Results(results)) if one.name.startswith(name)]
    assert len(found) == 1, name
    return found[0]


@pytest.mark.parametrize(('ours', 'ratio', 'reached'), [
    ([burst(60), burst(80), burst(61)], 61 / 3, True),
    ([burst(59), burst(59)], 59 / 3, False),
    ([burst(90, error=1)], 30, False),            # fast, but it left one behind
], ids=['medians', 'too slow', 'left behind'])
def test_boots_are_judged_by_medians_and_by_what_is_left(
        ours: list[Any], ratio: float, reached: bool) -> None:
    made = line('boots/s, 100 servers, 8', document(ours, [burst(2), burst(3), burst(4)]))
    assert made.ratio == pytest.approx(ratio)
    assert made.reached is reached


def test_without_nova_no_ratio_is_claimed() -> None:
    made = line('CPU per boot', document([burst(60)], []))
    assert (made.ratio, made.reached, made.nova) == (None, None, '-')


def test_of_cpu_less_is_better() -> None:
    made = line('CPU per boot', document([burst(60, cpu=0.02)], [burst(3, cpu=0.5)]))
    assert made.ratio == pytest.approx(25)
    assert made.reached is True


def test_percentiles_are_of_all_runs_together() -> None:
    runs = [{'active_ms': [10.0] * 50}, {'active_ms': [10.0] * 49 + [900.0]}]
    results = document(runs, [{'active_ms': [400.0, 420.0]}], 'single')
    slow = line('one server, idle, POST to ACTIVE, p99', results)
    assert slow.ours == '18.9 ms'      # between the 99th and the 100th of a hundred
    assert line('one server, idle, POST to ACTIVE, p50', results).ratio == pytest.approx(41)


def test_a_deep_page_may_not_be_slower() -> None:
    def page(milliseconds: float) -> dict[str, Any]:
        return {'alone': {'p50_ms': milliseconds}}
    for last, reached in ((11.0, True), (12.0, False)):
        result = {'1000': {'first': page(10)},
                  '10000': {'first': page(10), 'middle': page(10), 'last': page(last)}}
        assert line('1,000 of 10,000 servers', document([result], [], 'pages-sqlite')).reached is reached


def test_lost_servers_spoil_a_quick_stop() -> None:
    idle = {'start_s': [0.5], 'stop_s': [0.4]}
    for lost in (0, 1):
        daemons = {name: {**idle, 'burst': {'stop_s': 1.0, 'lost': lost, 'accepted': 10}}
                   for name in ('api', 'conductor', 'scheduler', 'compute-1')}
        assert line('api: SIGTERM', document([daemons], [], 'lifecycle')).reached is (lost == 0)


@pytest.mark.parametrize(('answer', 'expected'), [(0.001, 0.02), (0.01, 0.1), (3.0, 0.5)])
def test_the_pause_follows_the_answer_within_bounds(answer: float, expected: float) -> None:
    assert harness('load').pause(answer) == pytest.approx(expected)


def test_results_survive_a_broken_run(tmp_path: pathlib.Path) -> None:
    kept = harness('store').Store(tmp_path, 'abc')
    kept.save('single', 'ours', 1, 0.0, 0.5, {'active_ms': [1.0]})
    again = harness('store').Store(tmp_path, 'abd')
    assert again.has('single', 'ours', 1) and not again.has('single', 'ours', 2)
    assert again.collect({'nova': '34'})['rows'][0]['commit'] == 'abc'
    again.forget('single')
    assert again.collect({})['nova'] == '34'
    assert not again.has('single', 'ours', 1)


def test_the_page_gets_the_table_and_keeps_its_words(tmp_path: pathlib.Path) -> None:
    report = harness('report')
    docs, kept = tmp_path / 'docs', tmp_path / '2026-01-01-abc'
    docs.mkdir()
    kept.mkdir()
    page = docs / 'performance.md'
    page.write_text(f'before\n{report.BEGIN}\nold\n{report.END}\nafter\n')
    for _ in range(2):
        report.publish(page, '| a |', [], kept)
    text = page.read_text()
    assert text.startswith('before\n') and text.endswith('after\n')
    assert 'old' not in text and text.count('| a |') == 1


def test_quick_sizes_reach_no_goal(tmp_path: pathlib.Path) -> None:
    report = harness('report')
    report.write(tmp_path, {**document([burst(900)], [burst(1)]), 'quick': True}, tmp_path)
    assert '| yes |' not in (tmp_path / 'table.md').read_text()
    report.write(tmp_path, document([burst(900)], [burst(1)]), tmp_path)
    assert '| yes |' in (tmp_path / 'table.md').read_text()


@pytest.mark.usefixtures('database')
def test_clones_are_as_their_model_and_go_again() -> None:
    def insert(conn: sa.Connection) -> None:
        conn.execute(instances.insert().values(
            uuid=str(uuid.uuid4()), project_id='p', user_id='u', display_name='one', vm_state='active', host='h',
            created_at=session.utcnow(), metadata={'a': 'b'}))
    session.write(insert)
    url = session.engine().url.render_as_string(hide_password=False)

    def fill(count: int) -> list[Any]:
        subprocess.run([sys.executable, str(BENCHMARKS / 'fill.py'), url, str(count), 'p'], check=True)
        with session.read() as conn:
            return list(conn.execute(sa.select(instances).where(instances.c.deleted == 0).order_by(
                instances.c.created_at.desc(), instances.c.id.desc())))
    rows = fill(5)
    assert [row.metadata for row in rows] == [{'a': 'b'}] * 5
    assert len({row.uuid for row in rows}) == 5 and len({row.created_at for row in rows}) >= 4
    assert [row.display_name for row in fill(0)] == ['one']
