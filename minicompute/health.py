"""Whether the parts that a daemon stands on answer: its database and the message broker.

An answer is kept for a moment, so that asking often costs nothing; a reason names no address, user or password,
because anybody may ask.
"""
from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
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
            self._checks['database'] = _database
        self._lock = threading.Lock()
        self._last: tuple[float, Health] | None = None

    def look(self) -> Health:
        """One looks at a time; the others get what it found."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > KEPT:
                self._last = time.monotonic(), Health({name: _why(check) for name, check in self._checks.items()})
            return self._last[1]


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
