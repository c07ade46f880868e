"""Brokers and stacks for the tests with real daemons. A part that is not installed is a failure that says so."""
from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.lab import lab, shared_lab  # noqa: F401  fixtures
from tests.integration.stack import Broker, Stack

#: who needs neither guests nor hosts
DAEMONS = ('beyond', 'console_tls', 'hollow', 'keystone', 'kill', 'unmodified_clients')
#: who has several hosts, each with a libvirtd of its own
LAB = ('lab',)


# Before xdist's own, which reads the marks; it comes first otherwise.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers go side by side, but never two in one group: of this machine's libvirtd there is one, of the lab too."""
    for item in items:
        if item.path.is_relative_to(pathlib.Path(__file__).parent):
            item.add_marker(pytest.mark.xdist_group(group_of(item.path.stem.removeprefix('test_'))))


def group_of(name: str) -> str:
    if name.startswith(DAEMONS):
        return 'daemons'
    return 'lab' if name.startswith(LAB) else 'machines'


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
