"""A proxy from WebSockets to consoles: websockify's handler with our gate before it.

A thread a viewer.  Sends block, so whoever does not read is not read for: neither a guest that writes without end nor a
viewer who types without end fills our memory.
"""
from __future__ import annotations

import contextlib
import ipaddress
import os
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from http.server import HTTPServer, SimpleHTTPRequestHandler
from socketserver import ThreadingMixIn
from typing import Any

from oslo_log import log as logging
from websockify.websocketproxy import ProxyRequestHandler
from websockify.websocketserver import WebSocketRequestHandlerMixIn

from minicompute.conf import CONF
from minicompute.console import rfb
from minicompute.console.gate import Admission, Gate, Refused
from minicompute.version import __version__

LOG = logging.getLogger(__name__)

#: seconds for a request, a handshake, or a send
PATIENCE = 30
CONNECT = 10
#: bytes of one frame, which is kept until it is whole
MOST_FRAME = 1024 * 1024
CHUNK = 65536
#: seconds between two looks at the clock
LOOK = 5.0
#: connections beside the sessions: those that fetch the page or have not shown their token yet
FETCHING = 100
#: seconds that such a connection has in all, however it spreads its bytes, and those of them for the request's head
DEADLINE = 60.0
HEAD = 15.0


class Full(Exception):
    """As many consoles are shown as may be."""


class Mine(threading.local):
    """What the thread of a connection holds."""

    room: threading.BoundedSemaphore    # to be given back at its end
    who: str
    deadline: threading.Timer
    head: threading.Timer


class Handler(ProxyRequestHandler):
    """One connection: a file of the page, or a console."""

    timeout = PATIENCE
    server_version = f'minicompute/{__version__}'
    sys_version = ''
    server: ProxyServer
    path: str

    def parse_request(self) -> bool:
        good = super().parse_request()
        self.server.greeted()
        return good

    def translate_path(self, path: str) -> str:
        self.directory = self.server.web
        found = SimpleHTTPRequestHandler.translate_path(self, path)
        # What Nova's default URL names is called differently in newer noVNCs.
        if os.path.basename(found) == 'vnc_auto.html' and not os.path.exists(found):
            return os.path.join(os.path.dirname(found), 'vnc_lite.html')
        return found

    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug('%s: ' + format, self.client_address[0], *args)

    def validate_connection(self) -> None:
        """The gate was passed before."""

    auth_connection = validate_connection

    def handle_upgrade(self) -> None:
        self.close_connection = True
        try:
            admission = self.server.gate.admit(self.path, self.headers)
            self.path = self.path.partition('?')[0]     # the token is nobody's to log
            self.server.admitted()
            target = socket.create_connection((admission.console.host, admission.console.port), CONNECT)
        except Refused as error:
            LOG.info('%s: refused: %s', self.client_address[0], error)
            self.send_error(403, str(error))
        except Full:
            LOG.warning('%s is turned away: %d sessions are as many as may be', self.client_address[0],
                        CONF.console.max_sessions)
            self.send_error(503, 'As many consoles are shown as may be')
        except OSError as error:
            LOG.warning('A console does not answer: %s', error)
            self.send_error(502, 'The console does not answer')
        except Exception:       # the database is away, ...
            LOG.exception('A console cannot be shown')
            self.send_error(503, 'The console is not available now')
        else:
            self._admission, self._target = admission, target
            with target:
                WebSocketRequestHandlerMixIn.handle_upgrade(self)

    def new_websocket_client(self) -> None:
        admission: Admission = self._admission
        client: socket.socket = self.request.socket
        LOG.info('%s looks at the %s console of instance %s', self.client_address[0], admission.token.console_type,
                 admission.token.instance_uuid)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for one in (client, self._target):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.settimeout(PATIENCE)
        try:
            self._pump(client, self._agreed())
        except OSError as error:
            LOG.info('%s: its session ends: %s', self.client_address[0], error)
        finally:
            LOG.info('%s has left the console of instance %s', self.client_address[0], admission.token.instance_uuid)

    def _agreed(self) -> socket.socket:
        """What the console is reached by once both sides have greeted the proxy; without encryption between proxy and
        console they greet each other. Raises OSError."""
        if self.server.target_tls is None:
            return self._target
        target = rfb.secure(self._target, self.server.target_tls)
        self._early = b''
        rfb.welcome(self._read_early, self._to_client)
        if self._early:
            target.sendall(self._early)
        return target

    def _read_early(self, size: int) -> bytes:
        """`size` bytes of the viewer; what came with them waits."""
        while len(self._early) < size:
            pieces, closed = self.recv_frames()
            self._early += b''.join(pieces)
            if closed:
                raise rfb.HandshakeFailed('The viewer has gone')
            self._bounded(len(self._early))
        data, self._early = self._early[:size], self._early[size:]
        return data

    def _pump(self, client: socket.socket, target: socket.socket) -> None:
        end = time.monotonic() + CONF.consoleauth.token_ttl if CONF.consoleauth.enforce_session_timeout else None
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(target, selectors.EVENT_READ)
            while end is None or time.monotonic() < end:
                ready = {key.fileobj for key, _ in selector.select(LOOK)}
                if client in ready:
                    self._from_client(target)
                if target in ready:
                    self._from_target(target)
        raise self.CClose(1000, 'The session has ended')

    def _from_client(self, target: socket.socket) -> None:
        pieces, closed = self.recv_frames()
        for piece in pieces:
            target.sendall(piece)
        if closed:
            raise self.CClose(closed['code'] if closed['code'] in (1000, 1001) else 1000, '')
        self._bounded()

    def _bounded(self, more: int = 0) -> None:
        """websockify keeps, without a bound of its own, the beginning of a frame and the frames of a message that has
        not ended. Raises CClose."""
        if len(self.request._recv_buffer) + len(self.request._partial_msg) + more > MOST_FRAME:
            raise self.CClose(1009, 'The message is too long')

    def _from_target(self, target: socket.socket) -> None:
        more = True
        while more:
            data = target.recv(CHUNK)
            if not data:
                raise self.CClose(1000, 'The console is gone')
            self._to_client(data)
            # What TLS has decrypted already does not show in the selector.
            more = isinstance(target, ssl.SSLSocket) and target.pending() > 0

    def _to_client(self, data: bytes) -> None:
        pending = self.send_frames([data])
        while pending:      # each call waits until the client takes more, or gives up
            pending = self.send_frames()


class ProxyServer(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    # what websockify's handler looks for
    file_only, verbose, run_once, token_plugin, auth_plugin, daemon = True, False, False, None, None, False

    def __init__(self, address: tuple[str, int], gate: Gate, web: str | None = None,
                 tls: ssl.SSLContext | None = None, target_tls: ssl.SSLContext | None = None) -> None:
        """`web`: the directory of the page, None for none; `target_tls`: how VNC servers prove who they are, None for
        not at all."""
        self.target_tls = target_tls
        self.address_family = socket.AF_INET6 if ':' in address[0] else socket.AF_INET
        self.gate, self.web, self.only_upgrade, self._tls = gate, web or '/nonexistent', web is None, tls
        # Of two rooms: strangers cannot take the place of those who were admitted.
        self._fetching = threading.BoundedSemaphore(FETCHING)
        self._strangers, self._lock = Counter[str](), threading.Lock()
        self._sessions = threading.BoundedSemaphore(CONF.console.max_sessions)
        self._mine = Mine()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Without http.server's look-up of our name, for which a resolver may take half a minute."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._fetching.acquire(blocking=False):
            LOG.warning('%s is turned away: %d connections have no session yet, which are as many as may be',
                        client_address[0], FETCHING)
            self.shutdown_request(request)
            return
        who = origin_of(str(client_address[0]))
        if not self._enter(who):
            LOG.warning('%s is turned away: it has %d connections without a session, which are as many as one address '
                        'may have', who, CONF.console.max_connections_per_address)
            self._fetching.release()
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:   # there is no thread that could give it back
            self._leave(who)
            self._fetching.release()
            raise

    def _enter(self, who: str) -> bool:
        """Nobody takes all the places of those that have no session yet."""
        most = CONF.console.max_connections_per_address
        with self._lock:
            if 0 < most <= self._strangers[who]:
                return False
            self._strangers[who] += 1
            return True

    def _leave(self, who: str) -> None:
        with self._lock:
            self._strangers[who] -= 1
            if self._strangers[who] <= 0:
                del self._strangers[who]

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._mine.room, self._mine.who = self._fetching, origin_of(str(client_address[0]))
        try:
            super().process_request_thread(request, client_address)
        finally:
            if self._mine.room is self._fetching:
                self._leave(self._mine.who)
            self._mine.room.release()

    def greeted(self) -> None:
        """The head of this thread's request is there."""
        self._mine.head.cancel()

    def admitted(self) -> None:
        """The connection of this thread becomes a session. Raises Full."""
        if not self._sessions.acquire(blocking=False):
            raise Full
        self._mine.deadline.cancel()
        self._mine.room.release()
        self._leave(self._mine.who)
        self._mine.room = self._sessions

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._tls is not None:
            request.settimeout(PATIENCE)
            # The handshake later: the deadline must know the socket that is used from here on.
            request = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        self._mine.deadline, self._mine.head = timers = [
            threading.Timer(seconds, _cut, (request,)) for seconds in (DEADLINE, HEAD)]
        try:
            for timer in timers:
                timer.daemon = True
                timer.start()
            if self._tls is not None:
                request.do_handshake()
            super().finish_request(request, client_address)
        finally:
            for timer in timers:
                timer.cancel()
            if self._tls is not None:
                with contextlib.suppress(OSError):
                    request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of something is no news."""
        LOG.debug('%s: a connection ended in an error', client_address[0], exc_info=True)


def _cut(connection: socket.socket) -> None:
    """Whoever reads or writes there is woken, and finds that the client has gone."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def origin_of(address: str) -> str:
    """Whom the connections of an address are counted for: of IPv6, where one host has as many as it likes, its
    network's."""
    try:
        found = ipaddress.ip_address(address.partition('%')[0])
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
