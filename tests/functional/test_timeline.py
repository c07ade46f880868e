"""How far long work is: from the driver's callback to the server, the action log and the command line."""
from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.cli import timeline
from minicompute.compute.manager import progress as compute_progress
from minicompute.conductor import progress as conductor_progress
from minicompute.db import session
from minicompute.db.api import progress as records
from minicompute.objects import StepProgress
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud


class Slow:
    """A driver whose spawn says how far it is, and waits there until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.go, self.tell = threading.Event(), threading.Event(), 40
        spawn = FakeDriver.spawn

        def slowly(driver: Any, request: Any, progress: Any = None) -> None:
            self.at.set()
            while not self.go.wait(0.02):
                progress('image', self.tell)
            spawn(driver, request)
        monkeypatch.setattr(FakeDriver, 'spawn', slowly)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    monkeypatch.setattr(compute_progress, 'INTERVAL', 0.0)
    monkeypatch.setattr(conductor_progress, 'INTERVAL', 0.05)
    made = Slow(monkeypatch)
    yield made
    made.go.set()


def actions(cloud: Cloud, uuid: str, **who: str) -> Any:
    listed = cloud.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions']
    return cloud.api('GET', f'/servers/{uuid}/os-instance-actions/{listed[0]["request_id"]}', **who)['instanceAction']


def test_a_build_shows_how_far_it_is(make_cloud: Any, slow: Slow) -> None:
    cloud = make_cloud(computes=1)
    uuid = str(cloud.boot('slow')['id'])
    cloud.until(lambda: cloud.show(uuid)['progress'] == 40, 'the progress to be shown')
    running = actions(cloud, uuid)['events'][0]
    assert (running['event'], running['result'], running['finish_time']) == ('spawn', None, None)
    assert (running['host'], running['details']) == ('compute1', 'image 40 %')
    slow.tell = 80
    cloud.until(lambda: cloud.show(uuid)['progress'] == 80, 'more progress')
    slow.go.set()
    cloud.wait(uuid)
    assert cloud.show(uuid)['progress'] == 0
    events = actions(cloud, uuid)['events']
    assert [event['result'] for event in events] == ['Success'] * len(events)
    assert events[0]['event'] == 'spawn'


def test_a_user_sees_the_step_but_no_host(make_cloud: Any, slow: Slow) -> None:
    cloud = make_cloud(computes=1)
    uuid = str(cloud.boot('slow', user='joe', project='joes')['id'])
    cloud.until(lambda: cloud.show(uuid)['progress'] == 40, 'the progress to be shown')
    listed = cloud.api('GET', f'/servers/{uuid}/os-instance-actions', user='joe', project='joes')['instanceActions']
    event = cloud.api('GET', f'/servers/{uuid}/os-instance-actions/{listed[0]["request_id"]}', user='joe',
                      project='joes')['instanceAction']['events'][0]
    assert event['event'] == 'spawn'
    assert 'host' not in event and 'details' not in event


def test_who_is_at_it_is_not_asked_again(make_cloud: Any, slow: Slow, conf: Any) -> None:
    conf.set_override('ask_again', 1.0, 'conductor')
    cloud = make_cloud(computes=1)
    engine: Any = cloud.services['conductor1'].manager.engine
    asked = []
    ask = engine._ask
    engine._ask = lambda task, question: (asked.append(question.verb), ask(task, question))
    uuid = str(cloud.boot('slow')['id'])
    assert slow.at.wait(60)
    parked = engine._parked_now()[0]
    first = parked.at
    cloud.until(lambda: parked.at > first + 2.5, 'progress to be heard for more than two of these times')
    assert asked == ['spawn']
    slow.go.set()
    cloud.wait(uuid)


def progress_of(action: Any, **changes: Any) -> StepProgress:
    facts = {'action_id': action.id, 'generation': action.generation, 'step': 'spawn', 'host': 'compute1',
             'stage': 'image', 'percent': 33, **changes}
    return StepProgress(**facts)


@pytest.mark.parametrize(('changes', 'mine', 'written'), [
    ({}, True, 1), ({}, False, 1), ({'host': 'somebody'}, False, 0), ({'generation': 99}, True, 0),
    ({'step': 'schedule'}, True, 0), ({'step': 'spawn.undo'}, True, 0), ({'action_id': 10 ** 6}, True, 0)])
def test_only_what_is_true_is_written(make_cloud: Any, slow: Slow, changes: Any, mine: bool, written: int) -> None:
    """A message of a step that is over, or of a host where the server is not."""
    slow.tell = 0
    cloud = make_cloud(computes=1)
    uuid = str(cloud.boot('slow')['id'])
    assert slow.at.wait(60)
    engine: Any = cloud.services['conductor1'].manager.engine
    cloud.until(engine._parked_now, 'the build to wait for its host')
    item = progress_of(engine._parked_now()[0].task.action, **changes)
    assert session.write(records.note, [item] if mine else [], [] if mine else [item]) == written
    slow.go.set()
    cloud.wait(uuid)
    assert session.write(records.note, [item], []) == 0, 'the step is over'


def test_the_timeline_of_a_build(make_cloud: Any) -> None:
    cloud = make_cloud(computes=1)
    uuid = str(cloud.boot('fast')['id'])
    cloud.wait(uuid)
    action = actions(cloud, uuid)
    bars = timeline.bars_of(action)
    assert [bar.step for bar in bars] == ['schedule', 'spawn']
    assert bars[1].host == 'compute1'
    assert bars[0].after <= bars[1].after
    lines = [text for text, _ in timeline.drawing(action, bars, 'fast', 80)]
    assert lines[0].startswith(f'create of fast ({action["request_id"]})')
    assert all(len(line) <= 80 for line in lines[1:])
    assert lines[-1].startswith('spawn') and '━' in lines[-1]
