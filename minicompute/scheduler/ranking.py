"""Candidates and their scores, kept right while picks change the columns.

Scaling is Nova's: each weigher's column from 0 (the least among the candidates) to 1 (the most), times its
multiplier, summed.  A pick moves one row, which moves a scale only when the row was the least or the most:
so after the first pick of a burst the next one costs a few array scans instead of a ranking of all hosts.
"""
from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from minicompute.scheduler.facts import Floats, Mask
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request
from minicompute.scheduler.weights import Weigher

#: more rows than this to bring up to date, or this many dead candidates: a new ranking is cheaper
MANY = 64


class _Term:
    """One weigher's column among the candidates."""

    __slots__ = ('high', 'low', 'multiplier', 'source', 'values')

    def __init__(self, source: Floats, multiplier: float | Floats, rows: np.ndarray) -> None:
        self.source = source
        self.values = source[rows]
        self.multiplier = multiplier[rows] if isinstance(multiplier, np.ndarray) else multiplier
        self.low, self.high = self.values.min(), self.values.max()

    def move(self, place: int, value: float) -> tuple[bool, bool]:
        """-> (whether the value moved, whether the scale must be looked at again)."""
        old = self.values[place]
        if old == value:
            return False, False
        self.values[place] = value
        return True, bool(old == self.low or old == self.high or value < self.low or value > self.high)

    def rescale(self, alive: Mask | None) -> bool:
        """-> whether the scale moved."""
        values = self.values if alive is None else self.values[alive]
        low, high = values.min(), values.max()
        moved = bool(low != self.low or high != self.high)
        self.low, self.high = low, high
        return moved

    def add_to(self, score: Floats) -> None:
        if self.high > self.low:
            score += (self.values - self.low) * (self.multiplier / (self.high - self.low))

    def at(self, place: int) -> float:
        if self.high <= self.low:
            return 0.0
        many = self.multiplier
        factor = many[place] if isinstance(many, np.ndarray) else many
        return float((self.values[place] - self.low) * (factor / (self.high - self.low)))


class Ranking:
    """`allowed` are the rows that every stage but room passed, `mask` those that have room as well."""

    def __init__(self, table: HostTable, request: Request, allowed: Mask, mask: Mask,
                 weighers: Sequence[Weigher]) -> None:
        self._table, self._need, self._allowed = table, request.need, allowed
        self._rows = np.flatnonzero(mask)
        self._place = np.full(len(table), -1, np.intp)
        self._place[self._rows] = np.arange(len(self._rows))
        self._alive = np.ones(len(self._rows), np.bool_)
        self._dead = 0
        self._cursor = table.journal_start + len(table.journal)
        self._terms: list[_Term] = []
        if len(self._rows):
            for weigher in weighers:
                column = weigher.column(table, request)
                if column is not None:
                    self._terms.append(_Term(column, weigher.multiplier(table), self._rows))
        self._rescore()

    def _rescore(self) -> None:
        score = np.zeros(len(self._rows))
        for term in self._terms:
            term.add_to(score)
        if self._dead:
            score[~self._alive] = -np.inf
        self._score = score

    def best(self, subset: int, shuffle: bool) -> int | None:
        """-> the row of the best candidate (or of one of the `subset` best), None when none is left."""
        if self._dead == len(self._rows):
            return None
        score = self._score
        if subset > 1:
            count = min(subset, len(score) - self._dead)
            return int(self._rows[random.choice(np.argpartition(-score, count - 1)[:count])])
        place = int(score.argmax())
        if shuffle:
            ties = np.flatnonzero(score == score[place])
            if len(ties) > 1:
                place = int(ties[random.randrange(len(ties))])
        return int(self._rows[place])

    def follow(self) -> bool:
        """Bring the rows up to date that moved since. False: too much moved, make a new ranking."""
        table = self._table
        behind = self._cursor - table.journal_start
        if behind < 0:
            return False
        moved = set(table.journal[behind:])
        self._cursor = table.journal_start + len(table.journal)
        if len(moved) > MANY:
            return False
        scales = False
        for row in moved:
            changed = self._update(row)
            if changed is None or self._dead > MANY:
                return False
            scales |= changed
        if scales:
            self._rescale()
        return True

    def _update(self, row: int) -> bool | None:
        """-> whether scales must be looked at again; None when a host came (back) into the race."""
        place, fits = int(self._place[row]), self._table.row_fits(row, self._need)
        if place < 0 or not self._alive[place]:
            return None if fits and self._allowed[row] else False
        scales = False
        if not fits:
            self._alive[place] = False
            self._dead += 1
            self._score[place] = -np.inf
            return any(term.values[place] in (term.low, term.high) for term in self._terms)
        for term in self._terms:
            _, extreme = term.move(place, term.source[row])
            scales |= extreme
        self._score[place] = sum(term.at(place) for term in self._terms)
        return scales

    def _rescale(self) -> None:
        if self._dead == len(self._rows):
            return
        alive = self._alive if self._dead else None
        if any([term.rescale(alive) for term in self._terms]):
            self._rescore()
