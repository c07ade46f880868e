"""What verbs hand on to the driver."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute.compute.manager import verbs
from minicompute.image.base import FetchStopped
from minicompute.objects import ImageMeta, Instance, StepRequest


class Driver:
    """Remembers whether it was asked to stop."""

    def __init__(self) -> None:
        self.stopped: list[bool] = []

    def spawn(self, request: Any, progress: Any) -> None:
        self.stopped.append(request.stop())

    def rebuild(self, request: Any, **kwargs: Any) -> None:
        self.stopped.append(request.stop())

    def prepare_rescue(self, request: Any, progress: Any) -> None:
        self.stopped.append(request.stop())

    def fetch_image(self, instance: Instance, image: ImageMeta, progress: Any, stop: Any) -> None:
        self.stopped.append(stop())

    def prepare_move(self, instance: Instance, source: str, image: ImageMeta, progress: Any, stop: Any) -> str:
        self.stopped.append(stop())
        return ''

    def power_state(self, uuid: str) -> int:
        return 1


@pytest.mark.parametrize('name', ['spawn', 'rebuild', 'prepare_rescue', 'fetch_image', 'prepare_move'])
def test_what_fetches_an_image_can_be_broken_off(name: str) -> None:
    driver: Any = Driver()
    instance = Instance(uuid='u', project_id='p', user_id='u', id=1)
    request = StepRequest(1, 1, 'step', name, 'u', 1, instance=instance,
                          args={'image': ImageMeta(id='i'), 'source': 's'})
    for newer_waits in (True, False):
        with verbs.stoppable(lambda: newer_waits):      # noqa: B023
            verbs.VERBS[name](driver, request)
    assert driver.stopped == [True, False]


@pytest.mark.parametrize('verb', ['spawn', 'prepare_move_or_next'])
def test_who_was_broken_off_did_not_fail_for_its_host(verb: str) -> None:
    assert verbs.failure(verb, FetchStopped(image_id='i'))['kind'] == 'failed'
    assert verbs.failure(verb, RuntimeError())['kind'] == 'reschedule'
