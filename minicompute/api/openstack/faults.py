"""The one place that turns an exception into what the client reads.

    {"<name>": {"code": 404, "message": "..."}}

An exception that nobody foresaw says its class and the request id, never its text: the text may hold
a statement, a path or a password.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import webob.exc
from oslo_db import exception as db_exception
from oslo_log import log as logging
from sqlalchemy import exc as sa_exception

from minicompute import exception
from minicompute.api.openstack.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

LOG = logging.getLogger(__name__)

NAMES = {
    400: 'badRequest',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'itemNotFound',
    405: 'badMethod',
    409: 'conflictingRequest',
    413: 'overLimit',
    415: 'badMediaType',
    422: 'unprocessableEntity',
    429: 'overLimit',
    501: 'notImplemented',
    503: 'serviceUnavailable',
}

# By name, so that reading them costs no import of the messaging stack where nobody uses it.
BROKER_ERRORS = frozenset(('MessagingTimeout', 'MessageDeliveryFailure', 'MessageUndeliverable'))


def fault(code: int, message: str, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    inner: dict[str, Any] = {'code': code, 'message': message}
    sent = list(headers)
    if NAMES.get(code) == 'overLimit':
        inner['retryAfter'] = dict(sent).get('Retry-After', '0')
        if 'Retry-After' not in dict(sent):
            sent.append(('Retry-After', '0'))
    return Answer({NAMES.get(code, 'computeFault'): inner}, code=code, headers=sent)


def from_exception(error: Exception, request_id: str | None = None) -> Answer:
    if isinstance(error, exception.ComputeException) and error.code != 500:
        return fault(error.code, error.message)
    if isinstance(error, webob.exc.HTTPException):
        return fault(error.status_int, error.explanation or error.title, _extra_headers(error))
    if isinstance(error, db_exception.DBConnectionError):
        LOG.error('The database does not answer: %s', type(error).__name__)
        return fault(503, 'The database is not available. Please try again later.')
    if _is_bad_data(error):
        LOG.warning('The database refuses a value of request %s', request_id, exc_info=error)
        return fault(400, 'A value in the request is too long or out of range.')
    if type(error).__name__ in BROKER_ERRORS:
        LOG.error('A call got no answer: %s', error)
        return fault(503, 'A service that this request needs does not answer. Please try again later.')
    return unexpected(error, request_id)


def _is_bad_data(error: Exception) -> bool:
    """oslo.db's name for it is not what it calls PostgreSQL's."""
    return isinstance(error, db_exception.DBDataError) or isinstance(error, db_exception.DBError) and isinstance(
        error.inner_exception, sa_exception.DataError)


def unexpected(error: Exception, request_id: str | None) -> Answer:
    LOG.exception('Unexpected exception in API method: %s', type(error).__name__, exc_info=error)
    kind = f'{type(error).__module__}.{type(error).__qualname__}'
    return fault(500, "Unexpected API Error. The reason is in the log of the operator's api daemon, under "
                      f"{request_id or 'the time of this request'}.\n<class '{kind}'>")


def _extra_headers(error: webob.exc.HTTPException) -> list[tuple[str, str]]:
    dropped = ('content-type', 'content-length')
    return [(name, value) for name, value in error.headers.items() if name.lower() not in dropped]
