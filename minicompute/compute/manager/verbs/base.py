"""What all verbs share: `fn(driver, request) -> facts`. Each says "make it so" and may be asked again.

A verb raises what stopped it; `failure` says what the conductor makes of that.
"""
from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from minicompute import exception
from minicompute.compute.manager import progress
from minicompute.image.base import FetchStopped
from minicompute.objects import Instance, StepRequest
from minicompute.virt.driver import ComputeDriver, Progress

Verb = Callable[[ComputeDriver, StepRequest], dict[str, Any]]


@dataclasses.dataclass(slots=True, frozen=True)
class Work:
    """What a verb may tell and ask while it goes on: how far it is, and whether something newer (an undo, a delete)
    waits for it to end, so that what takes minutes is broken off. Any thread may call them."""

    progress: Progress
    stop: Callable[[], bool]


_here = threading.local()


@contextlib.contextmanager
def stoppable(asked: Callable[[], bool]) -> Iterator[None]:
    """What `work().stop` answers in this thread, until the end."""
    _here.asked = asked
    try:
        yield
    finally:
        _here.asked = None


def work() -> Work:
    """Of the verb that runs in this thread."""
    return Work(progress.current(), getattr(_here, 'asked', None) or (lambda: False))


def instance_of(request: StepRequest) -> Instance:
    """With `connections` it is the server as it is to be here, where its volumes are reached in another way."""
    instance: Instance = request.instance
    connections = request.args.get('connections')
    if not connections:
        return instance
    made = copy.copy(instance)
    made.block_devices = [
        dataclasses.replace(one, connection_info={**one.connection_info, 'connection': connections[one.uuid]})
        if one.uuid in connections else one for one in instance.block_devices]
    return made


def failure(verb: str, error: Exception) -> dict[str, Any]:
    """What a report says of an exception. A build that failed for a reason of this host is worth another
    host; one that failed for what was asked is not."""
    ours = isinstance(error, exception.ComputeException)
    code = getattr(error, 'code', 500)
    asked_wrong = ours and code in (400, 403, 404, 409)
    elsewhere = verb.endswith('_or_next') or verb == 'spawn' and not asked_wrong
    elsewhere = elsewhere and not isinstance(error, FetchStopped)       # nothing is wrong with this host
    kind = 'reschedule' if elsewhere else 'failed'
    if isinstance(error, exception.NeighbourUnavailable):
        kind = 'neighbour'      # no other host would find it
    message = str(error) if ours else type(error).__name__    # its text, which may name paths, is for admins
    return {'class': type(error).__name__, 'message': message[:2000], 'code': code, 'kind': kind,
            'details': '' if ours else ''.join(traceback.format_exception(error))[-8000:]}
