"""What stands beside Nova's contract, as a table; sockets that change hands; what is counted."""
from __future__ import annotations

import pathlib
import socket
import threading
import time
from typing import Any

import pytest
import webob
import webob.dec

from minicompute import health, metrics
from minicompute.api.beyond.app import the_router
from minicompute.api.beyond.hub import Follower
from minicompute.api.beyond.stream import ENV_SOCKET, MOST_WAITING, HandedOver, Stream, Taken
from minicompute.compute.api import naming
from minicompute.db.api.idempotency import Ticket, identity
from minicompute.health import Doctor

GOLDEN = pathlib.Path(__file__).with_name('beyond.golden')


def test_golden() -> None:
    assert '\n'.join(the_router().router.table()) + '\n' == GOLDEN.read_text()


# -- connections that change hands ---------------------------------------------------

@pytest.fixture
def pair() -> Any:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    yield ours, theirs
    theirs.close()


def test_a_connection_is_taken_and_not_shared(pair: Any) -> None:
    ours, theirs = pair
    taken = Taken(ours, chunked=True)
    assert ours.fileno() == -1, 'who had it can neither close nor shut it down'
    ours.close()
    assert taken.send(b'hello') and theirs.recv(100) == b'5\r\nhello\r\n'
    assert taken.end() and theirs.recv(100) == b'0\r\n\r\n'
    taken.close()
    assert theirs.recv(1) == b''


def test_without_chunks(pair: Any) -> None:
    taken = Taken(pair[0], chunked=False)
    assert taken.send(b'hello') and taken.end() and pair[1].recv(100) == b'hello'
    taken.close()


def test_a_client_that_does_not_read_is_cut_off_and_holds_nobody_up(pair: Any) -> None:
    taken = Taken(pair[0], chunked=True)
    sent = 0
    while taken.send(b'x' * 65536):
        sent += 65536
        assert sent < 64 * MOST_WAITING
    assert sent >= MOST_WAITING
    taken.close()


def test_a_client_that_hangs_up(pair: Any) -> None:
    taken = Taken(pair[0], chunked=True)
    assert taken.there()
    pair[1].close()
    assert not taken.there()
    taken.close()


def test_a_follower_shows_that_it_is_there_and_ends() -> None:
    class Some(Follower):
        def beat(self) -> bytes:
            return b'beat'

        def farewell(self) -> bytes:
            return b'end'
    now = time.monotonic()
    one = Some(3, now + 100, project_id=None, instance_uuid=None)
    assert one.hear([], now) == b'' and one.hear([], now + 20) == b'beat' and one.hear([], now + 21) == b''
    assert one.hear([], now + 101) == b'end' and one.over


# -- secrets of a key ----------------------------------------------------------------

def test_a_password_by_a_key_is_the_same_each_time_and_whole(conf: Any) -> None:
    ticket = Ticket(identity('p', 'u', 'k'), b'k', '')
    twin = Ticket(ticket.identity, b'k', '', salt=ticket.salt)
    found = naming.password(ticket.secret('adminPass'))
    assert found == naming.password(twin.secret('adminPass')) and len(found) == conf.password_length
    assert any(c.isdigit() for c in found) and any(c.isupper() for c in found) and any(c.islower() for c in found)
    others = [Ticket(identity('p', 'u', 'k'), b'k', ''), Ticket(identity('p', 'u', 'l'), b'l', '', salt=ticket.salt)]
    assert found not in {naming.password(other.secret('adminPass')) for other in others}
    assert naming.password() != naming.password()


# -- figures and health ----------------------------------------------------------------

def test_nothing_is_counted_until_somebody_is_told() -> None:
    metrics.count('requests', 1, 'GET /', '200')
    metrics.observe('rpc_seconds', 0.1, 'scheduler', 'x')
    assert not metrics.on()


def test_the_health_is_asked_for_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        raise ConnectionError('secret.example.org')
    doctor = Doctor()
    monkeypatch.setattr(doctor, '_checks', {'broker': check})
    for _ in range(5):
        found = doctor.look().to_dict()
    assert len(asked) == 1 and found['status'] == 'failing'
    assert 'ConnectionError' in found['checks']['broker']['reason'] and 'secret' not in str(found)


def test_a_slow_look_is_not_old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = [0.0], []
    monkeypatch.setattr(health.time, 'monotonic', lambda: clock[0])

    def check() -> None:
        asked.append(1)
        clock[0] += 2 * health.KEPT
    doctor = Doctor()
    monkeypatch.setattr(doctor, '_checks', {'broker': check})
    doctor.look()
    doctor.look()
    assert len(asked) == 1


def test_nobody_waits_behind_a_part_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, entered = threading.Event(), threading.Event()
    doctor = Doctor()
    monkeypatch.setattr(doctor, '_checks', {'broker': lambda: None})
    good = doctor.look()

    def hang() -> None:
        entered.set()
        hanging.wait(60)
    monkeypatch.setattr(doctor, '_checks', {'broker': hang})
    monkeypatch.setattr(health, 'KEPT', 0.0)
    one = threading.Thread(target=doctor.look)
    one.start()
    assert entered.wait(60)
    began = time.monotonic()
    assert doctor.look() is good and time.monotonic() - began < 10
    hanging.set()
    one.join(60)
    assert doctor.look() is not good


def test_a_database_that_hangs_is_asked_in_one_thread_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        hanging.wait(60)
    monkeypatch.setattr(health, 'TIMEOUT', 0.05)
    monkeypatch.setattr(health, 'KEPT', 0.0)
    monkeypatch.setattr(health, '_broker', lambda: None)
    monkeypatch.setattr(health, '_database', hang)
    doctor = Doctor()
    for _ in range(3):
        assert 'TimeoutError' in str(doctor.look().checks['database'])
    assert len(asked) == 1
    hanging.set()
    deadline = time.monotonic() + 30
    while not (good := doctor.look().good) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert good


# -- what wraps a stream ---------------------------------------------------------------

class Told:
    """A hub that notes what becomes of its followers."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def admit(self, _follower: Any) -> None:
        self.seen.append('admitted')

    def dismiss(self, _follower: Any) -> None:
        self.seen.append('dismissed')

    def keep(self, _follower: Any, taken: Taken) -> None:
        self.seen.append('kept')
        taken.send(b'later')
        taken.close()

    def alone(self, _follower: Any) -> Any:
        self.seen.append('alone')
        yield b'more'


def wrapped(stream: Stream, **environ: Any) -> Any:
    """As keystonemiddleware and oslo.middleware wrap it. -> the body's parts, one at a time"""
    @webob.dec.wsgify
    def wrap(req: Any) -> Any:
        return req.get_response(stream)
    return iter(wrap(webob.Request.blank('/', environ).environ, lambda *_: None))


def test_a_stream_comes_bit_by_bit_through_what_wraps_it() -> None:
    hub = Told()
    parts = wrapped(Stream(hub, object(), [b'now'], 'text/event-stream'))    # type: ignore[arg-type]
    assert (next(parts), next(parts), hub.seen) == (b'', b'now', ['admitted'])
    assert list(parts) == [b'more'] and hub.seen == ['admitted', 'alone', 'dismissed']


def test_a_stream_leaves_its_thread(pair: Any) -> None:
    ours, theirs = pair
    hub = Told()
    parts = wrapped(Stream(hub, object(), [], 'text/event-stream'),     # type: ignore[arg-type]
                    **{ENV_SOCKET: ours, 'SERVER_PROTOCOL': 'HTTP/1.1'})
    assert next(parts) == b''
    with pytest.raises(HandedOver):
        next(parts)
    assert ours.fileno() == -1 and hub.seen == ['admitted', 'kept'] and theirs.recv(100) == b'5\r\nlater\r\n'


def test_a_client_that_left_before_the_first_word_is_no_follower() -> None:
    hub = Told()
    parts = wrapped(Stream(hub, object(), [b'now'], 'text/event-stream'))    # type: ignore[arg-type]
    next(parts)
    parts.close()
    assert hub.seen == ['admitted', 'dismissed']
