"""The connection to libvirtd: made once, made anew when libvirtd restarts, and never a reason to die.

libvirt's event loop runs in a real thread also under eventlet, and hands what it hears to `changes`, a
queue that any kind of thread may poll.  All calls into libvirt go through `call`.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt
from oslo_log import log as logging

from minicompute import concurrency, exception
from minicompute.conf import CONF

LOG = logging.getLogger(__name__)
T = TypeVar('T')

#: a verb that meets a restarting libvirtd waits for it so long
PATIENCE = 30.0
#: the server end is taken for dead after 3 unanswered pings 5 seconds apart
KEEPALIVE = (5, 3)
_LOST = (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)

_loop_lock = threading.Lock()
_loop_running = False


def call(func: Callable[..., T], *args: Any) -> T:
    """One call into libvirt. Raises Unavailable when the connection breaks, libvirtError for the rest."""
    try:
        return concurrency.native_call(func, *args)
    except libvirt.libvirtError as error:
        if is_lost(error):
            raise exception.Unavailable(f'libvirtd went away: {error.get_error_message()}') from error
        raise


def is_lost(error: libvirt.libvirtError) -> bool:
    code = error.get_error_code()
    return (
        error.get_error_domain() in _LOST
        and code in (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR)
    ) or code == libvirt.VIR_ERR_INVALID_CONN


def code_of(error: libvirt.libvirtError) -> int:
    return error.get_error_code()


class Host:
    """One libvirtd. `changes` gets (uuid, event, detail), and None whenever the connection is new."""

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri or CONF.libvirt.connection_uri
        self.changes: Any = concurrency.native_queue()
        self._connection: libvirt.virConnect | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._away = False

    def start(self) -> None:
        """Raises ConfigurationError when libvirtd does not answer."""
        _run_event_loop()
        self._closed = False
        try:
            self._open()
        except libvirt.libvirtError as error:
            LOG.debug('libvirt: %s', error)
            raise exception.ConfigurationError(
                reason=f'libvirtd does not answer at {self.uri}: start it, or set [libvirt] connection_uri '
                       f'({error.get_error_message()})') from None

    def stop(self) -> None:
        self._closed = True
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            _let_go(connection)

    def connection(self, patience: float = PATIENCE) -> libvirt.virConnect:
        """Waits for a libvirtd that restarts; raises Unavailable after `patience` seconds."""
        deadline = time.monotonic() + patience
        while not self._closed:
            try:
                return self._alive() or self._open()
            except libvirt.libvirtError as error:
                reason = error.get_error_message()
            if not self._away:   # one line an outage, whoever meets it first
                self._away = True
                LOG.warning('libvirtd does not answer at %s, waiting for it: %s', self.uri, reason)
            if time.monotonic() >= deadline:
                raise exception.Unavailable(f'libvirtd does not answer at {self.uri}: {reason}')
            time.sleep(0.5)
        raise exception.Unavailable('The libvirt driver has been stopped.')

    def _alive(self) -> libvirt.virConnect | None:
        connection = self._connection
        if connection is not None and connection.isAlive():
            return connection
        return None

    def _open(self) -> libvirt.virConnect:
        with self._lock:
            if alive := self._alive():
                return alive
            old = self._connection
            connection = concurrency.native_call(libvirt.open, self.uri)
            concurrency.native_call(self._watch, connection)
            self._connection, self._away = connection, False
            if old is not None:
                _let_go(old)
        self.changes.put(None)
        LOG.info('%s to libvirt at %s', 'Connected' if old is None else 'Connected again', self.uri)
        return connection

    def _watch(self, connection: libvirt.virConnect) -> None:
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
        connection.registerCloseCallback(self._close, None)
        try:
            connection.setKeepAlive(*KEEPALIVE)
        except libvirt.libvirtError:
            LOG.debug('No keepalive with %s', self.uri)

    # -- in libvirt's thread: put and return, log nothing (the lock of a log handler may be green) ----

    def _lifecycle(
        self, connection: Any, domain: libvirt.virDomain, event: int, detail: int, opaque: Any
    ) -> None:
        self.changes.put((domain.UUIDString(), event, detail))

    def _close(self, connection: Any, reason: int, opaque: Any) -> None:
        self.changes.put(('', -1, reason))


def _let_go(connection: libvirt.virConnect) -> None:
    try:
        concurrency.native_call(connection.close)
    except libvirt.libvirtError:
        LOG.debug('libvirtd was gone before we were')


def _run_event_loop() -> None:
    """One for the process, for ever: libvirt cannot take an implementation back."""
    global _loop_running
    with _loop_lock:
        if _loop_running:
            return
        libvirt.registerErrorHandler(lambda *args: None, None)   # it would print each error on stderr
        libvirt.virEventRegisterDefaultImpl()
        # Something must be due now and then, or a loop with nothing to watch would never look again.
        libvirt.virEventAddTimeout(1000, lambda *args: None, None)
        concurrency.native_thread(_loop, 'libvirt-events')
        _loop_running = True


def _loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
