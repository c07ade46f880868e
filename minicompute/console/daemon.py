"""The console proxies: one program for each kind of console, which differ in a line."""
from __future__ import annotations

import os
import signal
import ssl
import threading
from typing import Any

from oslo_log import log as logging

from minicompute import exception
from minicompute.conf import CONF
from minicompute.console.gate import Gate
from minicompute.console.proxy import ProxyServer

LOG = logging.getLogger(__name__)


def serve(prog: str, address: tuple[str, int], gate: Gate, default_web: str | None = None,
          target_tls: ssl.SSLContext | None = None) -> None:
    """Until SIGTERM or SIGINT; sessions end with the daemon, their guests notice nothing.
    Raises ConfigurationError."""
    web = CONF.web or default_web
    if web is not None and not os.path.isdir(web):
        raise exception.ConfigurationError(
            reason=f'{web} is not there: install the package that has the page (novnc, spice-html5), or set '
                   '[DEFAULT] web')
    try:
        server = ProxyServer(address, gate, web, _tls(), target_tls)
    except OSError as error:
        raise exception.ConfigurationError(
            reason=f'cannot listen on {address[0]}:{address[1]}: {error.strerror}') from None
    leaving = threading.Event()

    def on_signal(*_: Any) -> None:
        leaving.set()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    thread = threading.Thread(target=server.serve_forever, name='listener', daemon=True)
    thread.start()
    LOG.info('%s is ready on %s port %d', prog, *address)
    leaving.wait()
    LOG.info('%s leaves', prog)
    server.shutdown()
    server.server_close()


def _tls() -> ssl.SSLContext | None:
    if not CONF.cert:
        if CONF.ssl_only:
            raise exception.ConfigurationError(reason='[DEFAULT] ssl_only needs a cert')
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(CONF.cert, CONF.key or None)
    except (OSError, ssl.SSLError) as error:
        raise exception.ConfigurationError(reason=f'[DEFAULT] cert: {CONF.cert} cannot be used: {error}') from None
    return context
