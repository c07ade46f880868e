"""What would have to change for a request without a host: each change that is named is enough, and none is idle."""
from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicompute.db.api.allocations import Usage
from minicompute.objects import ComputeNode
from minicompute.scheduler.picker import Picker
from minicompute.scheduler.request import Request
from tests.unit.scheduler.support import flavor, node, request, table

pytestmark = pytest.mark.usefixtures('conf')

TRAITS = ('HW_A', 'HW_B', 'CUSTOM_C')


class World:
    """Hosts and one request, before and after a change."""

    def __init__(self, nodes: list[ComputeNode], usage: dict[str, Usage], zones: dict[str, str], disabled: set[str],
                 asked: dict[str, Any]) -> None:
        self.nodes, self.usage, self.zones, self.disabled, self.asked = nodes, usage, zones, disabled, asked

    def pick(self) -> tuple[int | None, Picker, Request]:
        hosts = table(*self.nodes, usage=self.usage,
                      aggregates={host: [{'availability_zone': zone}] for host, zone in self.zones.items()})
        hosts.set_services({one.host for one in self.nodes}, self.disabled, set())
        picker, made = Picker(hosts), request(**copy.deepcopy(self.asked))
        return picker.pick(made)[0], picker, made

    def after(self, change: dict[str, Any]) -> World:
        """The same where what the change names has come to pass."""
        new = copy.deepcopy(self)
        for one in change['without']:
            if one['filter'] == 'Traits':
                new.asked['extra_specs'].pop(f'trait:{one["what"]}')
            elif one['filter'] == 'AvailabilityZoneFilter':
                new.asked['availability_zone'] = None
            elif one['filter'] == 'ComputeFilter':
                new.disabled = set()
            else:
                raise AssertionError(f'a change of {one} was not foreseen')
        for one in change['more']:
            host = next(found for found in new.nodes if found.host == change['host'])
            name = {'VCPU': 'vcpus', 'MEMORY_MB': 'memory_mb', 'DISK_GB': 'local_gb'}[one['resource']]
            setattr(host, name, getattr(host, name) + one['amount'])
        return new


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = [f'h{number}' for number in range(draw(st.integers(1, 6)))]
    nodes = [node(name, vcpus=draw(st.integers(1, 8)), memory_mb=draw(st.integers(512, 4096)),
                  local_gb=draw(st.integers(5, 40)), traits=draw(st.lists(st.sampled_from(TRAITS), unique=True)),
                  cpu_allocation_ratio=1.0, ram_allocation_ratio=1.0, disk_allocation_ratio=1.0) for name in names]
    usage = {name: Usage(draw(st.integers(0, 4)), draw(st.integers(0, 2048)), draw(st.integers(0, 20)), 1)
             for name in names if draw(st.booleans())}
    traits = {f'trait:{name}': draw(st.sampled_from(('required', 'forbidden')))
              for name in draw(st.lists(st.sampled_from(TRAITS), unique=True))}
    asked = {'size': flavor(vcpus=draw(st.integers(1, 10)), memory_mb=draw(st.integers(256, 6000)),
                            root_gb=draw(st.integers(0, 50))),
             'extra_specs': traits, 'availability_zone': draw(st.sampled_from((None, 'z1', 'z2')))}
    return World(nodes, usage, {name: draw(st.sampled_from(('z1', 'z2'))) for name in names if draw(st.booleans())},
                 {name for name in names if draw(st.integers(0, 3)) == 0}, asked)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds())
def test_each_change_is_enough(world: World) -> None:
    row, picker, made = world.pick()
    if row is not None:
        return
    changes = picker.changes(made)
    assert changes, 'there are hosts, so there is a way'
    for change in changes:
        assert change['without'] or change['more']
        assert world.after(change).pick()[0] is not None, change


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds(), st.data())
def test_the_least_change_has_nothing_idle(world: World, data: st.DataObject) -> None:
    """Of the first change no part can be left out."""
    row, picker, made = world.pick()
    if row is not None:
        return
    change = picker.changes(made)[0]
    kind = data.draw(st.sampled_from([name for name in ('without', 'more') if change[name]]))
    less = {**change, kind: change[kind][1:]}
    assert world.after(less).pick()[0] is None, (change, less)


def test_traits_are_named_one_by_one_and_hosts_counted() -> None:
    nodes = [node(f'h{number}', traits=['HW_A'] if number < 3 else []) for number in range(5)]
    row, picker, made = World(nodes, {}, {}, set(), {
        'extra_specs': {'trait:HW_A': 'required', 'trait:HW_B': 'required'}}).pick()
    assert row is None
    first, second = picker.changes(made)
    assert first == {'without': [{'filter': 'Traits', 'what': 'HW_B', 'reason': 'without HW_B'}], 'more': [],
                     'hosts': 3, 'host': 'h0'}
    assert [one['what'] for one in second['without']] == ['HW_A', 'HW_B'] and second['hosts'] == 5


def test_the_host_that_lacks_least() -> None:
    nodes = [node('a', memory_mb=1024), node('b', memory_mb=3072), node('c', memory_mb=2048)]
    row, picker, made = World(nodes, {}, {}, set(), {'size': flavor(memory_mb=4096)}).pick()
    assert row is None
    (change,) = picker.changes(made)
    assert change['more'] == [{'resource': 'MEMORY_MB', 'amount': 4096 - 3072 + _reserved(nodes[1]), 'unit': 'MiB'}]
    assert change['host'] == 'b' and change['hosts'] == 1


def _reserved(one: ComputeNode) -> int:
    return int(one.reserved_memory_mb)


def test_no_host_no_change() -> None:
    _, picker, made = World([], {}, {}, set(), {}).pick()
    assert picker.changes(made) == []
