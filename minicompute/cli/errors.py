"""What can go wrong, in one line and one exit code.

Nothing here imports an HTTP library: the libraries that raise are loaded by the time they raise.
"""

from __future__ import annotations

import sys
from typing import Any

OK = 0
FAILED = 1
USAGE = 2
SERVER_ERROR = 3
UNREACHABLE = 4
UNAUTHENTICATED = 5
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES = """\
exit codes:
  0  everything that was asked for was done (or accepted, without --poll)
  1  a request failed: refused by the service, not found, or an ambiguous name
  2  the command line is wrong, or asks for more than the microversion in use has
  3  with --poll: a server (or an image) went into ERROR; its fault is printed
  4  an endpoint could not be found or reached
  5  no credentials, or credentials that were refused
"""


class CliError(Exception):
    """Ends the command with one line on stderr."""

    code = FAILED


class UsageError(CliError):
    code = USAGE


class ServerWentError(CliError):
    """A server that was being polled is in ERROR."""

    code = SERVER_ERROR


class AuthError(CliError):
    code = UNAUTHENTICATED


class EndpointError(CliError):
    code = UNREACHABLE


class Reported(CliError):
    """Everything worth saying has been said; only the exit code is left."""

    def __init__(self, code: int) -> None:
        super().__init__('')
        self.code = code


def classify(exc: BaseException) -> tuple[int, str]:
    """The exit code and the one line for `exc`."""
    code, text = _classify(exc)
    return code, ' '.join(text.split())


def _classify(exc: BaseException) -> tuple[int, str]:
    if isinstance(exc, CliError):
        return exc.code, str(exc)
    response = getattr(exc, 'response', None)
    status = getattr(response, 'status_code', None) or getattr(exc, 'http_status', None)
    if status:
        return (UNAUTHENTICATED if status == 401 else FAILED), http_message(exc, response, int(status))
    if _is(exc, 'keystoneauth1.exceptions', 'ConnectionError', 'RetriableConnectionFailure',
           'EndpointNotFound',
           'DiscoveryFailure') or _is(exc, 'requests.exceptions', 'ConnectionError', 'Timeout', 'InvalidURL',
                                      'MissingSchema', 'InvalidSchema'):
        return UNREACHABLE, str(exc)
    if _is(exc, 'openstack.exceptions', 'EndpointNotFound', 'ServiceDiscoveryException', 'NotSupported'):
        return UNREACHABLE, str(exc)
    if _is(exc, 'keystoneauth1.exceptions', 'AuthorizationFailure', 'AuthPluginException',
           'MissingAuthMethods') \
            or _is(exc, 'openstack.exceptions', 'ConfigException'):
        return UNAUTHENTICATED, str(exc)
    if isinstance(exc, OSError):
        return FAILED, str(exc)
    if isinstance(exc, ValueError) and 'No recognized column' in str(exc):
        return USAGE, str(exc)
    return FAILED, f'{type(exc).__name__}: {exc} (--debug shows where)'


def _is(exc: BaseException, module: str, *names: str) -> bool:
    """Whether `exc` is one of a module's exceptions; a module that was never imported raised nothing."""
    loaded = sys.modules.get(module)
    kinds = tuple(k for k in (getattr(loaded, n, None) for n in names) if isinstance(k, type))
    return isinstance(exc, kinds)


def http_message(exc: BaseException, response: Any, status: int) -> str:
    """The fault's own message, then the status and the request id, as novaclient prints them."""
    message = _fault(response) or getattr(exc, 'message', None) or str(exc)
    request_id = response.headers.get('x-openstack-request-id') if response is not None else None
    tail = f' (Request-ID: {request_id})' if request_id else ''
    return f'{message} (HTTP {status}){tail}'


def _fault(response: Any) -> str | None:
    """The message in Nova's, Neutron's, Keystone's or the router's own error document."""
    try:
        body = response.json()
    except (AttributeError, ValueError):
        return None
    if not isinstance(body, dict):
        return None
    if isinstance(body.get('message'), str):
        return body['message']
    errors = body.get('errors')
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return errors[0].get('detail') or errors[0].get('title')
    for value in body.values():
        if isinstance(value, dict) and isinstance(value.get('message'), str):
            return value['message']
    return None
