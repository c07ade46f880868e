"""From what was passed when nobody died: the cases, and which of them are tried together."""
from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence

#: (role, place, when) as the trace has them
Point = tuple[str, str, str]

EXECUTORS = ('compute', 'conductor', 'scheduler', 'broker', 'database')
#: while the thread waits at these points, the broker or the database is what dies
CUT_AT = {('conductor', 'after-commit'): ('broker',), ('compute', 'before-report'): ('broker',),
          ('conductor', 'before-commit'): ('database',), ('scheduler', 'after'): ('broker',)}
#: actions of one batch; schedulers
MOST, PAIR = 16, 2


@dataclasses.dataclass(slots=True, frozen=True)
class Case:
    """`action` is at `place` when `executor` is killed. `fail`: the place that was made to fail before, so that the
    action unwinds."""

    action: str
    executor: str
    role: str
    place: str
    when: str
    stage: int
    fail: str = ''

    @property
    def key(self) -> str:
        return '|'.join((self.action, self.executor, self.role, self.place, self.when, self.fail))


def points_of(trace: Iterable[tuple[str, str, str, str]], uuid: str, flow: str) -> list[Point]:
    """The points that one server's action passed, each once, in order; of others' actions on it (what prepared it)
    nothing."""
    found: list[Point] = []
    for role, place, when, subject in trace:
        if subject == uuid and (role == 'scheduler' or place.startswith(f'{flow}.')):
            if (role, place, when) not in found:
                found.append((role, place, when))
    return found


def cases_of(action: str, points: Sequence[Point], fail: str = '') -> list[Case]:
    """With `fail` only what happens while it unwinds: the rest is tried without."""
    cases = []
    for stage, (role, place, when) in enumerate(points):
        if fail and not place.endswith('.undo'):
            continue
        for executor in (role, *CUT_AT.get((role, when), ())):
            cases.append(Case(action, executor, role, place, when, stage, fail))
    return cases


def batches(cases: Iterable[Case], alone: Iterable[str] = ()) -> list[list[Case]]:
    """Cases of different actions whose points are of the same kind and equally far on their way."""
    together: dict[tuple[object, ...], list[Case]] = defaultdict(list)
    single = set(alone)
    for case in cases:
        # The name of a server that is being made is not known before: any claim would be taken for its own.
        own = case.action in single or (case.role == 'scheduler' and case.action == 'build')
        key = (EXECUTORS.index(case.executor), case.action if own else '', bool(case.fail), case.role, case.when,
               _rank(case, together))
        together[key].append(case)
    found = []
    for _, group in sorted(together.items(), key=lambda entry: tuple(map(str, entry[0]))):
        # A scheduler has one thread: who is held there holds up the others.
        most = PAIR if (group[0].role, group[0].executor) == ('scheduler', 'broker') else MOST
        found += [group[start:start + most] for start in range(0, len(group), most)]
    return found


def _rank(case: Case, together: dict[tuple[object, ...], list[Case]]) -> int:
    """The how-manieth of its kind the case is within its action."""
    return sum(1 for group in together.values() for other in group
               if (other.action, other.executor, other.role, other.when, bool(other.fail)) == (
                   case.action, case.executor, case.role, case.when, bool(case.fail)))
