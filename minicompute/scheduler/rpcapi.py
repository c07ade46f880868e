"""How the conductor (and a dry run of the api) asks the scheduler.

Many servers are often asked for alike: a hundred requests of one spec send that spec once, and answers that
were found by one look at the hosts share its funnel.
"""
from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import orjson

from minicompute import rpc
from minicompute.context import RequestContext
from minicompute.objects import to_primitive


class SchedulerAPI:
    def __init__(self) -> None:
        self._client = rpc.Client(rpc.SCHEDULER)

    def select_destinations(self, context: RequestContext, requests: list[dict[str, Any]],
                            timeout: float = 60.0) -> list[dict[str, Any]]:
        """See `SchedulerManager.select_destinations`. Asking again is safe: what is claimed stays claimed.
        Raises MessagingTimeout, RemoteError."""
        entries, specs = pack(requests)
        return unpack_answers(self._client.call(context, 'select_destinations', timeout=timeout,
                                                requests=entries, specs=specs))


def pack(requests: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Any]]:
    """-> (the requests with the number of their spec in its place, the distinct specs)"""
    numbers: dict[Hashable, int] = {}
    specs: list[Any] = []
    entries = []
    for entry in requests:
        number = numbers.setdefault(_sign(entry['spec']), len(specs))
        if number == len(specs):
            specs.append(entry['spec'])
        entries.append({**entry, 'spec': number})
    return entries, specs


def _sign(spec: Any) -> Hashable:
    """Equal for specs that are equal."""
    try:
        return orjson.dumps(to_primitive(spec), option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:   # a number that is too large, such as of a hint
        return id(spec)


def pack_answers(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """-> {'answers': with the number of their funnel in its place, 'funnels': the distinct ones}"""
    numbers: dict[int, int] = {}
    funnels: list[Any] = []
    packed = []
    for answer in answers:
        number = numbers.setdefault(id(answer['funnel']), len(funnels))
        if number == len(funnels):
            funnels.append(answer['funnel'])
        packed.append({**answer, 'funnel': number})
    return {'answers': packed, 'funnels': funnels}


def unpack_answers(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The inverse of `pack_answers`. Answers of one funnel share it: it is to be read only."""
    return [{**answer, 'funnel': reply['funnels'][answer['funnel']]} for answer in reply['answers']]
