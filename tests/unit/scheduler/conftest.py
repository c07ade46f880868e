from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conf import scheduler


@pytest.fixture
def conf(conf: Any) -> Iterator[Any]:
    """The options of the scheduler are what they were when the test ends."""
    yield conf
    for group, options in scheduler.OPTIONS.items():
        for option in options:
            conf.clear_override(option.name, group)
