from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import futurist
import pytest

from minicompute.conductor import debts
from tests.functional import doorbell
from tests.functional.cinder_server import CinderServer
from tests.functional.cloud import Cloud
from tests.functional.neutron_server import Neutron

doorbell.install()
# Tests pay what is owed to neighbours themselves, and count it: no conductor does so in between.
debts.INTERVAL = 10.0 ** 6


class _Nothing:
    """Work that only wakes who waits for work."""

    def run(self) -> None:
        pass


def _shutdown(executor: Any, wait: bool = True, **_: Any) -> None:
    if wait:
        executor._work_queue.join()
    _patiently(executor, wait=False)
    for _worker in executor._workers:
        executor._work_queue.put(_Nothing())
    if wait:
        for worker in executor._workers:
            worker.join()


# An idle worker of oslo.messaging's executor looks up once a second whether it is to end, and each daemon of each
# test would wait for that: it was four fifths of the time that these tests took.
_patiently, futurist.ThreadPoolExecutor.shutdown = futurist.ThreadPoolExecutor.shutdown, _shutdown


@pytest.fixture
def cloud(database: str) -> Iterator[Cloud]:
    """Two computes, one of everything else."""
    made = Cloud()
    yield made
    made.stop()


@pytest.fixture
def cinder(database: str) -> Iterator[CinderServer]:
    """A Block Storage service, which all that is made after it uses."""
    with CinderServer() as made:
        yield made


@pytest.fixture
def neutron(conf: Any) -> Iterator[Neutron]:
    """A Network service with agents on the computes of `cloud`, which all that is made after it uses."""
    made = Neutron('compute1', 'compute2')
    made.configure(conf)
    yield made
    made.close(conf)


@pytest.fixture
def make_cloud(database: str) -> Iterator[Any]:
    """make_cloud(computes=, conductors=, schedulers=)"""
    made: list[Cloud] = []

    def make(**kwargs: Any) -> Cloud:
        made.append(Cloud(**kwargs))
        return made[-1]
    yield make
    for cloud in made:
        cloud.stop()
