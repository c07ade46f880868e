"""What a compute remembers: fences, running steps, answers."""
from __future__ import annotations

import datetime
import errno
import os
import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from minicompute.compute.guard import Guard
from minicompute.compute.manager.housekeeping import Known
from minicompute.objects import Action, ActionState, StepReport, StepRequest


class Site:
    """A guard whose pool is a list: nothing runs until `work()`."""

    def __init__(self, path: pathlib.Path) -> None:
        self.queue: list[Callable[[], None]] = []
        self.ran: list[str] = []
        self.replies: list[tuple[StepReport, str | None]] = []
        self.error: dict[str, Any] | None = None
        self.guard = Guard(str(path), lambda request, work: self.queue.append(work), self.run,
                           lambda report, to: self.replies.append((report, to)))

    def run(self, request: StepRequest) -> StepReport:
        self.ran.append(request.step)
        return StepReport(action_id=request.action_id, generation=request.generation, step=request.step,
                          host='h', result={'n': len(self.ran)}, error=self.error)

    def work(self) -> None:
        while self.queue:
            self.queue.pop(0)()


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


def request(action: int = 1, generation: int = 1, step: str = 'spawn', to: str = 'c1') -> StepRequest:
    made = Action(action='x', flow='x', instance_uuid='server', request_id='r', id=action, generation=generation,
                  step=step)
    return made.request('verb', None, {}, to)


def test_a_step_runs_once_and_reports(site: Site) -> None:
    site.guard.admit(request())
    assert site.guard.busy() == ['server']
    site.work()
    assert site.ran == ['spawn']
    assert site.replies[0][1] == 'c1'
    assert site.guard.busy() == []


def test_what_is_asked_again_is_as_fresh_as_that(site: Site) -> None:
    """It waits for its turn: nobody need be asked whether its action still waits for it."""
    first, second = request(), request()
    assert first.asked_at is not None
    first.asked_at -= datetime.timedelta(hours=1)
    site.guard.admit(first)
    site.guard.admit(second)
    assert first.asked_at == second.asked_at and len(site.queue) == 1


def test_a_second_request_joins_and_the_newest_asker_is_answered(site: Site) -> None:
    site.guard.admit(request(generation=1, to='old'))
    site.guard.admit(request(generation=2, to='new'))
    site.work()
    assert site.ran == ['spawn']
    (report, to), = site.replies
    assert (report.generation, to) == (2, 'new')


def test_a_finished_step_is_answered_from_memory(site: Site) -> None:
    site.guard.admit(request(generation=1))
    site.work()
    site.guard.admit(request(generation=2, to='heir'))
    site.work()
    assert site.ran == ['spawn']
    report, to = site.replies[1]
    assert (report.generation, report.result, to) == (2, {'n': 1}, 'heir')


def test_a_failure_is_tried_again_by_a_newer_claim_only(site: Site) -> None:
    site.error = {'message': 'no'}
    site.guard.admit(request(generation=1))
    site.work()
    site.guard.admit(request(generation=1))
    site.work()
    assert site.ran == ['spawn']
    site.guard.admit(request(generation=2))
    site.work()
    assert site.ran == ['spawn', 'spawn']


def test_a_failure_is_tried_again_by_a_new_attempt(site: Site) -> None:
    site.error = {'kind': 'failed', 'message': 'no'}
    site.guard.admit(request())
    site.work()
    site.guard.admit(request())         # asked again, for the answer only
    site.work()
    assert site.ran == ['spawn'] and len(site.replies) == 2
    site.error, again = None, request()
    again.attempt = 1
    site.guard.admit(again)
    site.work()
    assert site.ran == ['spawn', 'spawn'] and site.replies[-1][0].error is None


def test_an_older_fence_is_refused_also_after_a_restart(site: Site, tmp_path: pathlib.Path) -> None:
    site.guard.admit(request(action=7))
    site.work()
    site.guard.admit(request(action=6))
    again = Site(tmp_path)
    again.guard.admit(request(action=6))
    again.guard.admit(request(action=7, generation=0, step='other'))
    site.work()
    again.work()
    assert site.ran == ['spawn']
    assert again.ran == []


def test_an_answer_survives_a_restart(site: Site, tmp_path: pathlib.Path) -> None:
    site.guard.admit(request())
    site.work()
    again = Site(tmp_path)
    again.guard.admit(request(generation=2, to='heir'))
    again.work()
    assert again.ran == []
    assert again.replies[0][0].result == {'n': 1}


def test_an_undo_waits_for_the_step_that_it_undoes(site: Site) -> None:
    site.guard.admit(request())
    site.guard.admit(request(step='spawn.undo'))
    site.guard.admit(request(step='spawn.undo'))
    assert len(site.queue) == 1
    site.work()
    assert site.ran == ['spawn', 'spawn.undo']


def test_an_answer_that_cannot_be_sent_holds_nothing_up(site: Site) -> None:
    def silent(report: StepReport, to: str | None) -> None:
        raise OSError('no wire')
    site.guard.admit(request())
    site.guard.admit(request(step='spawn.undo'))
    site.guard._reply = silent
    for _ in range(2):
        with pytest.raises(OSError):
            site.work()
    assert site.ran == ['spawn', 'spawn.undo'] and site.guard.busy() == []


@pytest.mark.parametrize('kept', [b'', b'null', b'[]', b'{"fence": 1}'])
def test_a_fence_that_cannot_be_read_starts_anew(tmp_path: pathlib.Path, kept: bytes) -> None:
    (tmp_path / 'server').write_bytes(kept)
    site = Site(tmp_path)
    site.guard.admit(request())
    site.work()
    assert site.ran == ['spawn']


def test_what_waits_is_dropped_when_something_newer_came(site: Site) -> None:
    site.guard.admit(request(action=1))
    site.guard.admit(request(action=2, step='reboot'))
    site.guard.admit(request(action=3, step='destroy'))
    site.work()
    assert site.ran == ['spawn', 'destroy']


def test_fences_grow_with_claims_and_actions() -> None:
    def fence(action: int, generation: int) -> int:
        return Action(action='', flow='', instance_uuid='', request_id='', id=action, generation=generation).fence
    assert fence(1, 0) < fence(1, 1) < fence(1, 2000) < fence(2, 0)


def test_an_undo_is_another_request_than_its_step() -> None:
    action = Action(action='', flow='', instance_uuid='', request_id='', step='spawn')
    assert action.step_key == 'spawn'
    action.state = ActionState.UNWINDING
    assert action.step_key == 'spawn.undo'


def test_a_full_disk_stops_no_delete(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr('os.rename', full)
    site.guard.admit(request(step='destroy'))
    site.work()
    assert [report.error for report, _ in site.replies] == [None]
    site.guard.admit(request(action=0, step='spawn'))
    assert not site.queue    # in memory it is guarded still


def test_what_is_asked_for_during_a_sweep_is_known(site: Site) -> None:
    began = time.monotonic()
    known = Known({'recorded'}, lambda uuid: site.guard.asked_since(began, uuid))
    assert 'recorded' in known and 'server' not in known
    site.guard.admit(request())
    assert 'server' in known
    site.work()
    assert 'server' in known
    began = time.monotonic()
    assert 'server' not in known


def test_a_running_step_is_not_forgotten(site: Site, tmp_path: pathlib.Path) -> None:
    site.guard.admit(request())
    os.utime(tmp_path / 'server', (0, 0))
    site.guard.forget(set())
    site.work()
    assert len(site.replies) == 1
    os.utime(tmp_path / 'server', (0, 0))
    site.guard.forget(set())
    assert not os.listdir(tmp_path)


def test_what_waits_is_seen_without_the_lock(site: Site) -> None:
    """Under eventlet a native thread that copies an image asks, and must not share a lock with green ones."""
    site.guard.admit(request())
    site.guard.admit(request(action=2, step='destroy'))
    seen: list[bool] = []
    asks = threading.Thread(target=lambda: seen.append(site.guard.overtaken('server')), daemon=True)
    with site.guard._lock:
        asks.start()
        asks.join(60)
        assert seen == [True]


def test_who_is_alone_with_a_server_holds_off_what_comes(site: Site) -> None:
    before = time.monotonic()
    with site.guard.alone('server', before) as free:
        assert free and site.guard.busy() == ['server']
        site.guard.admit(request())
        site.work()
        assert site.ran == [] and site.guard.overtaken('server')
        with site.guard.alone('server', time.monotonic()) as again:
            assert not again
        site.work()
        assert site.ran == []
    site.work()
    assert site.ran == ['spawn'] and site.guard.busy() == []


def test_nobody_is_alone_with_a_server_that_something_was_asked_for(site: Site) -> None:
    began = time.monotonic()
    site.guard.admit(request())
    with site.guard.alone('server', time.monotonic()) as free:
        assert not free, 'it runs'
    middle = time.monotonic()
    site.work()
    with site.guard.alone('server', middle) as free:
        assert not free, 'it ended since'
    with site.guard.alone('server', began) as free:
        assert not free
    with site.guard.alone('server', time.monotonic()) as free:
        assert free
    site.guard.admit(request(step='next'))
    site.work()
    assert site.ran == ['spawn', 'next']


def test_being_alone_with_a_stranger_leaves_no_trace(site: Site) -> None:
    with site.guard.alone('stranger', time.monotonic()) as free:
        assert free
    assert not site.guard.asked_ever()
