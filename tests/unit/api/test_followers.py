"""The thread that tells all followers, and who may hold the server's own."""
from __future__ import annotations

import datetime
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import webob

from minicompute.api.beyond.hub import Follower, Hub
from minicompute.api.beyond.stream import ENV_SOCKET, PATIENCE, Stream, Taken
from minicompute.db.api import events


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    yield ours, theirs
    ours.close()
    theirs.close()


def begun(stream: Stream, connection: socket.socket) -> Any:
    return iter(stream(webob.Request.blank('/', {ENV_SOCKET: connection}).environ, lambda *_: None))  # type: ignore


class Counting(Follower):
    def __init__(self) -> None:
        super().__init__(0, time.monotonic() + 1000, project_id=None, instance_uuid=None)
        self.heard = 0

    def tell(self, event: events.Event) -> bytes:
        self.heard += 1
        return b''


def some(first: int, number: int) -> list[events.Event]:
    return [events.Event(seq, 'changed', 'u', 'p', None, 'active', None, None, None, datetime.datetime.min)
            for seq in range(first, first + number)]


def wait_until(over: Any) -> None:
    until = time.monotonic() + 10
    while not over():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_as_long_as_there_is_more_nobody_pauses(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('minicompute.api.beyond.hub.PAUSE', 600.0)
    hub, one, left = Hub(), Counting(), [some(1, events.MOST), some(1 + events.MOST, events.MOST), some(2001, 3)]
    monkeypatch.setattr(hub, '_look', lambda _last: left.pop(0))
    hub.keep(one, Taken(pair[0], chunked=True))
    wait_until(lambda: one.heard == 2 * events.MOST + 3)
    hub.dismiss(one)
    hub._pause.wake()
    wait_until(lambda: hub._thread is None)


def test_a_thread_that_could_not_start_is_started_by_the_next_one(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair
    hub, one = Hub(), Counting()
    monkeypatch.setattr(hub, '_look', lambda _last: [])

    def fail(_thread: Any) -> None:
        raise RuntimeError("can't start new thread")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', fail)
        parts = begun(Stream(hub, one, [], 'text/event-stream'), ours)
        with pytest.raises(RuntimeError):
            list(parts)
    assert hub.count() == 0 and theirs.recv(1) == b'', 'the connection is closed, and it is not counted'
    more = socket.socketpair()
    hub.admit(one)
    hub.keep(one, Taken(more[0], chunked=True))
    assert hub._thread is not None
    more[1].close()
    one.look_at = 0.0
    hub._pause.wake()
    wait_until(lambda: hub._thread is None)


def test_a_client_that_does_not_read_does_not_hold_the_thread_for_ever(pair: Any) -> None:
    ours, _theirs = pair
    parts = begun(Stream(Hub(), Counting(), [b'now'], 'text/event-stream'), ours)
    assert (next(parts), ours.gettimeout()) == (b'', PATIENCE)
    parts.close()
