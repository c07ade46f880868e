"""What other services tell of servers that are gone by then."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from minicompute.conductor.flows import external


@pytest.mark.parametrize('end', [external.card_gone, lambda task: external.card_stays(task, {'code': 404})])
def test_a_port_goes_with_its_server(end: Any) -> None:
    """It is deleted meanwhile: the action ends, and nothing of a server is written."""
    done: list[Any] = []
    end(SimpleNamespace(instance=None, uuid='u', data={'port': 'p'}, on_commit=done.append, set=None))
    assert len(done) == 1
