from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from futurist import _thread as futurist_thread

from tests.functional.cloud import Cloud

# An idle worker of oslo.messaging's executor looks up once a second whether it is to end, and each daemon of each
# test would wait for that: it was four fifths of the time that these tests took.
futurist_thread.ThreadWorker.MAX_IDLE_FOR = 0.02


@pytest.fixture
def cloud(database: str) -> Iterator[Cloud]:
    """Two computes, one of everything else."""
    made = Cloud()
    yield made
    made.stop()


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
