"""How far long steps are: what computes tell goes to the action, the server and its migration."""
from __future__ import annotations

import threading
from collections.abc import Sequence

from minicompute.conductor.engine import Engine
from minicompute.db import session
from minicompute.db.api import progress as records
from minicompute.objects import StepProgress

#: seconds that progress gathers: so seldom is anything of one server written, and all that gathered in one transaction
INTERVAL = 1.0


class ProgressDesk:
    """One per conductor. What is lost with it is no loss: the next word of the compute says more."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        #: by action: the newest, and whether it is of a step that this conductor asked for
        self._newest: dict[int, tuple[StepProgress, bool]] = {}

    def take(self, items: Sequence[StepProgress]) -> None:
        """Also proves that the computes are at it: they are not asked again for a while."""
        asked, others = self._engine.heard(items)
        with self._lock:
            self._newest.update((item.action_id, (item, True)) for item in asked)
            self._newest.update((item.action_id, (item, False)) for item in others)

    def write(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, {}
        if newest:
            session.write(records.note, [item for item, mine in newest.values() if mine],
                          [item for item, mine in newest.values() if not mine])
