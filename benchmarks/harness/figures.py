"""From results to figures: medians and ranges over runs, and what a goal says of them."""
from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from harness.load import Json


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A median over runs, with the least and the most."""
    median: float
    least: float
    most: float
    runs: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Figure | None:
        """None when there is nothing to take the median of."""
        known = [float(value) for value in values if value is not None]
        return cls(statistics.median(known), min(known), max(known), len(known)) if known else None


def percentile(values: list[float], percent: float) -> float | None:
    """Between the two nearest, as loadgen does it."""
    if not values:
        return None
    ordered = sorted(values)
    at = (len(ordered) - 1) * percent / 100
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def dig(document: Any, path: str) -> Any:
    """'delete/gone_s' of a nested document; None where a key is missing. '/' alone inside a key is written '|'."""
    for key in path.split('/'):
        if not isinstance(document, dict):
            return None
        document = document.get(key.replace('|', '/'))
    return document


class Results:
    """The rows of a results.json, by part and system."""

    def __init__(self, document: Json) -> None:
        self.document, self._rows = document, document.get('rows', [])

    def all(self, part: str, system: str = 'ours') -> list[Json]:
        return [row['result'] for row in self._rows if row['part'] == part and row['system'] == system]

    def figure(self, part: str, path: str, system: str = 'ours') -> Figure | None:
        return Figure.of(dig(result, path) for result in self.all(part, system))

    def computed(self, part: str, of: Callable[[Json], float | None], system: str = 'ours') -> Figure | None:
        return Figure.of(of(result) for result in self.all(part, system))

    def pooled(self, part: str, path: str, system: str = 'ours') -> list[float]:
        """The single values of all runs together."""
        return [value for result in self.all(part, system) for value in dig(result, path) or []]


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A row of the table. `ratio`: how many times better than Nova. `reached`: None where it is not known."""
    name: str
    goal: str
    ours: str
    nova: str = '-'
    ratio: float | None = None
    reached: bool | None = None
    remark: str = ''


def number(value: float) -> str:
    """Three digits that count, no more."""
    if value == 0:
        return '0'
    if abs(value) >= 1000:
        return f'{value:,.0f}'
    if abs(value) >= 100:
        return f'{value:.0f}'
    if abs(value) >= 10:
        return f'{value:.1f}'
    return f'{value:.2f}' if abs(value) >= 1 else f'{value:.3g}'


def text(figure: Figure | None, unit: str = '') -> str:
    """'41.2/s [38.0-44.1]'; a unit that is a word gets a space."""
    if figure is None:
        return '-'
    tail = unit if unit.startswith('/') else f' {unit}' if unit else ''
    spread = f' [{number(figure.least)}-{number(figure.most)}]' if figure.runs > 1 else ''
    return f'{number(figure.median)}{tail}{spread}'


def more(ours: Figure | None, nova: Figure | None) -> float | None:
    """How many times ours, where more is better."""
    return ours.median / nova.median if ours and nova and nova.median else None


def less(ours: Figure | None, nova: Figure | None) -> float | None:
    """How many times better, where less is better."""
    return nova.median / ours.median if ours and nova and ours.median else None


def at_least(value: float | None, bound: float) -> bool | None:
    return None if value is None else value >= bound


def at_most(value: float | None, bound: float) -> bool | None:
    return None if value is None else value <= bound


def both(*answers: bool | None) -> bool | None:
    """False when one is false; None when one is not known."""
    if False in answers:
        return False
    return None if None in answers else True
