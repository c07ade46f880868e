"""How the conductor (and a dry run of the api) asks the scheduler."""
from __future__ import annotations

from typing import Any

from minicompute import rpc
from minicompute.context import RequestContext


class SchedulerAPI:
    def __init__(self) -> None:
        self._client = rpc.Client(rpc.SCHEDULER)

    def select_destinations(self, context: RequestContext, requests: list[dict[str, Any]],
                            timeout: float = 60.0) -> list[dict[str, Any]]:
        """See `SchedulerManager.select_destinations`. Asking again is safe: what is claimed stays claimed.
        Raises MessagingTimeout, RemoteError."""
        answers: list[dict[str, Any]] = self._client.call(context, 'select_destinations', timeout=timeout,
                                                          requests=requests)
        return answers
