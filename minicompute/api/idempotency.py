"""`Idempotency-Key`: the same POST twice is done once, and answered twice.

The first request with a key runs; the same one again gets the first answer with `Idempotency-Replayed: true`, another
one of that key 422, the same one while the first still runs 409.  db/api/idempotency.py says how a request whose
daemon was killed is taken over without a second effect.  A request without the header passes through one comparison.
"""
from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import orjson
from oslo_log import log as logging

from minicompute import exception
from minicompute.api.filters import ENV_REQUEST_ID, Filter
from minicompute.api.openstack import faults
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.wsgi import ENV_CONTEXT, NEW_HEADER, OLD_HEADER
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import idempotency as db

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)

HEADER = 'HTTP_IDEMPOTENCY_KEY'
REPLAYED = ('Idempotency-Replayed', 'true')
LONGEST = 255
#: characters of an answer that is kept for its own sake; a longer one only when its request has written something
LARGE = 16384
#: what each request has of its own, also when it is an answer from the records
_OWN = frozenset(('x-openstack-request-id', 'x-compute-request-id'))
_VERSION_HEADERS = tuple('HTTP_' + name.upper().replace('-', '_') for name in (NEW_HEADER, OLD_HEADER))


class BodyTooLarge(exception.ComputeException):
    msg_fmt = 'Request is too large.'
    code = 413


def filter_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> Filter:
    def wrap(app: WSGIApplication) -> WSGIApplication:
        def filtered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if HEADER not in environ or environ['REQUEST_METHOD'] != 'POST':
                return app(environ, start_response)
            try:
                answer = _once(app, environ)
            except exception.ComputeException as error:
                answer = faults.from_exception(error, environ.get(ENV_REQUEST_ID))
                if isinstance(error, (db.StillRunning, db.TakenOver)):
                    answer.headers.append(('Retry-After', '1'))
            return answer(environ, start_response)
        return filtered
    return wrap


def _once(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    context = environ[ENV_CONTEXT]
    key = _key(environ[HEADER])
    ticket = db.Ticket(db.identity(context.project_id, context.user_id, key), key.encode(), _fingerprint(environ),
                       context.project_id)
    kept = db.look(ticket)
    if kept is not None:
        return _opened(ticket, kept)
    context.ticket = ticket
    try:
        with session.guarded(ticket.mark):
            answer = _call(app, environ)
        _keep(ticket, answer)
    except BaseException:
        _forget(ticket)
        raise
    finally:
        context.ticket = None
    return answer


def _key(text: str) -> str:
    if not 1 <= len(text) <= LONGEST or not text.isascii() or not text.isprintable():
        raise exception.Invalid(f'Idempotency-Key: it must be 1 to {LONGEST} printable ASCII characters, '
                                'best a random UUID')
    return text


def _fingerprint(environ: WSGIEnvironment) -> str:
    """Of all that makes it this request. The body is read, and put back."""
    body = _body(environ)
    try:    # the same document, whatever the order of its keys
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass
    parts = [environ.get('SCRIPT_NAME', ''), environ.get('PATH_INFO', ''), environ.get('QUERY_STRING', ''),
             *(environ.get(name, '') for name in _VERSION_HEADERS)]
    return hashlib.sha256('\0'.join(parts).encode('utf-8', 'surrogateescape') + b'\0' + body).hexdigest()


def _body(environ: WSGIEnvironment) -> bytes:
    most, length = CONF.api.max_request_body_size, environ.get('CONTENT_LENGTH') or ''
    if length and not length.isdecimal():
        raise exception.Invalid('Malformed Content-Length header')
    if length and int(length) > most:
        raise BodyTooLarge
    if length:
        body: bytes = environ['wsgi.input'].read(int(length))
    else:
        body = environ['wsgi.input'].read(most + 1) if environ.get('wsgi.input_terminated') else b''
    if len(body) > most:
        raise BodyTooLarge
    environ['wsgi.input'], environ['CONTENT_LENGTH'] = io.BytesIO(body), str(len(body))
    return body


def _call(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """The application's whole answer."""
    seen: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
        seen[:] = [int(status[:3]), headers]
        return lambda _data: None
    parts = app(environ, start)
    try:
        body = b''.join(parts)
    finally:
        if hasattr(parts, 'close'):
            parts.close()
    headers = [(name, value) for name, value in seen[1] if name.lower() != 'content-length']
    return Answer(body, seen[0], headers)


def _keep(ticket: db.Ticket, answer: Answer) -> None:
    """A failure of ours that wrote nothing may be tried again, and so may what wrote nothing and would fill the records
    with its answers; all else is the answer."""
    failed = (answer.code or 0) >= 500
    if failed and ticket.effect is not None:
        return      # the answer to what an earlier run did can still be told, when the lease is over
    headers = [pair for pair in answer.headers if pair[0].lower() not in _OWN]
    document = orjson.dumps([answer.code, headers, base64.b64encode(answer.encoded()).decode()])
    if (failed or len(document) > LARGE) and _forget(ticket):
        return
    session.write(db.answer, ticket, _sealed(ticket, document))


def _forget(ticket: db.Ticket) -> bool:
    """What was written stays known, and the row alone knows it: a mark may have been rolled back. -> nothing was"""
    try:
        return bool(session.write(db.forget, ticket))
    except Exception as error:      # the lease ends it as well
        LOG.warning('A key of a request that failed stays until its lease ends: %s', type(error).__name__)
        return True


def _cipher(ticket: db.Ticket) -> Any:
    from cryptography.fernet import Fernet  # for the few who send a key
    return Fernet(base64.urlsafe_b64encode(ticket.secret('answer')))


def _sealed(ticket: db.Ticket, document: bytes) -> str:
    sealed: bytes = _cipher(ticket).encrypt(document)
    return sealed.decode()


def _opened(ticket: db.Ticket, sealed: str) -> Answer:
    code, headers, body = orjson.loads(_cipher(ticket).decrypt(sealed.encode()))
    return Answer(base64.b64decode(body), code, [*((name, value) for name, value in headers), REPLAYED])
