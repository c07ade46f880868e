"""Microversions: parsing, comparing, and choosing by version.

`Since` is the one way in which anything (a method, a schema, a success code) depends on the version:
a sorted table of "from this version on, this".  A view asks `req.since('2.61')`.
"""
from __future__ import annotations

import bisect
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from minicompute import exception

T = TypeVar('T')

MIN_API_VERSION = '2.1'
MAX_API_VERSION = '2.104'

_FORM = re.compile(r'^([1-9]\d{0,8})\.([1-9]\d{0,8}|0)$')


class InvalidAPIVersion(exception.Invalid):
    msg_fmt = 'API Version String %(version)s is of invalid format. Must be of format MajorNum.MinorNum.'


class APIVersionOutOfRange(exception.ComputeException):
    msg_fmt = 'Version %(version)s is not supported by the API. Minimum is %(min)s and maximum is %(max)s.'
    code = 406


class VersionNotFound(exception.NotFound):
    """The path exists, but not at the version asked for."""
    msg_fmt = 'API version %(version)s is not supported on this method.'


class APIVersionRequest(NamedTuple):
    """(major, minor): compares as a tuple does, in C."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f'{self.major}.{self.minor}'


@lru_cache(maxsize=512)
def parse(text: str) -> APIVersionRequest:
    """'2.53' -> APIVersionRequest(2, 53). Raises InvalidAPIVersion."""
    found = _FORM.match(text)
    if found is None:
        raise InvalidAPIVersion(version=text[:64])
    return APIVersionRequest(int(found[1]), int(found[2]))


MIN = parse(MIN_API_VERSION)
MAX = parse(MAX_API_VERSION)


def negotiate(text: str | None) -> APIVersionRequest:
    """What a client asked for ('latest', 'X.Y' or nothing) -> the version that it gets."""
    if text is None:
        return MIN
    if text == 'latest':
        return MAX
    version = parse(text)
    if not MIN <= version <= MAX:
        raise APIVersionOutOfRange(version=text, min=MIN_API_VERSION, max=MAX_API_VERSION)
    return version


class Since(Generic[T]):
    """{'2.1': a, '2.53': b}: a up to 2.52, b from 2.53 on; before the first entry there is nothing."""

    __slots__ = ('starts', 'values')

    def __init__(self, table: Mapping[str, T]) -> None:
        rows = sorted(((parse(start), value) for start, value in table.items()), key=lambda row: row[0])
        self.starts = [start for start, _ in rows]
        self.values = [value for _, value in rows]

    def at(self, version: APIVersionRequest) -> T | None:
        place = bisect.bisect_right(self.starts, version)
        return self.values[place - 1] if place else None
