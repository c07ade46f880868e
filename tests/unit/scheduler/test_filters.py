from __future__ import annotations

from typing import Any

import pytest

from minicompute import exception
from minicompute.scheduler import filters
from minicompute.scheduler.filters import json_query
from minicompute.scheduler.filters.extra_specs import matches
from minicompute.scheduler.filters.third_party import ThirdParty
from minicompute.scheduler.funnel import Funnel
from minicompute.scheduler.picker import Picker
from tests.unit.scheduler.support import group, node, passing, request, table

pytestmark = pytest.mark.usefixtures('conf')


@pytest.mark.parametrize('value, wanted, expected', [
    ('8', '= 4', True), ('3', '= 4', False), ('4', '== 4.0', True), ('5', '!= 4', True), ('4', '!= 4', False),
    ('4', '>= 4', True), ('5', '<= 4', False), (7002000, '>= 7000000', True), ('abc', '>= 4', False),
    ('x', 's== x', True), ('x', 's!= x', False), ('a', 's< b', True), ('b', 's<= b', True), ('c', 's> b', True),
    ('a', 's>= b', False), ('sse sse2', '<in> sse2', True), ('sse', '<in> avx', False),
    (['sse', 'avx2'], '<in> avx', False), (['sse', 'avx2'], '<all-in> sse avx2', True),
    ('sse avx2', '<all-in> sse fma', False), ('b', '<or> a <or> b', True), ('c', '<or> a <or> b', False),
    ('true', 'true', True), (True, 'true', True), ('8', '8', True), ('8', '9', False), (None, 's!= x', False),
])
def test_the_language_of_extra_specs(value: Any, wanted: str, expected: bool) -> None:
    assert matches(value, wanted) is expected


def test_hosts_that_are_down_or_disabled_or_without_a_service_are_left_out() -> None:
    hosts = table(node('up'), node('down'), node('disabled'), node('mute'))
    hosts.set_services({'up', 'down', 'disabled'}, {'disabled'}, {'down'})
    assert passing(hosts, request()) == {'up'}


def test_availability_zones() -> None:
    hosts = table(node('a'), node('b'), node('c'),
                  aggregates={'a': [{'availability_zone': 'az1'}], 'b': [{'x': 'y'}, {'availability_zone': 'az2'}]})
    assert passing(hosts, request()) == {'a', 'b', 'c'}
    assert passing(hosts, request(availability_zone='az1')) == {'a'}
    assert passing(hosts, request(availability_zone='az1, az2')) == {'a', 'b'}
    assert passing(hosts, request(availability_zone='nova')) == {'c'}
    assert passing(hosts, request(availability_zone='other')) == set()


@pytest.mark.parametrize('specs, expected', [
    ({'capabilities:hypervisor_type': 's== QEMU'}, {'a', 'b'}),
    ({'capabilities:hypervisor_version': '>= 8000000'}, {'b'}),
    ({'capabilities:cpu_info:arch': 'x86_64'}, {'a'}),
    ({'capabilities:cpu_info:features': '<in> avx'}, {'a'}),
    ({'capabilities:gpu:model': '<or> t4 <or> a100'}, {'b'}),
    ({'capabilities:host': 's== a'}, {'a'}),
    ({'capabilities:free_ram_mb': '>= 8192'}, {'a', 'b'}),
    ({'capabilities:vcpus_total': '>= 9'}, set()),
    ({'gpu': 'x'}, set()),
    ({'capabilities:nothing': '1'}, set()),
    ({'hw:cpu_policy': 'dedicated', 'quota:cpu_shares': '2'}, {'a', 'b'}),
])
def test_capabilities(specs: dict[str, str], expected: set[str]) -> None:
    hosts = table(node('a', cpu_info={'arch': 'x86_64', 'features': ['avx']}),
                  node('b', hypervisor_version=8000001, cpu_info={'arch': 'aarch64'},
                       capabilities={'gpu': {'model': 't4'}}))
    assert passing(hosts, request(extra_specs=specs)) == expected


def test_capabilities_follow_the_room_that_is_left() -> None:
    hosts = table(node('a'), node('b'))
    asked = request(extra_specs={'capabilities:free_ram_mb': '>= 8000'})
    picker = Picker(hosts)
    row, _ = picker.pick(asked)
    assert row is not None
    hosts.take(row, (1, 1024, 10))
    other, _ = picker.pick(asked)
    assert other is not None and other != row
    hosts.take(other, (1, 1024, 10))
    assert picker.pick(asked)[0] is None


@pytest.mark.parametrize('specs, expected', [
    ({'aggregate_instance_extra_specs:ssd': 'true'}, {'a', 'b'}),
    ({'aggregate_instance_extra_specs:ssd': 's!= true'}, set()),
    ({'aggregate_instance_extra_specs:rack': '<or> r1 <or> r9'}, {'a'}),
    ({'aggregate_instance_extra_specs:rack': 'r3'}, {'b'}),
    ({'ssd': 'true'}, {'a', 'b'}),
])
def test_aggregate_extra_specs(specs: dict[str, str], expected: set[str]) -> None:
    hosts = table(node('a'), node('b'), node('c'), aggregates={
        'a': [{'ssd': 'true'}, {'rack': 'r1'}], 'b': [{'ssd': 'true', 'rack': 'r2, r3'}]})
    assert passing(hosts, request(extra_specs=specs)) == expected


@pytest.mark.parametrize('properties, expected', [
    ({'hw_architecture': 'x86_64'}, {'a', 'x'}), ({'hw_architecture': 'amd64'}, {'a', 'x'}),
    ({'architecture': 'aarch64'}, {'arm'}), ({'img_hv_type': 'xen'}, {'x'}),
    ({'img_hv_type': 'kvm', 'hw_vm_mode': 'hvm'}, {'a', 'arm'}), ({'hw_vm_mode': 'uml'}, set()),
    ({'img_hv_requested_version': '>=8.0, <9.0'}, {'x'}), ({'img_hv_requested_version': 'rubbish'}, set()),
    ({'os_distro': 'debian'}, {'a', 'x', 'arm'}),
])
def test_image_properties(properties: dict[str, str], expected: set[str]) -> None:
    hosts = table(node('a'), node('x', supported_instances=[['x86_64', 'xen', 'xen']], hypervisor_version=8001000),
                  node('arm', supported_instances=[['aarch64', 'kvm', 'hvm']]))
    assert passing(hosts, request(image_properties=properties)) == expected


def test_traits_of_flavor_and_image() -> None:
    hosts = table(node('a', traits=['HW_AVX', 'CUSTOM_X']), node('b', traits=['HW_AVX']), node('c'))
    assert passing(hosts, request(extra_specs={'trait:HW_AVX': 'required'})) == {'a', 'b'}
    assert passing(hosts, request(extra_specs={'trait:HW_AVX': 'required', 'trait:CUSTOM_X': 'forbidden'})) == {'b'}
    assert passing(hosts, request(image_properties={'trait:CUSTOM_X': 'required'})) == {'a'}


def test_resources_of_extra_specs_override_the_flavor() -> None:
    assert request(extra_specs={'resources:VCPU': '3', 'resources:DISK_GB': '0'}).need == (3, 1024, 0)
    assert passing(table(node('a')), request(extra_specs={'resources:CUSTOM_GOLD': '1'})) == set()
    with pytest.raises(exception.InvalidInput):
        request(extra_specs={'resources:VCPU': 'many'})


def test_groups() -> None:
    hosts = table(node('a'), node('b'), node('c'))
    asked = request()
    asked.group = group('anti-affinity', [('a', 's1'), ('b', asked.placing)])
    assert passing(hosts, asked) == {'b', 'c'}, 'its own room does not bind a server'
    asked.group = group('anti-affinity', [('a', 's1'), ('b', 's2'), ('b', 's3')], most=2)
    assert passing(hosts, asked) == {'a', 'c'}
    asked.group = group('affinity', [('c', 's1')])
    assert passing(hosts, asked) == {'c'}
    asked.group = group('affinity', [])
    assert passing(hosts, asked) == {'a', 'b', 'c'}
    asked.group = group('soft-anti-affinity', [('a', 's1')])
    assert passing(hosts, asked) == {'a', 'b', 'c'}


def test_hints_that_name_servers() -> None:
    hosts = table(node('a'), node('b'), node('c'))
    for hint, expected in (({'same_host': 's1'}, {'a'}), ({'same_host': ['s1', 's2']}, {'a', 'b'}),
                           ({'same_host': 'unknown'}, set()), ({'different_host': ['s1', 's2']}, {'c'}),
                           ({'different_host': 'unknown'}, {'a', 'b', 'c'})):
        asked = request(scheduler_hints=hint)
        asked.homes = {'s1': {'a'}, 's2': {'b'}}
        assert passing(hosts, asked) == expected, hint


@pytest.mark.parametrize('restrict, image, expected', [
    (True, 'secret', {'vault'}), (True, 'other', {'a'}), (False, 'secret', {'vault'}), (False, 'other', {'a', 'vault'}),
    (True, None, {'a'})])
def test_isolated_hosts(conf: Any, restrict: bool, image: str | None, expected: set[str]) -> None:
    conf.set_override('isolated_hosts', ['vault'], 'filter_scheduler')
    conf.set_override('isolated_images', ['secret'], 'filter_scheduler')
    conf.set_override('restrict_isolated_hosts_to_isolated_images', restrict, 'filter_scheduler')
    assert passing(table(node('a'), node('vault')), request(image_id=image)) == expected


@pytest.mark.parametrize('query, expected', [
    ('[">=", "$free_ram_mb", 10000]', {'b'}), ('["<", "$vcpus_total", 9, 10]', {'a'}),
    ('["=", "$hypervisor_type", "QEMU"]', {'a', 'b'}), ('["in", "$host", "b", "c"]', {'b'}),
    ('["and", [">=", "$free_ram_mb", 1024], ["=", "$cpu_info.arch", "arm"]]', {'b'}),
    ('["or", ["=", "$host", "a"], ["=", "$host", "b"]]', {'a', 'b'}), ('["not", ["=", "$host", "a"]]', {'b'}),
    ('[]', {'a', 'b'}), ('["<", "$nothing", 5]', set()), ('["frob", 1, 2]', set()), ('{', set()),
    ('["=", "$free_disk_mb", 102400]', {'a', 'b'}), ('["and"]', set()), ('["="]', set()),
])
def test_json_queries(query: str, expected: set[str]) -> None:
    hosts = table(node('a', cpu_info={'arch': 'x86'}), node('b', memory_mb=16384, vcpus=16, cpu_info={'arch': 'arm'}))
    assert passing(hosts, request(scheduler_hints={'query': query})) == expected


def test_forced_host_skips_the_filters_and_a_requested_one_does_not() -> None:
    hosts = table(node('a'), node('b'))
    hosts.set_services({'a', 'b'}, {'b'}, set())
    assert passing(hosts, request(force_host='b')) == {'b'}
    assert passing(hosts, request(force_host='b', force_node='other')) == set()
    assert passing(hosts, request(force_host='nowhere')) == set()
    assert passing(hosts, request(requested_host='b')) == set()
    assert passing(hosts, request(requested_host='a')) == {'a'}
    assert passing(hosts, request(requested_node='a', ignore_hosts=['a'])) == set()


def test_bounds_on_load(conf: Any) -> None:
    conf.set_override('enabled_filters', ['NumInstancesFilter', 'IoOpsFilter'], 'filter_scheduler')
    conf.set_override('max_instances_per_host', 2, 'filter_scheduler')
    conf.set_override('max_io_ops_per_host', 1, 'filter_scheduler')
    hosts = table(node('a'), node('b'), node('c'), aggregates={'c': [{'max_instances_per_host': '5'}]})
    for row in range(3):
        hosts.instances[row] = 2
    assert passing(hosts, request()) == {'c'}
    hosts.io_ops[2] = 1
    assert passing(hosts, request()) == set()


def test_a_filter_of_others_runs_on_what_is_left(caplog: Any) -> None:
    class Theirs:
        seen: list[str] = []

        def host_passes(self, state: Any, spec: Any) -> bool:
            self.seen.append(state.host)
            if state.host == 'c':
                raise RuntimeError('bug')
            return state.free_ram_mb > 4000 and spec.flavor is not None and bool(state.aggregates)

    hosts = table(node('a'), node('b'), node('c'), aggregates={'b': [{'k': 'v'}]})
    mask = hosts.in_hosts(['b', 'c'])
    theirs = Theirs()
    assert ThirdParty('Theirs', theirs).narrow(hosts, request(), mask).tolist() == [False, True, False]
    assert theirs.seen == ['b', 'c']


def test_an_unknown_filter_is_a_configuration_error(conf: Any) -> None:
    conf.set_override('enabled_filters', ['ComputeFilter', 'NoSuchFilter'], 'filter_scheduler')
    with pytest.raises(exception.ConfigurationError, match='NoSuchFilter'):
        filters.load()


def test_masks_are_made_once_until_the_hosts_change(monkeypatch: Any) -> None:
    hosts = table(node('a'), node('b'))
    picker, calls = Picker(hosts), []
    kind = filters.availability_zone.AvailabilityZoneFilter
    real = kind.mask
    monkeypatch.setattr(kind, 'mask', lambda self, t, r: calls.append(1) or real(self, t, r))
    for memory in (512, 1024, 2048):
        asked = request(availability_zone='nova')
        asked.shape = b'%d' % memory
        assert picker.pick(asked)[0] is not None
    assert len(calls) == 1
    hosts.set_services({'a'}, set(), set())
    picker.pick(asked)
    assert len(calls) == 2


def test_the_funnel_counts_what_each_stage_left() -> None:
    hosts = table(*(node(f'h{n}', memory_mb=512) for n in range(8)), *(node(f'd{n}') for n in range(4)))
    hosts.set_services(set(hosts.hosts), set(), {'d0', 'd1', 'd2', 'd3'})
    row, funnel = Picker(hosts).pick(request())
    assert row is None
    assert funnel.text() == '12 hosts: 4 down or disabled, 8 with too little free memory (the nearest lacks 512 MiB).'
    assert funnel.to_dict() == {
        'total': 12, 'stages': [['ComputeFilter', 8], ['VCPU', 8], ['MEMORY_MB', 0], ['DISK_GB', 0]],
        'nearest': {'stage': 'MEMORY_MB', 'hosts': 8, 'short_by': 512}}
    assert 'no compute' in Funnel(0).text()


@pytest.mark.parametrize('query', ['["or"' + ',["=","$hypervisor_type","x"]' * 5000 + ']',
                                   ['["=", "$hypervisor_type", "x"]'] * 5000])
def test_a_long_json_query_is_none(query: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread places for everybody."""
    compared: list[Any] = []
    compare = json_query._Query._compare
    monkeypatch.setattr(json_query._Query, '_compare', lambda *args: compared.append(1) or compare(*args))
    assert passing(table(node('a')), request(scheduler_hints={'query': query})) == set()
    assert len(compared) < 300
