from __future__ import annotations

import pytest

from minicompute.api.metadata import rate
from minicompute.api.metadata.rate import Rate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(rate.time, 'monotonic', lambda: now[0])
    return now


def test_a_burst_then_the_rate(clock: list[float]) -> None:
    bucket = Rate()
    assert [bucket.take('a', 2.0) for _ in range(8)] == [0.0] * 8
    assert bucket.take('a', 2.0) == pytest.approx(0.5)
    assert bucket.take('b', 2.0) == 0, 'each has a bucket'
    clock[0] += 0.5
    assert bucket.take('a', 2.0) == 0 and bucket.take('a', 2.0) > 0
    clock[0] += 1000
    assert [bucket.take('a', 2.0) for _ in range(9)].count(0.0) == 8, 'no more than a burst is saved up'


def test_no_bound(clock: list[float]) -> None:
    assert not any(Rate().take('a', 0.0) for _ in range(1000))


def test_slow_rates_let_one_through(clock: list[float]) -> None:
    bucket = Rate()
    assert bucket.take('a', 0.1) == 0 and bucket.take('a', 0.1) == pytest.approx(10)


def test_what_is_remembered_is_bounded(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, 'MOST', 10)
    bucket = Rate()
    for number in range(100):
        bucket.take(str(number), 1.0)
    assert len(bucket._buckets) == 10
