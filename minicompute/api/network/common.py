"""Bodies, lists and owners, the same for networks, subnets and ports."""
from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from minicompute import exception
from minicompute.api.image.table import Request
from minicompute.api.validation.compiled import Compiled
from minicompute.api.validation.parameter_types import BOOLEAN_FALSE, BOOLEAN_TRUE
from minicompute.conf import CONF
from minicompute.network.local import LocalNetworks

_backend = LocalNetworks()

NAME = {'type': 'string', 'maxLength': 255, 'format': 'text'}
PROJECT = {'type': 'string', 'minLength': 1, 'maxLength': 255, 'format': 'text'}
UUID = {'type': 'string', 'format': 'uuid', 'maxLength': 36}
#: fields that every resource of the API takes and that can only be empty here
EMPTY = {'description': {'enum': ['']}}

_NOT_FILTERS = ('fields', 'limit', 'marker', 'page_reverse', 'sort_key', 'sort_dir')


def body(req: Request, name: str, properties: dict[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    """{name: {...}} of the request, checked. Raises Invalid, naming the field."""
    document = req.document()
    Compiled({'type': 'object', 'required': [name], 'additionalProperties': False,
              'properties': {name: {'type': 'object', 'properties': properties, 'required': list(required),
                                    'additionalProperties': False}}}).check(document)
    found: dict[str, Any] = document[name]
    return found


def owner(req: Request, values: dict[str, Any]) -> str | None:
    """The project that a new thing belongs to. Raises Invalid, Forbidden."""
    named = {values[field] for field in ('project_id', 'tenant_id') if field in values}
    if len(named) > 1:
        raise exception.Invalid("'project_id' and 'tenant_id' do not match")
    project = named.pop() if named else req.context.project_id
    if project != req.context.project_id and not req.context.is_admin:
        raise exception.Forbidden('project_id: only an administrator may create for another project.')
    return project


def require_owner(req: Request, project_id: str | None, what: str) -> None:
    if not req.context.is_admin and project_id != req.context.project_id:
        raise exception.Forbidden(f"{what} is not your project's: you may not change it.")


def time(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.strftime('%Y-%m-%dT%H:%M:%SZ')


def backend() -> LocalNetworks:
    """This API is only for the local networks: in front of Neutron, clients talk to Neutron."""
    if CONF.network_backend != 'local':
        raise exception.NotImplementedHere('The networks are not local ones: ask the network service.')
    return _backend


# -- lists -------------------------------------------------------------------

def listed(req: Request, views: list[dict[str, Any]], collection: str,
           **special: Callable[[Any, str], bool]) -> dict[str, Any]:
    """Filter by any field of the views, sort, cut to a page, keep the `fields` asked for. `special`: filters
    that compare in their own way."""
    parameters = req.parameters
    for name, values in parameters.items():
        if name not in _NOT_FILTERS:
            compare = special.get(name, _same)
            views = [view for view in views if any(compare(view.get(name), value) for value in values)]
    views = _sorted(views, parameters)
    found, more = _page(views, parameters)
    body = {collection: [_only(view, parameters.get('fields')) for view in found]}
    if more:
        pairs = [(name, value) for name, values in parameters.items() if name != 'marker' for value in values]
        href = _link(req, [*pairs, ('marker', found[-1]['id'])])
        return body | {f'{collection}_links': [{'rel': 'next', 'href': href}]}
    return body


def _link(req: Request, pairs: list[tuple[str, str]]) -> str:
    return f'{req.path_url}?{urlencode(pairs)}'


def _same(found: Any, asked: str) -> bool:
    if isinstance(found, bool):
        return asked in (BOOLEAN_TRUE if found else BOOLEAN_FALSE)
    if isinstance(found, list):
        return asked in found
    return ('' if found is None else str(found)) == asked


def _sorted(views: list[dict[str, Any]], parameters: dict[str, list[str]]) -> list[dict[str, Any]]:
    keys = parameters.get('sort_key', [])
    directions = parameters.get('sort_dir', ['asc'] * len(keys))
    if len(directions) != len(keys) or set(directions) - {'asc', 'desc'}:
        raise exception.Invalid('Invalid input for query parameters sort_dir. It must be asc or desc, '
                                'once for each sort_key.')
    for key, direction in reversed(list(zip(keys, directions, strict=True))):
        views = sorted(views, key=functools.partial(_text, key), reverse=direction == 'desc')
    return views


def _text(key: str, view: dict[str, Any]) -> str:
    value = view.get(key)
    return '' if value is None else str(value)


def _page(views: list[dict[str, Any]], parameters: dict[str, list[str]]) -> tuple[list[dict[str, Any]], bool]:
    limit, marker = parameters.get('limit', [''])[-1], parameters.get('marker', [None])[-1]
    if limit and not (limit.isascii() and limit.isdecimal() and len(limit) < 19):
        raise exception.Invalid(f'Invalid input for query parameters limit. Value: {limit[:64]}. '
                                'It must be a whole number.')
    if marker is not None:
        places = [index for index, view in enumerate(views) if view['id'] == marker]
        if not places:
            raise exception.MarkerNotFound(marker=marker[:64])
        views = views[places[0] + 1:]
    size = min(int(limit), CONF.api.max_limit) if limit and int(limit) else len(views)
    return views[:size], len(views) > size


def _only(view: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    return view if not fields else {name: value for name, value in view.items() if name in fields}
