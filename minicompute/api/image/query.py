"""The query string of a list of images: filters, order and page."""
from __future__ import annotations

import csv
import dataclasses
import datetime
from typing import Any
from urllib.parse import urlencode

from oslo_utils import timeutils

from minicompute import exception
from minicompute.api.validation.parameter_types import BOOLEAN_FALSE, BOOLEAN_TRUE
from minicompute.conf import CONF
from minicompute.db.api.images import SORTABLE
from minicompute.image.local import VISIBILITIES

#: may be a list: `id=in:a,b`
_TEXT = ('id', 'name', 'status', 'disk_format', 'container_format')
_EXACT = ('owner', 'checksum', 'os_hash_algo', 'os_hash_value')
_NUMBERS = ('size_min', 'size_max', 'min_disk', 'min_ram')
_BOOLEANS = ('protected', 'os_hidden')
_TIMES = ('created_at', 'updated_at')
_OPERATORS = ('eq', 'neq', 'gt', 'gte', 'lt', 'lte')
_NOT_FILTERS = ('limit', 'marker', 'sort', 'sort_key', 'sort_dir', 'member_status')


@dataclasses.dataclass(slots=True)
class Page:
    """The arguments of `LocalImages.list`."""

    filters: dict[str, Any]
    sort: list[tuple[str, str]]
    limit: int
    marker: str | None


def wrong(field: str, value: str, why: str) -> exception.Invalid:
    return exception.Invalid(f'Invalid input for query parameters {field}. Value: {value[:200]}. {why}')


def parse(parameters: dict[str, list[str]]) -> Page:
    filters: dict[str, Any] = {}
    for name, values in parameters.items():
        if name in _NOT_FILTERS:
            continue
        if name == 'tag':
            filters['tags'] = values
        elif name in _TIMES:
            filters[name] = [_time(name, value) for value in values]
        else:
            _filter(filters, name, values[-1])
    return Page(filters, _sort(parameters), _limit(parameters), parameters.get('marker', [None])[-1])


def _filter(filters: dict[str, Any], name: str, value: str) -> None:
    if name in _TEXT:
        filters[name] = _several(name, value) if value.startswith('in:') else value
    elif name in _EXACT:
        filters[name] = value
    elif name == 'visibility':
        if value not in (*VISIBILITIES, 'all'):
            raise wrong(name, value, f'It must be one of {", ".join(VISIBILITIES)}, all.')
        filters[name] = value
    elif name in _NUMBERS:
        filters[name] = _number(name, value)
    elif name in _BOOLEANS:
        if value not in BOOLEAN_TRUE and value not in BOOLEAN_FALSE:
            raise wrong(name, value, 'It must be true or false.')
        filters[name] = value in BOOLEAN_TRUE
    else:
        filters.setdefault('properties', {})[name] = value


def _several(name: str, value: str) -> list[str]:
    try:
        return next(csv.reader([value[3:]]), [])
    except csv.Error:
        raise wrong(name, value, 'It must be a list of values with commas between them.') from None


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 19 or int(value) > 2**63 - 1:
        raise wrong(name, value, 'It must be a whole number, not negative.')
    return int(value)


def _time(name: str, value: str) -> tuple[str, datetime.datetime]:
    operator, found, rest = value.partition(':')
    if not found or operator not in _OPERATORS:
        operator, rest = 'eq', value
    try:
        return operator, timeutils.normalize_time(timeutils.parse_isotime(rest))
    except (ValueError, OverflowError):
        raise wrong(name, value, 'It must be a time, such as gt:2024-05-01T12:00:00Z.') from None


def _limit(parameters: dict[str, list[str]]) -> int:
    highest: int = CONF.api.max_limit
    if 'limit' not in parameters:
        return highest
    return min(_number('limit', parameters['limit'][-1]), highest)


def _sort(parameters: dict[str, list[str]]) -> list[tuple[str, str]]:
    """`sort=name:asc,size`, or `sort_key` and `sort_dir` as often as wanted; the newest first."""
    if 'sort' in parameters:
        if 'sort_key' in parameters or 'sort_dir' in parameters:
            raise wrong('sort', parameters['sort'][-1], 'It cannot be used with sort_key and sort_dir.')
        pairs = [word.strip().partition(':') for word in parameters['sort'][-1].split(',')]
        found = [(key, direction or 'desc') for key, _, direction in pairs]
    else:
        keys, directions = parameters.get('sort_key', ['created_at']), parameters.get('sort_dir', ['desc'])
        if len(directions) not in (1, len(keys)):
            raise wrong('sort_dir', str(directions), 'There must be one, or as many as there are sort keys.')
        found = list(zip(keys, directions * len(keys) if len(directions) == 1 else directions, strict=True))
    for key, direction in found:
        if key not in SORTABLE:
            raise wrong('sort_key', key, f'It must be one of {", ".join(SORTABLE)}.')
        if direction not in ('asc', 'desc'):
            raise wrong('sort_dir', direction, 'It must be asc or desc.')
    return list(dict(found).items())


def link(parameters: dict[str, list[str]], marker: str | None) -> str:
    """The same list from `marker` on."""
    pairs = [(name, value) for name, values in parameters.items() if name != 'marker' for value in values]
    if marker is not None:
        pairs.append(('marker', marker))
    return '/v2/images' + (f'?{urlencode(pairs)}' if pairs else '')
