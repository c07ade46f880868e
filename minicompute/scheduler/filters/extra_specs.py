"""The little language of extra specs: `>= 5`, `s== x`, `<in> sse`, `<or> a <or> b`, ..."""
from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from minicompute.conf import CONF
from minicompute.scheduler.host_table import ATTRIBUTES, HostTable
from minicompute.scheduler.request import Request

#: `=` means "at least", as it does in Nova
_NUMBERS: dict[str, Callable[[Any, Any], bool]] = {
    '=': operator.ge, '==': operator.eq, '!=': operator.ne, '>=': operator.ge, '<=': operator.le}
_STRINGS: dict[str, Callable[[Any, Any], bool]] = {
    's==': operator.eq, 's!=': operator.ne, 's<': operator.lt, 's<=': operator.le, 's>': operator.gt,
    's>=': operator.ge}


def matches(value: Any, wanted: str) -> bool:
    """Whether what a host has meets what a flavor says. A number that is none meets nothing."""
    if value is None:
        return False
    sign, _, rest = wanted.strip().partition(' ')
    rest = rest.strip()
    if sign in _NUMBERS:
        try:
            return _NUMBERS[sign](float(value), float(rest))
        except (TypeError, ValueError):
            return False
    if sign in _STRINGS:
        return _STRINGS[sign](str(value), rest)
    if sign == '<in>':
        return rest in _container(value)
    if sign == '<all-in>':
        return all(word in _container(value) for word in rest.split())
    if sign == '<or>':
        return any(_same(value, word.strip()) for word in wanted.split('<or>') if word.strip())
    return _same(value, wanted.strip())


def _container(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, (list, tuple, set, frozenset)) else str(value)


def _same(value: Any, word: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == word.lower()
    return str(value) == word


def capability_specs(table: HostTable, request: Request) -> dict[str, str]:
    """What ComputeCapabilitiesFilter checks: keys in its scope, and those without any that name something
    which hosts have. (In Nova both filters check these, so that with both on no host ever passes.)"""
    alone = 'AggregateInstanceExtraSpecsFilter' not in CONF.filter_scheduler.enabled_filters
    found = {}
    for key, wanted in request.extra_specs.items():
        scope, colon, name = key.partition(':')
        if colon and scope == 'capabilities':
            found[name] = wanted
        elif not colon and (alone or _known(table, key)):
            found[key] = wanted
    return found


def aggregate_specs(table: HostTable, request: Request) -> dict[str, str]:
    """What AggregateInstanceExtraSpecsFilter checks: its scope, and the other keys without one."""
    alone = 'ComputeCapabilitiesFilter' not in CONF.filter_scheduler.enabled_filters
    found = {}
    for key, wanted in request.extra_specs.items():
        scope, colon, name = key.partition(':')
        if colon and scope == 'aggregate_instance_extra_specs':
            found[name] = wanted
        elif not colon and (alone or not _known(table, key)):
            found[key] = wanted
    return found


def _known(table: HostTable, key: str) -> bool:
    return key in ATTRIBUTES or any(key in facts.capabilities for facts in table.facts.values)


def reads(request: Request, scope: str) -> tuple[tuple[str, str], ...] | None:
    """The extra specs of a scope and those without one, in order."""
    mine = tuple(sorted((key, value) for key, value in request.extra_specs.items()
                        if ':' not in key or key.startswith(scope + ':')))
    return mine or None
