"""Who is let in: a token that is good, a page that may, and a console that is where the token says.

The place in the token is not believed: a port that was the server's a minute ago may be another's now, so its host is
asked again.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import oslo_messaging as messaging
from oslo_log import log as logging

from minicompute import exception
from minicompute.compute.rpcapi import ComputeAPI
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import console_tokens, instances
from minicompute.objects import Console, ConsoleToken

LOG = logging.getLogger(__name__)

#: the scheme of the page that opens a socket, by that of the URL that was given out
PAGES = {'http': 'http', 'ws': 'http', 'https': 'https', 'wss': 'https'}
_PORTS = {'http': 80, 'https': 443}


class Refused(Exception):
    """One line for the client; it says nothing that helps to guess."""


@dataclasses.dataclass(slots=True, frozen=True)
class Admission:
    console: Console
    token: ConsoleToken


class Gate:
    """`kinds`: the console types of this proxy, all of one `protocol`."""

    def __init__(self, protocol: str, *kinds: str) -> None:
        self._protocol, self._kinds = protocol, kinds
        self._compute = ComputeAPI()

    def admit(self, path: str, headers: Mapping[str, str]) -> Admission:
        """Use the token of a request up. Raises Refused."""
        secret = token_of(path)
        if secret is None:
            raise Refused('The token is missing')
        try:
            with session.read() as conn:
                found = console_tokens.find(conn, secret)
            check_origin(headers.get('Origin'), headers.get('Host'), found.access_url_base)
            token = session.write(console_tokens.use, secret, *self._kinds)
            return Admission(self._place(token), token)
        except exception.ConsoleTokenInvalid:
            raise Refused('The token is invalid, used or expired') from None

    def _place(self, token: ConsoleToken) -> Console:
        with session.read() as conn:
            instance = instances.get_many(conn, [token.instance_uuid]).get(token.instance_uuid)
        if instance is None or instance.host != token.compute_host:
            raise exception.ConsoleTokenInvalid
        try:
            console = self._compute.console(admin_context(), instance, self._protocol, token.console_type)
        except (messaging.MessagingException, messaging.RemoteError) as error:
            LOG.warning('The console of instance %s is not to be had: %s', token.instance_uuid, error)
            raise Refused('The console is not available') from None
        if (console.host, console.port) != (token.host, token.port):
            raise exception.ConsoleTokenInvalid
        return console


def token_of(path: str) -> str | None:
    """Of '/?token=...' or '/websockify?token=...'."""
    try:
        values = parse_qs(urlsplit(path).query, max_num_fields=20).get('token')
    except ValueError:
        return None
    return values[0] if values and len(values) == 1 and len(values[0]) <= 255 else None


def check_origin(origin: str | None, host: str | None, access_url: str) -> None:
    """A browser says whose page opens the socket; nobody else's page may use what a user has. Clients that are no
    browsers say nothing. Raises Refused."""
    if origin is None:
        return
    try:
        page, own = urlsplit(origin), urlsplit(access_url)
        port = page.port or _PORTS.get(page.scheme)
        ours = {_address(host or '', page.scheme), _address(own.netloc, page.scheme)}
    except ValueError:
        raise Refused('The Origin is malformed') from None
    if page.scheme != PAGES.get(own.scheme) or not page.hostname:
        raise Refused('The Origin is not of the scheme of this proxy')
    allowed = {name.lower() for name in CONF.console.allowed_origins}
    if (page.hostname, port) not in ours and not {page.hostname, f'{page.hostname}:{port}'} & allowed:
        raise Refused('The Origin is not allowed')


def _address(netloc: str, scheme: str) -> tuple[str | None, int | None]:
    parts = urlsplit(f'//{netloc}')
    return parts.hostname, parts.port or _PORTS.get(scheme)
