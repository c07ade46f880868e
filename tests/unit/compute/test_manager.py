"""How a compute leaves."""
from __future__ import annotations

import threading
from typing import Any

import pytest

from minicompute.compute.manager import manager as module
from minicompute.compute.manager import verbs
from minicompute.compute.manager.manager import ComputeManager
from minicompute.context import admin_context
from minicompute.objects import Action, StepReport
from minicompute.virt.fake import FakeDriver


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[StepReport]:
    out: list[StepReport] = []
    monkeypatch.setattr(module.conductor, 'report', lambda report, reply_to: out.append(report))
    return out


def test_a_build_under_way_is_reported_before_the_outbox_closes(
        conf: Any, monkeypatch: pytest.MonkeyPatch, reports: list[StepReport]) -> None:
    begun, go = threading.Event(), threading.Event()

    def build(driver: Any, request: Any) -> dict[str, Any]:
        begun.set()
        assert go.wait(60)
        return {}
    monkeypatch.setitem(verbs.VERBS, 'spawn', build)
    manager = ComputeManager('h', FakeDriver('h'))
    action = Action(action='create', flow='build', instance_uuid='u', request_id='r', id=1, generation=1, step='spawn')
    manager.run_steps(admin_context(), [action.request('spawn', None, {}, 'c')])
    assert begun.wait(60)
    leaving = threading.Thread(target=manager.stop)
    leaving.start()
    leaving.join(0.3)
    assert leaving.is_alive(), 'it stays while the build runs'
    go.set()
    leaving.join(60)
    assert [report.error for report in reports] == [None]
