"""Passes what guests of local networks ask 169.254.169.254 to the metadata API, and says who asks.

Who asks is known from the network alone: the bridge that a request came in by, the address that it came from, and the
card that has this address. No header of the guest goes further.
"""
from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit

from oslo_log import log as logging

from minicompute.conf import CONF
from minicompute.service import Periodic
from minicompute.version import __version__
from minicompute.virt import link_local
from minicompute.virt.driver import ComputeDriver
from minicompute.virt.interface.metadata import Asker
from minicompute.virt.signature import INSTANCE, PROJECT, SIGNATURE, sign

LOG = logging.getLogger(__name__)

#: seconds between two looks for bridges that came or went
INTERVAL = 2.0
#: seconds that a guest has for its request, and the API for its answer
PATIENCE, ANSWER = 10, 20
#: seconds that a guest has in all to say what it wants, and again to take its answer, however it spreads its bytes
WHOLE = 15.0
#: requests of one guest, and of all guests of one bridge, at a time
MOST_OF_ONE, MOST_OF_ALL = 4, 32
MOST_BODY, MOST_ANSWER = 64 * 1024, 16 * 1024 * 1024


class MetadataProxy:
    """One listener a bridge. `driver` knows the bridges and their guests."""

    def __init__(self, driver: ComputeDriver) -> None:
        self._driver = driver
        self._listeners: dict[str, Listener] = {}
        self._refused: dict[str, str] = {}
        self._first = True

    def periodics(self) -> list[Periodic]:
        # The bridges of local networks are then another's on the same machine, who answers there.
        if not CONF.local_networks.metadata_url or CONF.network_backend != 'local':
            return []
        if not CONF.neutron.metadata_proxy_shared_secret:
            LOG.warning('[local_networks] metadata_url needs [neutron] metadata_proxy_shared_secret: guests are told '
                        'nothing')
            return []
        return [Periodic(self.listen, INTERVAL, at_once=True)]

    def listen(self) -> None:
        """Where there is a bridge there is a listener, and nowhere else."""
        found = {name: link_local.index(name) for name in self._driver.metadata_bridges()}
        bridges = {name: number for name, number in found.items() if number is not None}
        gone = [name for name, listener in self._listeners.items() if bridges.get(name) != listener.index]
        for name in gone:
            self._listeners.pop(name).close()
        for name in sorted(bridges.keys() - self._listeners.keys()):
            self._open(name, bridges[name])
        if gone or self._first:
            self._first = False
            for name in link_local.rules():
                if not link_local.exists(name):
                    link_local.forget(name)

    def _open(self, name: str, index: int) -> None:
        try:
            self._listeners[name] = Listener(name, link_local.listen(name), self._driver, index)
            self._refused.pop(name, None)
            LOG.info('Guests on %s may ask %s', name, link_local.ADDRESS)
        except Exception as error:      # others' bridges must not suffer; it is tried again
            if self._refused.get(name) != str(error):
                LOG.warning('Guests on %s cannot ask %s: %s', name, link_local.ADDRESS, error)
            self._refused[name] = str(error)

    def stop(self) -> None:
        """The rules stay: the next daemon of this host listens again."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()


class Listener(ThreadingMixIn, HTTPServer):
    daemon_threads = True

    def __init__(self, bridge: str, listening: socket.socket, driver: ComputeDriver, index: int = 0) -> None:
        """`index`: the kernel's number of the bridge that `listening` is bound to."""
        self.bridge, self.driver, self.index = bridge, driver, index
        self._lock, self._under_way = threading.Lock(), Counter[str]()
        super().__init__(('', 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = bridge, link_local.PORT
        self._thread = threading.Thread(target=self.serve_forever, name=f'metadata-{bridge}', daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        address = client_address[0]
        with self._lock:
            if self._under_way[address] >= MOST_OF_ONE or self._under_way.total() >= MOST_OF_ALL:
                return False
            self._under_way[address] += 1
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request(request, client_address)
        except BaseException:   # there is no thread that could count it off
            self._left(client_address[0])
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._left(client_address[0])

    def _left(self, address: str) -> None:
        with self._lock:
            self._under_way[address] -= 1
            if not self._under_way[address]:
                del self._under_way[address]

    def handle_error(self, request: Any, client_address: Any) -> None:
        LOG.debug('%s on %s: a request ended in an error', client_address[0], self.bridge, exc_info=True)

    def who(self, address: str) -> Asker | None:
        """None also for a card that has taken another's address."""
        found = self.driver.who_asks(self.bridge, address)
        if found is not None and link_local.mac_of(self.bridge, address) != found.mac_address:
            LOG.warning('Somebody on %s has the address %s of instance %s', self.bridge, address, found.instance_uuid)
            return None
        return found


class Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server_version, sys_version = f'minicompute/{__version__}', ''
    server: Listener

    def setup(self) -> None:
        super().setup()
        self._late = False
        self._deadline = self._due()

    def finish(self) -> None:
        self._deadline.cancel()
        super().finish()

    def _due(self) -> threading.Timer:
        """PATIENCE begins anew with each byte; this does not."""
        timer = threading.Timer(WHOLE, self._cut)
        timer.daemon = True
        timer.start()
        return timer

    def _cut(self) -> None:
        self._late = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        LOG.debug('%s: ' + format, self.client_address[0], *args)

    def do_GET(self) -> None:
        if self._late:      # and what looks like a request may be half of one
            return
        asker = self.server.who(self.client_address[0])
        if asker is None:
            self.send_error(404)
            return
        if not self.path.startswith('/') or self.headers.get('Transfer-Encoding'):
            self.send_error(400)
            return
        length = self.headers.get('Content-Length') or '0'
        if not length.isdecimal() or len(length) > 9 or int(length) > MOST_BODY:
            self.send_error(413)
            return
        body = self.rfile.read(int(length))
        self._deadline.cancel()     # what the API takes is not the guest's to answer for
        if len(body) < int(length):
            return
        try:
            self._pass_on(asker, body)
        except (http.client.InvalidURL, UnicodeError):
            self.send_error(400)
        except (OSError, http.client.HTTPException) as error:
            LOG.warning('The metadata API at %s does not answer: %s', CONF.local_networks.metadata_url, error)
            with contextlib.suppress(OSError):
                self.send_error(503)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _pass_on(self, asker: Asker, body: bytes) -> None:
        url = urlsplit(CONF.local_networks.metadata_url)
        kind = http.client.HTTPSConnection if url.scheme == 'https' else http.client.HTTPConnection
        connection = kind(url.hostname or '', url.port, timeout=ANSWER)
        signature = sign(CONF.neutron.metadata_proxy_shared_secret, asker.instance_uuid)
        headers = {INSTANCE: asker.instance_uuid, PROJECT: asker.project_id, SIGNATURE: signature,
                   'X-Forwarded-For': self.client_address[0], 'Content-Type': 'application/octet-stream'}
        with contextlib.closing(connection):
            connection.request(str(self.command), url.path.rstrip('/') + self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read(MOST_ANSWER)
            self._deadline = self._due()
            self.send_response(answer.status)
            for name in ('Content-Type', 'Retry-After', 'Allow'):
                if value := answer.headers.get(name):
                    self.send_header(name, value)
            self.send_header('Content-Length', str(len(content)))
            self.end_headers()
            self.wfile.write(content)
