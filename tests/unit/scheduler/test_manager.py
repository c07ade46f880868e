from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_db import exception as db_exc

from minicompute import rpc
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import allocations
from minicompute.scheduler import rpcapi
from minicompute.scheduler.manager import SchedulerManager
from tests.unit.scheduler.support import claims, entry, flavor, node, store

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
        go.wait(60)
        return real(entries)
    monkeypatch.setattr(placer, 'place', slow)
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        answers[number] = manager.select_destinations(admin_context(), [entry(key=number), entry(key=-number)])
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 6)]
    threads[0].start()
    assert entered.wait(60)
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


def test_one_bad_request_does_not_fail_the_others(manager: SchedulerManager) -> None:
    context = admin_context()
    nothing, bad, good = manager.select_destinations(context, [{'key': 1}, {'instance_uuids': ['x']}, entry()])
    assert good['selections'] and nothing['key'] == 1
    assert nothing['selections'] is None and bad['selections'] is None and 'KeyError' in bad['reason']
    assert manager.select_destinations(context, [entry()])[0]['selections'], 'its thread lives on'


def test_a_database_that_is_away_fails_the_calls_and_not_the_daemon(
        manager: SchedulerManager, monkeypatch: Any) -> None:
    def away(*_: Any) -> Any:
        raise db_exc.DBConnectionError
    with monkeypatch.context() as patched:
        patched.setattr(allocations, 'claim', away)
        patched.setattr(session, 'write', lambda fn, *args: fn(None, *args))
        with pytest.raises(db_exc.DBConnectionError):
            manager.select_destinations(admin_context(), [entry(), entry()])
    assert manager.select_destinations(admin_context(), [entry()])[0]['selections']
    assert manager._placer.table.io_ops.sum() == 1, 'what was not claimed was given back'


def test_equal_specs_and_shared_funnels_cross_the_wire_once(manager: SchedulerManager) -> None:
    asked = [entry(key=n) for n in range(20)] + [entry(key='large', size=flavor(vcpus=99))]
    entries, specs = rpcapi.pack(asked)
    assert [one.flavor.vcpus for one in specs] == [1, 99] and [one['spec'] for one in entries] == [0] * 20 + [1]
    serializer, context = rpc.Serializer(), admin_context()
    sent = json.loads(json.dumps(serializer.serialize_entity(context, {'requests': entries, 'specs': specs})))
    endpoint, = manager.endpoints()
    reply = endpoint.select_destinations(context, **serializer.deserialize_entity(context, sent))
    assert len(reply['funnels']) == 2
    back = json.loads(json.dumps(serializer.serialize_entity(context, reply)))
    answers = rpcapi.unpack_answers(serializer.deserialize_entity(context, back))
    assert [answer['key'] for answer in answers] == [*range(20), 'large']
    funnels = [answer['funnel'] for answer in answers]
    assert all(dict(one['stages'])['DISK_GB'] == left for one, left in zip(funnels, [4] * 20 + [0], strict=True))
    assert all(one['total'] == 4 for one in funnels) and funnels[-1]['nearest']['stage'] == 'VCPU'
    assert len(json.dumps(sent)) < 20 * 120 + 3000 and len(json.dumps(back)) < 20 * 350 + 3000


def test_what_waits_is_answered_before_the_end(manager: SchedulerManager) -> None:
    threads = [threading.Thread(target=manager.select_destinations, args=(admin_context(), [entry()]))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(claims()) < 3:
        time.sleep(0.01)
    manager.stop()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
