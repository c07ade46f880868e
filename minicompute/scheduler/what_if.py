"""What would have to change for a request that found no host.

Every constraint (a filter, a trait, a resource class) either refuses a host or not, independently of the others; so
hosts that are refused by the same constraints would all be won by the same change.  The smallest sets come first, and
each of them is enough: that is what `tests/functional/test_placement.py` tries out.
"""
from __future__ import annotations

from typing import Any

import numpy as np

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters import ThirdParty
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.filters.builtin import Traits
from minicompute.scheduler.funnel import UNITS
from minicompute.scheduler.host_table import CLASSES, HostTable
from minicompute.scheduler.request import Request

#: changes that are named at most
MOST = 5

#: (filter, what of it or None, why it refuses), and the hosts that it refuses
Constraint = tuple[tuple[str, str | None, str], Mask]


def changes(table: HostTable, request: Request, filters: list[Filter],
            others: list[ThirdParty]) -> list[dict[str, Any]]:
    """-> each {'without': [{'filter', 'what', 'reason'}], 'more': [{'resource', 'amount', 'unit'}], 'hosts': how many
    hosts would fit then, 'host': one of them, the one that `more` is meant for}. None when there is no host at all."""
    if not len(table):
        return []
    constraints = _constraints(table, request, filters, others)
    lacking = [table.shortage(number, asked, request.copies) if asked else np.zeros(len(table))
               for number, asked in enumerate(request.need)]
    refused = np.array([mask for _, mask in constraints] + [short > 0 for short in lacking], np.bool_)
    names = [name for name, _ in constraints]
    kinds, of_host = np.unique(refused, axis=1, return_inverse=True)
    of_host = np.ravel(of_host)
    order = sorted(range(kinds.shape[1]), key=lambda kind: (
        int(kinds[:, kind].sum()), int(kinds[len(names):, kind].sum()), -int(np.count_nonzero(of_host == kind))))
    return [_change(table, kinds[:, kind], refused, names, np.array(lacking)) for kind in order[:MOST]
            if kinds[:, kind].any()]


def _constraints(table: HostTable, request: Request, filters: list[Filter],
                 others: list[ThirdParty]) -> list[Constraint]:
    found: list[Constraint] = []
    for one in filters:
        if one.reads(request) is None:
            continue
        if isinstance(one, Traits):
            found += _traits(table, request)
        else:
            found.append(((one.name, None, one.reason(request)), ~one.mask(table, request)))
    every = np.ones(len(table), np.bool_)
    found += [((other.name, None, other.reason(request)), ~other.narrow(table, request, every)) for other in others]
    return found


def _traits(table: HostTable, request: Request) -> list[Constraint]:
    """Each trait by itself."""
    lacking: list[Constraint] = [
        (('Traits', trait, f'without {trait}'), ~_having(table, trait)) for trait in sorted(request.required_traits)]
    return lacking + [(('Traits', trait, f'with a forbidden {trait}'), _having(table, trait))
                      for trait in sorted(request.forbidden_traits)]


def _having(table: HostTable, trait: str) -> Mask:
    return table.facts.mask(lambda facts: trait in facts.traits)


def _change(table: HostTable, kind: Mask, refused: Mask, names: list[tuple[str, str | None, str]],
            lacking: Any) -> dict[str, Any]:
    """For the hosts that exactly the constraints of `kind` refuse; without its filters, others may fit as well."""
    dropped, short = kind[:len(names)], kind[len(names):]
    won = np.flatnonzero(~(refused & ~kind[:, None]).any(axis=0))
    if short.any():     # the one that lacks least, measured by what it is asked for
        exact = np.flatnonzero((refused == kind[:, None]).all(axis=0))
        least = int(exact[np.argmin(lacking[:, exact].clip(min=0).sum(axis=0))])
        hosts = 1
    else:
        least, hosts = int(won[0]), len(won)
    return {
        'without': [{'filter': name, 'what': what, 'reason': reason}
                    for (name, what, reason), gone in zip(names, dropped, strict=True) if gone],
        'more': [{'resource': CLASSES[number], 'amount': int(np.ceil(lacking[number, least])),
                  'unit': UNITS[CLASSES[number]]} for number in np.flatnonzero(short)],
        'hosts': hosts, 'host': table.hosts[least]}
