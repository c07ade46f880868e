"""Brokers and stacks for the tests with real daemons. A part that is not installed is a failure that says so."""
from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.lab import lab, shared_lab  # noqa: F401  fixtures
from tests.integration.stack import Broker, Stack

#: what a test file is about -> who may not have a second one beside him: this machine's libvirtd, and the lab
GROUPS = {
    'daemons': ('beyond', 'console_tls', 'hollow', 'keystone', 'kill', 'notifications', 'unmodified_clients'),
    'lab': ('lab',),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--groups', default='daemons,lab,machines', help='only these, a list with commas')


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each group by itself (tools/run_tests.sh): pytest-xdist's own groups do nothing with pytest 9."""
    wanted = set(config.getoption('--groups').split(','))
    unknown = wanted - GROUPS.keys() - {'machines', 'openstack'}
    if unknown:
        raise pytest.UsageError(f'--groups: there is no {", ".join(sorted(unknown))}')
    other = [item for item in items if _group(item) not in wanted]
    if other:
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if _group(item) in wanted]


def _group(item: pytest.Item) -> str:
    if item.path.parent.name == 'openstack':     # minutes, and gigabytes: tools/run_tests.sh openstack
        return 'openstack'
    name = item.path.stem.removeprefix('test_')
    return next((group for group, words in GROUPS.items() if name.startswith(words)), 'machines')


@pytest.fixture(scope='session')
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One RabbitMQ for all tests that do not stop it."""
    with Broker(tmp_path_factory.mktemp('rabbit')) as running:
        yield running


@pytest.fixture
def own_broker(tmp_path: pathlib.Path) -> Iterator[Broker]:
    """One that a test may stop and kill."""
    with Broker(tmp_path / 'rabbit') as running:
        yield running


@pytest.fixture
def make_stack(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Stack]]:
    """make_stack(broker, computes=2, ...): started; ended with the test, its logs shown when that failed."""
    made: list[Stack] = []

    def make(broker: Broker, **options: Any) -> Stack:
        stack = Stack(tmp_path / f'stack{len(made)}', broker, **options)
        made.append(stack)
        stack.start()
        return stack
    failures = request.session.testsfailed
    yield make
    for stack in made:
        stack.stop()
        if request.session.testsfailed > failures:
            print(stack.report())


@pytest.fixture(scope='module')
def stack(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Stack]:
    """One daemon of each kind and two computes with the fake driver, for all tests of a module."""
    with Stack(tmp_path_factory.mktemp('stack'), broker, computes=2) as running:
        yield running
