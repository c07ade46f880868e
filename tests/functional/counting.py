"""Counts what an operation costs: statements, commits and messages, by the role that makes them. Counts do not
depend on the machine, so they may be compared in CI where times may not."""
from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import rpc
from minicompute.db import session

#: looks at the hosts each second whether anybody boots or not
FEED = '/minicompute/scheduler/feed.py'
ROLES = {'/minicompute/api/': 'api', '/minicompute/conductor/': 'conductor', '/minicompute/scheduler/': 'scheduler'}
#: what daemons say whether anybody boots or not
UNASKED = ('echo', 'heartbeats', 'present')


class Counts:
    """`statements` and `commits`: {role: number}; `messages`: {'topic.method': number}, a call being two; `seen`:
    the statements themselves, for who wants to know what grew."""

    def __init__(self) -> None:
        self.statements: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.seen: list[str] = []
        #: a role that is not counted at the moment, such as the api while the test asks whether it is done
        self.passed_over: str | None = None
        self._lock = threading.Lock()

    def statement(self, _conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        words = statement.lstrip().upper()
        # Who begins how, and where the clock is asked, differs between databases.
        if _periodic() or words.startswith(('BEGIN', 'SELECT UTC_TIMESTAMP', 'SELECT CLOCK_TIMESTAMP')):
            return
        role = _role()
        if role not in (self.passed_over, 'feed'):
            with self._lock:
                self.statements[role] += 1
                self.seen.append(f'{role}: {statement}')

    def commit(self, _conn: Any) -> None:
        if not _periodic():
            with self._lock:
                self.commits[_role()] += 1

    def message(self, topic: str, method: str, number: int) -> None:
        if method not in UNASKED:
            with self._lock:
                self.messages[f'{topic}.{method}'] += number

    def record(self) -> dict[str, dict[str, int]]:
        return {'statements': dict(sorted(self.statements.items())), 'commits': dict(sorted(self.commits.items())),
                'messages': dict(sorted(self.messages.items()))}


def _periodic() -> bool:
    return threading.current_thread().name.startswith('periodic-')


def _role() -> str:
    """The outermost of our roles on the stack: all run in one process here."""
    frame, found = sys._getframe(), 'other'
    while frame is not None:
        if FEED in frame.f_code.co_filename:
            return 'feed'
        for part, role in ROLES.items():
            if part in frame.f_code.co_filename:
                found = role
        frame = frame.f_back    # type: ignore[assignment]
    return found


@contextlib.contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    counts = Counts()
    cast, call = rpc.Client.cast, rpc.Client.call

    def counted_cast(self: rpc.Client, context: Any, method: str, **kwargs: Any) -> None:
        counts.message(self._topic, method, 1)
        cast(self, context, method, **kwargs)

    def counted_call(self: rpc.Client, context: Any, method: str, **kwargs: Any) -> Any:
        counts.message(self._topic, method, 2)
        return call(self, context, method, **kwargs)
    write = session.engines()[0]
    with monkeypatch.context() as patch:
        patch.setattr(rpc.Client, 'cast', counted_cast)
        patch.setattr(rpc.Client, 'call', counted_call)
        with told('before_cursor_execute', counts.statement), told('commit', counts.commit, write):
            yield counts


@contextlib.contextmanager
def told(event: str, listener: Callable[..., None], *engines: sa.Engine) -> Iterator[None]:
    """`listener` hears of `event` of these engines, or of all that the database has."""
    heard = set(engines or session.engines())
    for engine in heard:
        sa.event.listen(engine, event, listener)
    try:
        yield
    finally:
        for engine in heard:
            sa.event.remove(engine, event, listener)


def as_text(recorded: Any) -> str:
    return json.dumps(recorded, indent=2, sort_keys=True) + '\n'
