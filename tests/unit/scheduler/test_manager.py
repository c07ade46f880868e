from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.context import admin_context
from minicompute.scheduler.manager import SchedulerManager
from tests.unit.scheduler.support import claims, entry, node, store

pytestmark = pytest.mark.usefixtures('database')


@pytest.fixture
def manager() -> Iterator[SchedulerManager]:
    store(*(node(f'h{n}') for n in range(4)))
    made = SchedulerManager()
    made.start()
    yield made
    made.stop()


def test_the_endpoint_offers_one_method(manager: SchedulerManager) -> None:
    endpoint, = manager.endpoints()
    assert [name for name in vars(type(endpoint)) if not name.startswith('_')] == ['target', 'select_destinations']
    answer, = endpoint.select_destinations(admin_context(), [entry()])
    assert answer['selections'][0].host.startswith('h')
    assert endpoint.select_destinations(admin_context(), []) == []


def test_calls_that_wait_are_placed_together(manager: SchedulerManager, monkeypatch: Any) -> None:
    placer, seen, entered, go = manager._placer, [], threading.Event(), threading.Event()
    real = placer.place

    def slow(entries: list[Any]) -> Any:
        seen.append(len(entries))
        entered.set()
        go.wait(10)
        return real(entries)
    monkeypatch.setattr(placer, 'place', slow)
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        answers[number] = manager.select_destinations(admin_context(), [entry(key=number), entry(key=-number)])
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 6)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while manager._queue.qsize() < 4:
        time.sleep(0.01)
    go.set()
    for thread in threads:
        thread.join()
    assert seen == [2, 8]
    assert {n: [one['key'] for one in found] for n, found in answers.items()} == {n: [n, -n] for n in range(1, 6)}
    assert len(claims()) == 10


def test_one_bad_call_does_not_fail_the_others(manager: SchedulerManager) -> None:
    from minicompute.scheduler.manager import _Call
    bad, good = _Call([{'instance_uuids': ['x']}]), _Call([entry()])
    manager._serve([bad, good])
    with pytest.raises(KeyError):
        bad.answers.result(0)
    assert good.answers.result(0)[0]['selections']


def test_what_waits_is_answered_before_the_end(manager: SchedulerManager) -> None:
    threads = [threading.Thread(target=manager.select_destinations, args=(admin_context(), [entry()]))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(claims()) < 3:
        time.sleep(0.01)
    manager.stop()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
