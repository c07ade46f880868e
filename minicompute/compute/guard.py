"""The compute's memory of what it was asked: one step at a time a server, and never an old one.

Every request carries the server's fence, a number that grows with each claim of any action on the
server.  The guard keeps the highest one it has seen on the disk, so that a conductor that was frozen and
woke up cannot undo what its successor did, even over a restart.  A second request for a running step joins
it; a request for a finished one gets the remembered answer; another step waits until the one before ends.
"""
from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import orjson
from oslo_log import log as logging

from minicompute import crash
from minicompute.objects import StepReport, StepRequest, from_primitive, to_primitive

LOG = logging.getLogger(__name__)

#: seconds that the fence of a server is kept after its last request
KEEP = 3600 * 24


@dataclasses.dataclass(slots=True)
class _Key:
    """What is known of one server."""

    fence: int = 0
    running: StepRequest | None = None
    waiting: list[StepRequest] = dataclasses.field(default_factory=list)
    last: StepReport | None = None
    asked_at: float = 0.0       # monotonic
    held: bool = False          # by `alone`: what comes waits

    def in_use_since(self, moment: float) -> bool:
        return self.running is not None or self.held or self.asked_at >= moment

    def take_next(self) -> StepRequest | None:
        """-> what waited longest and is not too old by now; from now on it runs"""
        while self.waiting and self.running is None:
            candidate = self.waiting.pop(0)
            if candidate.fence >= self.fence:
                self.running = candidate
                return candidate
        return None


class Guard:
    """`run(request) -> StepReport` is called in the caller's pool; `reply(report, reply_to)` sends."""

    def __init__(self, path: str, submit: Callable[[StepRequest, Callable[[], None]], Any],
                 run: Callable[[StepRequest], StepReport],
                 reply: Callable[[StepReport, str | None], None]) -> None:
        self._path, self._submit, self._run, self._reply = path, submit, run, reply
        self._lock = threading.Lock()
        self._keys: dict[str, _Key] = {}
        self._load()

    def admit(self, request: StepRequest) -> None:
        """Run it, join it, answer it from memory, or refuse it."""
        with self._lock:
            state = self._keys.setdefault(request.key, _Key())
            state.asked_at = time.monotonic()
            if request.fence < state.fence and not _same(request, state.running):
                LOG.warning('A request for %s of %s is refused: its fence %s is older than %s',
                            request.verb, request.key, request.fence, state.fence)
                return
            if _same(request, state.running) and state.running is not None:
                # The newest asker gets the answer.
                if request.fence >= state.running.fence:
                    state.running.generation, state.running.reply_to = request.generation, request.reply_to
                    state.running.asked_at = request.asked_at   # its action waits for it still
                    state.fence = max(state.fence, request.fence)
                    self._save(request.key, state)
                return
            if not state.held and state.last is not None and _answers(state.last, request):
                state.fence = request.fence
                self._save(request.key, state)
                answer = dataclasses.replace(state.last, generation=request.generation)
                self._reply(answer, request.reply_to)
                return
            state.fence = request.fence
            self._save(request.key, state)
            if state.running is not None or state.held:
                state.waiting = [w for w in state.waiting if not _same(request, w)] + [request]
                return
            state.running = request
        self._submit(request, lambda: self._execute(request))

    def overtaken(self, key: str) -> bool:
        """Whether another step waits for the one that runs to end. Without the lock, which a native thread, such as a
        copy of an image, must not share with the others under eventlet."""
        state = self._keys.get(key)
        return state is not None and bool(state.waiting)

    def busy(self) -> list[str]:
        """Servers that something is being done to right now."""
        with self._lock:
            return [key for key, state in self._keys.items() if state.running is not None or state.held]

    def asked_ever(self) -> bool:
        """Whether anything is remembered at all."""
        return bool(self._keys)

    def asked_since(self, moment: float, key: str) -> bool:
        """Whether something was, or is being, done to this server after `moment` (of the monotonic clock)."""
        with self._lock:
            state = self._keys.get(key)
            return state is not None and state.in_use_since(moment)

    @contextlib.contextmanager
    def alone(self, key: str, moment: float) -> Iterator[bool]:
        """-> False when something was, or is being, done to this server after `moment` (of the monotonic clock). Else
        nothing is until the end: what comes meanwhile waits for it."""
        with self._lock:
            state = self._keys.setdefault(key, _Key())
            free = not state.in_use_since(moment)
            state.held = free or state.held
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    state.held = False
                    following = state.take_next()
                    if state == _Key():
                        del self._keys[key]
                self._begin(following)

    def forget(self, known: set[str]) -> None:
        """Drop what is kept of servers that have been gone for long."""
        horizon = time.time() - KEEP
        for name in self._names():
            path = os.path.join(self._path, name)
            # Under the lock: a request that comes now must not lose the fence that it has just left here.
            with self._lock, contextlib.suppress(FileNotFoundError):
                state = self._keys.get(name)
                in_use = state is not None and (state.running is not None or state.held)
                if name not in known and os.stat(path).st_mtime < horizon and not in_use:
                    self._keys.pop(name, None)
                    os.unlink(path)

    def _execute(self, request: StepRequest) -> None:
        report = self._run(request)
        with self._lock:
            state = self._keys[request.key]
            report.generation, report.attempt = request.generation, request.attempt
            state.last, state.running, state.asked_at = report, None, time.monotonic()
            self._save(request.key, state)
            following = state.take_next()
        if crash.armed:
            crash.point('compute', request.place, 'before-report', request.key)
        try:
            self._reply(report, request.reply_to)
        finally:    # an answer that is lost is asked for again; what waits is held up by nothing
            self._begin(following)

    def _begin(self, request: StepRequest | None) -> None:
        if request is not None:
            self._submit(request, lambda: self._execute(request))

    def _save(self, key: str, state: _Key) -> None:
        """A kill must not lose a fence that was acted on: rename is atomic. (A power cut loses the domains
        too, so nothing is flushed.)"""
        path = os.path.join(self._path, os.path.basename(key))
        try:
            with self._open(path + '.new') as file:
                file.write(orjson.dumps({'fence': state.fence, 'last': to_primitive(state.last)}))
            os.rename(path + '.new', path)
        except OSError as error:
            # A full disk: what makes room, a delete, must go on. Until the next restart memory guards alone.
            LOG.error('The fence of %s cannot be kept: %s', key, error.strerror)

    def _open(self, path: str) -> BinaryIO:
        """The directory is made with the first fence: a process may have thousands of hosts without any."""
        try:
            return open(path, 'wb')
        except FileNotFoundError:
            os.makedirs(self._path, exist_ok=True)
            return open(path, 'wb')

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._path)
        except FileNotFoundError:
            return []

    def _load(self) -> None:
        for name in self._names():
            path = os.path.join(self._path, name)
            if name.endswith('.new'):
                os.unlink(path)
                continue
            try:
                with open(path, 'rb') as file:
                    kept = orjson.loads(file.read())
                self._keys[name] = _Key(fence=kept['fence'], last=from_primitive(kept['last']))
            except (ValueError, KeyError, TypeError) as error:
                LOG.warning('The fence of %s cannot be read (%s); it starts anew', name, error)


def _same(request: StepRequest, other: StepRequest | None) -> bool:
    return other is not None and (request.action_id, request.step) == (other.action_id, other.step)


def _answers(report: StepReport, request: StepRequest) -> bool:
    """Only a success is remembered as an answer: what failed is worth another try when asked again by a newer claim,
    or as a new attempt, but the same attempt of the same claim gets the same answer."""
    if (report.action_id, report.step) != (request.action_id, request.step):
        return False
    same_try = (report.generation, report.attempt) == (request.generation, request.attempt)
    return report.error is None or same_try
