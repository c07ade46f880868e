"""Requests that come when their action may have ended."""
from __future__ import annotations

import datetime
from typing import Any

import oslo_messaging as messaging
import pytest

from minicompute import exception
from minicompute.compute.manager import late
from minicompute.objects import Action, ActionState, StepRequest
from minicompute.utils import utcnow


class Conductor:
    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def wanted(self, context: Any, **asked: Any) -> bool:
        self.asked.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return bool(self.answer)


def request(state: str = ActionState.RUNNING, age: float = 0.0, verb: str = 'attach_volume') -> StepRequest:
    action = Action(id=7, action='x', flow='x', step='plug', state=state, instance_uuid='u', request_id='r')
    made = action.request(verb, None, {}, None)
    assert made.asked_at is not None
    made.asked_at = utcnow() - datetime.timedelta(seconds=age)
    return made


def test_what_is_fresh_is_done_at_once() -> None:
    conductor: Any = Conductor(False)
    late.check(conductor, 'h', request())
    without: Any = request()
    without.asked_at = None     # an older conductor's
    late.check(conductor, 'h', without)
    assert conductor.asked == []


@pytest.mark.parametrize('one', [
    request(ActionState.UNWINDING), request(age=late.OLD + 1), request(age=-3600.0), request(verb='detach_volume'),
    request(verb='detach_interface')])
def test_an_undo_and_what_is_old_or_takes_is_asked_about(one: StepRequest) -> None:
    conductor: Any = Conductor(True)
    late.check(conductor, 'h', one)
    assert conductor.asked == [{'host': 'h', 'action_id': 7, 'step': one.step}]
    conductor.answer = False
    with pytest.raises(exception.Overdue, match=f'{one.verb} of u came too late'):
        late.check(conductor, 'h', one)


@pytest.mark.parametrize('answer', [messaging.MessagingTimeout(), messaging.RemoteError('DBError', 'no database')])
def test_without_an_answer_it_is_not_done(answer: Exception) -> None:
    """Who wants it asks again."""
    conductor: Any = Conductor(answer)
    with pytest.raises(exception.NeighbourUnavailable, match='conductor'):
        late.check(conductor, 'h', request(age=60))


def test_a_conductor_that_does_not_know_the_question() -> None:
    conductor: Any = Conductor(messaging.RemoteError('NoSuchMethod', 'no such method'))
    late.check(conductor, 'h', request(age=60))
    assert len(conductor.asked) == 1
