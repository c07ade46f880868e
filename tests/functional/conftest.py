from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.cloud import Cloud


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
