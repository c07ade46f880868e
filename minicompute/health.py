"""Whether the parts that a daemon stands on answer: its database and the message broker.

An answer is kept for a moment, so that asking often costs nothing; a reason names no address, user or password,
because anybody may ask.
"""
from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import oslo_messaging as messaging

from minicompute import rpc
from minicompute.conf import CONF

#: seconds for which an answer is kept, and that a part has for its own
KEPT = 2.0
TIMEOUT = 2.0


@dataclasses.dataclass(slots=True, frozen=True)
class Health:
    """`checks`: {part: None when it answers, or why not}."""

    checks: dict[str, str | None]

    @property
    def good(self) -> bool:
        return not any(self.checks.values())

    def to_dict(self) -> dict[str, Any]:
        return {'status': 'ok' if self.good else 'failing', 'checks': {
            name: {'status': 'failing', 'reason': reason} if reason else {'status': 'ok'}
            for name, reason in self.checks.items()}}


class Doctor:
    """`database` false: a compute, which has none."""

    def __init__(self, *, database: bool = True) -> None:
        self._checks: dict[str, Callable[[], None]] = {'broker': _broker}
        if database:
            self._checks['database'] = _Bounded(_database)
        self._lock = threading.Lock()
        self._last: tuple[float, Health] | None = None

    def look(self) -> Health:
        """One looks at a time. The others get what was found last, and nobody waits behind a part that hangs; only
        for what is found first, and no longer than one part may take."""
        last = self._last
        if last is not None and time.monotonic() - last[0] <= KEPT:
            return last[1]
        if not self._lock.acquire(timeout=TIMEOUT if last is None else 0):
            last = self._last
            return last[1] if last is not None else Health(dict.fromkeys(self._checks, 'it has not answered yet'))
        try:
            last = self._last
            if last is None or time.monotonic() - last[0] > KEPT:
                found = Health({name: _why(check) for name, check in self._checks.items()})
                self._last = last = time.monotonic(), found    # afterwards: what took long is not old at once
            return last[1]
        finally:
            self._lock.release()


class _Bounded:
    """A check that may hang, in a thread of its own: whoever asks waits `TIMEOUT` for it, and while one hangs no other
    is begun."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._asked: Future[None] | None = None

    def __call__(self) -> None:
        if self._asked is None or self._asked.done():
            self._asked = Future()
            threading.Thread(target=self._ask, args=(self._asked,), name='health', daemon=True).start()
        self._asked.result(TIMEOUT)

    def _ask(self, asked: Future[None]) -> None:
        try:
            self._check()
        except BaseException as error:
            asked.set_exception(error)
        else:
            asked.set_result(None)


def _why(check: Callable[[], None]) -> str | None:
    began = time.monotonic()
    try:
        check()
    except Exception as error:      # whatever it is, the part is not as it should be
        return f'it does not answer ({type(error).__name__} after {time.monotonic() - began:.1f} s)'
    return None


def _database() -> None:
    # Here, so that a compute need not have SQLAlchemy in its memory.
    from minicompute.db import session

    with session.read() as conn:
        conn.exec_driver_sql('SELECT 1')


def _broker() -> None:
    """A connection with our own credentials, made and ended: what oslo.messaging holds may be a dead one that it has
    not noticed."""
    rpc.transport()     # the options of its driver are known since then
    url = messaging.TransportURL.parse(CONF)
    if url.transport != 'rabbit':
        return      # in-process transports are there as long as we are
    import kombu  # oslo.messaging's

    failure: Exception | None = None
    for host in url.hosts:
        connection = kombu.Connection(
            hostname=host.hostname, port=host.port or 5672, userid=host.username or 'guest',
            password=host.password or 'guest', virtual_host=url.virtual_host or '/', connect_timeout=TIMEOUT,
            ssl=_tls())
        try:
            connection.connect()
            return
        except Exception as error:
            failure = error
        finally:
            connection.release()
    raise failure or ConnectionError('no broker is named')


def _tls() -> Any:
    section = CONF.oslo_messaging_rabbit
    if not section.ssl:
        return False
    import ssl
    return {'ca_certs': section.ssl_ca_file or None, 'certfile': section.ssl_cert_file or None,
            'keyfile': section.ssl_key_file or None,
            'cert_reqs': ssl.CERT_REQUIRED if section.ssl_ca_file else ssl.CERT_NONE}
