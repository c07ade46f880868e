"""URLs of consoles. The server's host says where its console is; a token in the database lets one viewer in, once."""
from __future__ import annotations

import uuid
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import oslo_messaging as messaging

from minicompute import exception
from minicompute.compute.api import ring
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import console_tokens
from minicompute.objects import Console, ConsoleToken, Instance

_REFUSED = {'ConsoleTypeInvalid': exception.ConsoleTypeInvalid,
            'ConsoleTypeUnavailable': exception.ConsoleTypeUnavailable}


def open_console(context: RequestContext, instance: Instance, protocol: str, console_type: str) -> str:
    """-> the URL of a console of the server.

    Raises InstanceNotReady (it has no host, or does not run), InstanceInvalidState (it goes, or moves),
    ConsoleTypeInvalid, ConsoleTypeUnavailable, ConsoleNotAvailable, NotImplementedHere, ServiceUnavailable.
    """
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    if instance.task_state in console_tokens.BUSY:
        raise exception.InstanceInvalidState(method=f'get_{protocol}_console', instance_uuid=instance.uuid,
                                             attr='task_state', state=instance.task_state)
    found = _ask(context, instance, protocol, console_type)
    secret = str(uuid.uuid4())
    session.write(console_tokens.create, ConsoleToken(
        token_hash=console_tokens.digest(secret), console_type=console_type, instance_uuid=instance.uuid,
        compute_host=instance.host, host=found.host, port=found.port, tls_port=found.tls_port,
        internal_access_path=found.internal_access_path, access_url_base=found.base_url), CONF.consoleauth.token_ttl)
    return url(found.base_url, console_type, secret)


def _ask(context: RequestContext, instance: Instance, protocol: str, console_type: str) -> Console:
    try:
        return ring.remote_console(context, instance, protocol, console_type)
    except messaging.RemoteError as error:
        if error.exc_type in _REFUSED:
            raise _REFUSED[error.exc_type](console_type=console_type) from None
        if error.exc_type == 'ConsoleNotAvailable':
            raise exception.ConsoleNotAvailable from None
        if error.exc_type in ('DomainNotFound', 'InstanceNotRunning'):
            raise exception.InstanceNotReady(instance_id=instance.uuid) from None
        if error.exc_type == 'NotImplementedHere':
            raise exception.NotImplementedHere from None
        raise
    except messaging.MessagingTimeout:
        raise exception.ServiceUnavailable from None


def url(base: str, console_type: str, token: str) -> str:
    """noVNC's page is told the path of its socket, with the token in it; the others have the token themselves."""
    parts = urlsplit(base)
    query = dict(parse_qsl(parts.query))
    if console_type == 'novnc':
        query['path'] = f'{query.get("path", "")}?{urlencode({"token": token})}'
    else:
        query['token'] = token
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def what_opens(token: str) -> ConsoleToken:
    """What a token is good for; it stays good. Raises ConsoleTokenInvalid."""
    with session.read() as conn:
        return console_tokens.find(conn, token)
