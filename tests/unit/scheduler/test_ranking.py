from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicompute import exception
from minicompute.conf import CONF
from minicompute.db.api.allocations import Usage
from minicompute.scheduler import weights
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.picker import Picker
from tests.unit.scheduler.support import flavor, group, node, request, table

pytestmark = pytest.mark.usefixtures('conf')


def picked(hosts: HostTable, asked: Any) -> str | None:
    row, _ = Picker(hosts).pick(asked)
    return None if row is None else hosts.hosts[row]


@pytest.mark.parametrize('option, better', [
    ('ram_weight_multiplier', {'memory_mb': 16384}), ('cpu_weight_multiplier', {'vcpus': 16}),
    ('cpu_weight_multiplier', {'cpu_allocation_ratio': 4.0}), ('disk_weight_multiplier', {'local_gb': 500})])
def test_more_room_is_better_and_a_negative_multiplier_stacks(conf: Any, option: str, better: dict[str, Any]) -> None:
    hosts = table(node('a'), node('b', **better), node('c'))
    assert picked(hosts, request()) == 'b'
    conf.set_override(option, -1.0, 'filter_scheduler')
    assert picked(hosts, request()) in ('a', 'c')


def test_busy_and_failing_hosts_are_worse() -> None:
    hosts = table(node('a', memory_mb=16384, failed_builds=1), node('b'), node('c'))
    hosts.set_busy({2: 3})
    assert picked(hosts, request()) == 'c'


def test_soft_policies() -> None:
    hosts = table(node('a'), node('b'), node('c'))
    asked = request()
    asked.group = group('soft-affinity', [('b', 's1'), ('b', 's2'), ('c', 's3')])
    assert picked(hosts, asked) == 'b'
    asked.group = group('soft-anti-affinity', [('b', 's1'), ('b', 's2'), ('c', 's3')])
    assert picked(hosts, asked) == 'a'


def test_aggregates_override_a_multiplier() -> None:
    hosts = table(node('a', memory_mb=16384), node('b'), aggregates={
        'a': [{'ram_weight_multiplier': '-5'}, {'ram_weight_multiplier': '3'}]})
    assert picked(hosts, request()) == 'b', 'the least of several counts'


def test_an_unknown_weigher_is_a_configuration_error(conf: Any) -> None:
    conf.set_override('weight_classes', ['MagicWeigher'], 'filter_scheduler')
    with pytest.raises(exception.ConfigurationError, match='MagicWeigher'):
        weights.load()


def test_a_burst_spreads_over_equal_hosts() -> None:
    hosts = table(*(node(f'h{n}') for n in range(50)))
    picker, asked, seen = Picker(hosts), request(), Counter()
    for _ in range(100):
        row, _funnel = picker.pick(asked)
        assert row is not None
        hosts.take(row, asked.need)
        seen[row] += 1
    assert set(seen.values()) == {2}


def test_two_schedulers_do_not_herd_onto_the_same_host() -> None:
    first = {picked(table(*(node(f'h{n}') for n in range(50))), request()) for _ in range(20)}
    assert len(first) > 5


def test_subset(conf: Any) -> None:
    conf.set_override('host_subset_size', 3, 'filter_scheduler')
    hosts = table(*(node(f'h{n}', memory_mb=2048 * (n + 1)) for n in range(10)))
    seen = {picked(hosts, request()) for _ in range(60)}
    assert seen == {'h7', 'h8', 'h9'}


def test_no_server_is_larger_than_the_host_itself_whatever_the_ratio() -> None:
    hosts = table(node('a', vcpus=2, cpu_allocation_ratio=16.0))
    assert picked(hosts, request(size=flavor(vcpus=2))) == 'a'
    assert picked(hosts, request(size=flavor(vcpus=3))) is None


def scores(hosts: HostTable, need: tuple[int, int, int]) -> dict[int, float]:
    """Nova's rule, the slow way: scale each weigher among the candidates, multiply, sum."""
    rows = [row for row in range(len(hosts)) if hosts.row_fits(row, need)]
    total = dict.fromkeys(rows, 0.0)
    conf = CONF.filter_scheduler
    for column, multiplier in ((hosts.free[1], conf.ram_weight_multiplier), (hosts.free[0], conf.cpu_weight_multiplier),
                               (hosts.free[2], conf.disk_weight_multiplier),
                               (hosts.io_ops, conf.io_ops_weight_multiplier),
                               (hosts.failed_builds, -conf.build_failure_weight_multiplier)):
        values = [column[row] for row in rows]
        if values and max(values) > min(values):
            for row in rows:
                total[row] += multiplier * (column[row] - min(values)) / (max(values) - min(values))
    return total


sizes = st.tuples(st.integers(1, 4), st.sampled_from([512, 1024, 2048]), st.integers(0, 20))
steps = st.lists(st.tuples(st.sampled_from(['pick', 'free', 'count', 'busy']), st.integers(0, 19), st.integers(0, 3)),
                 max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hosts=st.lists(st.tuples(st.integers(2, 8), st.integers(2, 8), st.integers(0, 1)), min_size=1, max_size=20),
       kinds=st.lists(sizes, min_size=1, max_size=3, unique=True), steps=steps)
def test_a_ranking_that_follows_is_a_ranking_made_anew(hosts: Any, kinds: Any, steps: Any) -> None:
    """After any moves each pick is one of the best by the slow rule; none when nothing fits."""
    made = table(*(node(f'h{n}', vcpus=vcpus, memory_mb=memory * 1024, failed_builds=failed)
                   for n, (vcpus, memory, failed) in enumerate(hosts)))
    picker = Picker(made)
    asked = [request(size=flavor(vcpus=c, memory_mb=m, root_gb=d)) for c, m, d in kinds]
    for what, at, which in steps:
        row = at % len(made)
        if what == 'free':
            made.set_usage(row, Usage())
        elif what == 'count':
            made.set_usage(row, Usage(which, which * 1024, which * 10, which))
        elif what == 'busy':
            made.set_busy({made.ids[row]: which})
        one = asked[which % len(asked)]
        expected = scores(made, one.need)
        found, _ = picker.pick(one)
        if not expected:
            assert found is None
            continue
        assert found in expected and expected[found] == pytest.approx(max(expected.values()), abs=1e-6)
        if what == 'pick':
            made.take(found, one.need)
    assert np.all(made.free >= 0) or any(what == 'count' for what, _, _ in steps)
