"""The hint `query`: `["and", [">=", "$free_ram_mb", 1024], ["=", "$hypervisor_type", "QEMU"]]`."""
from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import orjson

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    '=': operator.eq, '<': operator.lt, '>': operator.gt, '<=': operator.le, '>=': operator.ge}
_DEPTH = 16
#: operators and values of all queries of a request: each may look at every host, in the one thread that places
_PARTS = 256


class JsonFilter(Filter):
    """Hosts for which the user's query is true. A query that is none is true of no host."""

    why = 'refused by the hint query'

    def reads(self, request: Request) -> tuple[str, ...] | None:
        return tuple(request.hint('query')) or None

    def live(self, request: Request) -> bool:
        return True

    def mask(self, table: HostTable, request: Request) -> Mask:
        mask = np.ones(len(table), np.bool_)
        hint = request.spec.scheduler_hints['query']
        queries = _Query(table)
        for query in [hint] if isinstance(hint, str) else hint:
            try:
                parsed = orjson.loads(query) if isinstance(query, str) else query
                mask &= queries.mask(parsed)
            except (ValueError, TypeError, orjson.JSONDecodeError):
                mask[:] = False
        return mask


class _Query:
    """Evaluates one query over all hosts at a time; raises ValueError for one that is malformed."""

    def __init__(self, table: HostTable) -> None:
        self._table = table
        self._none = np.zeros(len(table), np.bool_)
        self._left = _PARTS

    def mask(self, query: Any, depth: int = 0) -> Mask:
        if not query:
            return ~self._none
        if not isinstance(query, list) or not isinstance(query[0], str) or depth > _DEPTH:
            raise ValueError('a query is a list that begins with an operator')
        self._left -= len(query)
        if self._left < 0:
            raise ValueError('a query is not that long')
        sign, arguments = query[0], query[1:]
        if sign in ('and', 'or', 'not'):
            masks = [self.mask(argument, depth + 1) for argument in arguments]
            if not masks:
                return self._none
            if sign == 'not':
                masks = [~mask for mask in masks]
            return reduce(np.logical_and if sign == 'and' else np.logical_or, masks)
        if len(arguments) < 2:
            return self._none
        first, *others = [self._column(argument) for argument in arguments]
        if sign == 'in':
            return reduce(np.logical_or, [self._compare(operator.eq, first, other) for other in others])
        if sign not in _COMPARE:
            raise ValueError(f'unknown operator {sign}')
        return reduce(np.logical_and, [self._compare(_COMPARE[sign], first, other) for other in others])

    def _column(self, argument: Any) -> Any:
        if not (isinstance(argument, str) and argument.startswith('$')):
            return argument
        values, codes = self._table.attribute(argument[1:].split('.'))
        if all(isinstance(value, (int, float)) for value in values):
            return np.array(values, np.float64)[codes] if values else self._none
        column = np.empty(len(values), object)
        column[:] = values
        return column[codes]

    def _compare(self, sign: Callable[[Any, Any], Any], one: Any, two: Any) -> Mask:
        """Element by element where types are mixed: what cannot be compared is not true."""
        def value(side: Any, row: int) -> Any:
            return side[row] if isinstance(side, np.ndarray) else side
        numbers = [isinstance(side, (int, float)) or (isinstance(side, np.ndarray) and side.dtype != object)
                   for side in (one, two)]
        if all(numbers):
            return np.broadcast_to(np.asarray(sign(one, two), np.bool_), self._none.shape)
        result = self._none.copy()
        for row in range(len(result)):
            try:
                result[row] = bool(sign(value(one, row), value(two, row)))
            except TypeError:
                continue
        return result
