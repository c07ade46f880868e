"""Requests, controllers, the decorators of their methods, and `Resource`, which calls them.

The decorators only write on a method what it promises (`Promise`); nothing is wrapped.  `Resource` reads
the promise and does everything in one order: version, project, body, schema, the method, the answer.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import webob
from oslo_log import log as logging

from minicompute import exception
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.api_version_request import APIVersionRequest, Since
from minicompute.api.openstack.body import loads

if TYPE_CHECKING:
    from minicompute.api.validation import Schemas
    from minicompute.context import RequestContext

LOG = logging.getLogger(__name__)

Method = TypeVar('Method', bound=Callable[..., Any])
ACTIONS = '<actions>'     # in a ROUTES row instead of a method: all @action methods of the controller

NEW_HEADER = 'OpenStack-API-Version'
OLD_HEADER = 'X-OpenStack-Nova-API-Version'
JSON_TYPES = frozenset(('application/json', 'application/vnd.openstack.compute+json', 'text/plain'))
ENV_CONTEXT = 'minicompute.context'
ENV_LEGACY = 'minicompute.legacy_v2'
ENV_VERSION = 'minicompute.api_version'


class BrokenPromise(Exception):
    """An answer, or a fault, that its handler did not declare."""


class UnsupportedContentType(exception.ComputeException):
    msg_fmt = 'Unsupported Content-Type'
    code = 415


# -- what a method promises --------------------------------------------------

@dataclasses.dataclass(slots=True)
class Promise:
    """The versions, codes and schemas of one method. Without `answer` it answers nothing but its code."""

    first: APIVersionRequest = versions.MIN
    last: APIVersionRequest = versions.MAX
    code: Since[int] = dataclasses.field(default_factory=lambda: Since({'2.1': 200}))
    also: frozenset[int] = frozenset()     # success codes that the method chooses by itself
    errors: frozenset[int] = frozenset()
    action: str | None = None
    body: Schemas | None = None
    query: Schemas | None = None
    answer: Schemas | None = None

    def silent(self, version: APIVersionRequest) -> bool:
        """Its code is all that there is to answer."""
        return self.answer is None or self.answer.only_null(version)


def promise_of(method: Callable[..., Any]) -> Promise:
    found: Promise | None = getattr(method, 'promise', None)
    if found is None:
        found = method.promise = Promise()    # type: ignore[attr-defined]
    return found


def api_version(first: str, last: str = versions.MAX_API_VERSION) -> Callable[[Method], Method]:
    """The method answers from `first` to `last`, both included; outside it is 404."""
    def mark(method: Method) -> Method:
        promise = promise_of(method)
        promise.first, promise.last = versions.parse(first), versions.parse(last)
        return method
    return mark


def response(code: int, later: Mapping[str, int] | None = None, *,
             also: Iterable[int] = ()) -> Callable[[Method], Method]:
    """The success code: `@response(202)`, or with versions `@response(202, {'2.2': 204})`.

    `also`: further ones that the method's `Answer` may have.
    """
    def mark(method: Method) -> Method:
        promise = promise_of(method)
        promise.code, promise.also = Since({'2.1': code, **(later or {})}), frozenset(also)
        return method
    return mark


def expected_errors(codes: int | Iterable[int]) -> Callable[[Method], Method]:
    """The faults of the method's own. Any method may besides give 400 (schema), 401, 403, 413, 415 and 503."""
    def mark(method: Method) -> Method:
        promise_of(method).errors = frozenset((codes,) if isinstance(codes, int) else codes)
        return method
    return mark


def action(name: str) -> Callable[[Method], Method]:
    """The method answers POST .../action with the body {name: ...}."""
    def mark(method: Method) -> Method:
        promise_of(method).action = name
        return method
    return mark


class Controller:
    """Base of the resources: methods take the request, the path's variables by name, and `body` if they
    have a schema for one; they return the body of the answer, None, or an `Answer`."""


# -- the request -------------------------------------------------------------

class Request(webob.Request):
    """`query`: the parameters that the schema knows, each with the list of its values."""

    api_version: APIVersionRequest = versions.MIN
    legacy: bool = False              # /v2: no microversions, unknown body keys are dropped
    project_in_url: str | None = None
    context: RequestContext = None    # type: ignore[assignment]
    query: Mapping[str, list[str]] = {}
    _base_url: str | None = None

    def since(self, version: str) -> bool:
        """Is the version negotiated at least this one?"""
        return self.api_version >= versions.parse(version)

    @property
    def base_url(self) -> str:
        """'http://host:8774/v2.1', without a trailing slash."""
        if self._base_url is None:
            self._base_url = self.application_url.rstrip('/')
        return self._base_url


def asked_version(req: Request) -> str | None:
    """-> 'X.Y', 'latest', or None when neither header names a version of ours."""
    found = None
    for pair in req.headers.get(NEW_HEADER, '').split(','):
        words = pair.split()
        if words and words[0].lower() == 'compute':
            found = ' '.join(words[1:])
    if found is None:
        found = req.headers.get(OLD_HEADER)
    return None if found is None else found.strip()


@lru_cache(maxsize=256)
def version_headers(version: APIVersionRequest) -> list[tuple[str, str]]:
    return [(NEW_HEADER, f'compute {version}'), (OLD_HEADER, str(version)),
            ('Vary', NEW_HEADER), ('Vary', OLD_HEADER)]


def decode_body(req: Request) -> Any:
    """-> the JSON value of the body, None when there is none. Raises Invalid, UnsupportedContentType."""
    raw = req.body
    if not raw:
        return None
    content_type = req.content_type
    if content_type and content_type not in JSON_TYPES:
        raise UnsupportedContentType
    body = loads(raw)
    if not isinstance(body, dict):
        raise exception.Invalid('Malformed request body: it must be a JSON object')
    return body


# -- calling -----------------------------------------------------------------

class Operation:
    """One method of one controller, with its promise."""

    # What any method may answer besides its own errors.
    ALWAYS = frozenset((400, 401, 403, 413, 415, 503))
    #: [api] response_validation, as the application read it when it was loaded: what becomes of a broken promise
    validation = 'ignore'

    def __init__(self, controller: Controller, name: str) -> None:
        self.method = getattr(controller, name)
        self.promise = promise_of(getattr(type(controller), name))
        self.label = f'{type(controller).__module__.rpartition(".")[2]}.{type(controller).__name__}.{name}'

    def covers(self, version: APIVersionRequest) -> bool:
        return self.promise.first <= version <= self.promise.last

    def __call__(self, req: Request, args: dict[str, Any], body: Any = None) -> Answer:
        promise = self.promise
        if promise.query is not None:
            req.query = promise.query.check_query(req)
        if promise.body is not None:
            args['body'] = promise.body.check_body(body if body is not None else decode_body(req),
                                                   req.api_version, req.legacy)
        ticket = req.context.ticket
        if ticket is not None and ticket.done and promise.silent(req.api_version):
            return Answer(None, promise.code.at(req.api_version))    # it was done, and this is all there is to say
        try:
            result = self.method(req, **args)
        except exception.ComputeException as error:
            if ticket is None or error.code != 409:    # that of a key may come from any POST
                self.check_error(error)
            raise
        answer = result if isinstance(result, Answer) else Answer(result)
        if answer.code is None:
            answer.code = promise.code.at(req.api_version)
        if self.validation != 'ignore' and not answer.streamed:
            self.check_answer(answer, req.api_version)
        return answer

    def check_answer(self, answer: Answer, version: APIVersionRequest) -> None:
        """No schema is a promise, too: that the answer is empty."""
        promise = self.promise
        wrong = (promise.answer.wrong(answer.body, version) if promise.answer is not None
                 else answer.body and 'it is not empty')
        if wrong:
            self.broken(f'the answer at {version} is not what its schema says: {wrong}')
        if answer.code != promise.code.at(version) and answer.code not in promise.also:
            self.broken(f'it does not declare {answer.code}')

    def check_error(self, error: exception.ComputeException) -> None:
        if error.code not in self.promise.errors and error.code not in self.ALWAYS:
            self.broken(f'it does not declare {error.code} ({error})')

    def broken(self, why: str) -> None:
        if self.validation == 'error':
            raise BrokenPromise(f'{self.label}: {why}')
        LOG.warning('%s breaks its promise: %s', self.label, why)


class Resource:
    """All that one method and path can do: operations by version."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = list(operations)

    def __call__(self, req: Request, args: dict[str, Any]) -> Answer:
        return pick(self.operations, req)(req, args)

    def merge(self, other: Resource) -> None:
        raise ValueError(f'two rows for one method and path: {other.operations[0].label}')


class ActionResource(Resource):
    """A path that ends in /action: the operation is named by the only key of the body."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        super().__init__(operations)
        self.by_name: dict[str, list[Operation]] = {}
        self.merge(self)

    def merge(self, other: Resource) -> None:
        """Take in the actions that another controller has for the same path."""
        if other is not self:
            self.operations += other.operations
        for operation in other.operations:
            self.by_name.setdefault(operation.promise.action or '', []).append(operation)

    def __call__(self, req: Request, args: dict[str, Any]) -> Answer:
        body = decode_body(req)
        if not body or len(body) != 1:
            raise exception.Invalid('Malformed request body: an action is an object with one key')
        name = next(iter(body))
        operations = self.by_name.get(name)
        if operations is None:
            raise exception.Invalid(f'There is no such action: {name[:64]}')
        return pick(operations, req)(req, args, body)


def pick(operations: list[Operation], req: Request) -> Operation:
    version = req.api_version
    for operation in operations:
        if operation.covers(version):
            return operation
    raise versions.VersionNotFound(version=version)
