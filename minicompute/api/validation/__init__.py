"""Schemas of request bodies, query strings and answers, by microversion.

    create = Schemas({'2.1': {...}, '2.55': {...}})

    @validation.schema(body=create, query=..., answer=...)
    def create(self, req, body): ...

The decorator only records the schemas in the method's promise; `wsgi.Operation` applies them, always
before policy and before anything is looked up.  `'2.0'` as a version is /v2, the legacy mode.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from minicompute import exception
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.api_version_request import APIVersionRequest, Since
from minicompute.api.validation.compiled import QUERY, Compiled, prune

if TYPE_CHECKING:
    from minicompute.api.openstack.wsgi import Request

Method = TypeVar('Method', bound=Callable[..., Any])

LEGACY = APIVersionRequest(2, 0)


class Schemas:
    """One thing's schemas, each from its version on. Compiled once, when first needed."""

    def __init__(self, table: Mapping[str, dict[str, Any]]) -> None:
        self._since: Since[Compiled] = Since({version: Compiled(schema) for version, schema in table.items()})

    def at(self, version: APIVersionRequest, legacy: bool = False) -> Compiled:
        found = (legacy and self._since.at(LEGACY)) or self._since.at(version)
        if not found:
            raise LookupError(f'no schema for {version}')
        return found

    def check_body(self, body: Any, version: APIVersionRequest, legacy: bool = False) -> Any:
        compiled = self.at(version, legacy)
        if body is None and 'null' not in compiled.schema.get('type', ()):
            raise exception.Invalid('Malformed request body: it is missing')
        if legacy:
            body = prune(compiled.schema, body)
        compiled.check(body)
        return body

    def check_query(self, req: Request) -> dict[str, list[str]]:
        """-> the parameters that the schema names, as lists of their values."""
        compiled = self.at(req.api_version, req.legacy)
        text = req.environ.get('QUERY_STRING', '')
        if not text and not compiled.schema.get('required'):
            return {}
        values = parse_query(text)
        compiled.check(values, QUERY)
        known = compiled.schema.get('properties', {})
        return {name: value for name, value in values.items() if name in known}

    def only_null(self, version: APIVersionRequest) -> bool:
        return self.at(version).schema == {'type': 'null'}

    def wrong(self, body: Any, version: APIVersionRequest) -> str | None:
        """What is wrong with an answer of ours; None when it is as it should be."""
        try:
            self.at(version).check(body)
        except exception.Invalid as error:
            return str(error)
        return None


#: an answer that is nothing but its code
EMPTY = Schemas({'2.1': {'type': 'null'}})


def parse_query(text: str) -> dict[str, list[str]]:
    """Raises Invalid unless it is percent-encoded UTF-8 without NUL."""
    values: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors='strict', max_num_fields=1000)
    except UnicodeDecodeError:
        raise exception.Invalid('Query string is not UTF-8 encoded') from None
    except ValueError:
        raise exception.Invalid('Query string has too many parameters') from None
    for name, value in pairs:
        if '\x00' in value or '\x00' in name:
            raise exception.Invalid(f'Invalid input for query parameters {name!r}: it holds a NUL character')
        values.setdefault(name, []).append(value)
    return values


def schema(body: Schemas | None = None, *, query: Schemas | None = None,
           answer: Schemas | None = None) -> Callable[[Method], Method]:
    """What the method reads and returns."""
    def mark(method: Method) -> Method:
        promise = wsgi.promise_of(method)
        promise.body, promise.query, promise.answer = body, query, answer
        return method
    return mark
