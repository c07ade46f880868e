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
#: actions whose servers are made by them: their words have no name to hold
MAKERS = ('build', 'build-several')
#: cases of one batch
MOST = 36


@dataclasses.dataclass(slots=True, frozen=True)
class Case:
    """`action` is at `place` when `executor` is killed. `fail`: the PLACE:WHEN that was made to fail before, so
    that the action unwinds."""

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


def unwound(forward: Sequence[Point], backward: Sequence[Point]) -> bool:
    """Whether the action went back to where it came from: to its claim, when it made one."""
    back = {place for _, place, _ in backward if place.endswith('.undo')}
    claims = {place for role, place, _ in forward if role == 'conductor' and place.endswith('.claim_destination')}
    return all(f'{place}.undo' in back for place in claims)


def cases_of(action: str, points: Sequence[Point], fail: str = '', known: Iterable[Point] = ()) -> list[Case]:
    """With `fail` only what happens while it unwinds, and was not `known`: the rest is tried without."""
    known = set(known)
    cases = []
    for stage, (role, place, when) in enumerate(points):
        if fail and (not place.endswith('.undo') or (role, place, when) in known):
            continue
        for executor in (role, *CUT_AT.get((role, when), ())):
            cases.append(Case(action, executor, role, place, when, stage, fail))
    return cases


def batches(cases: Iterable[Case], alone: Iterable[str] = (), most: int = MOST) -> list[list[Case]]:
    """Cases with one victim, each on a server of its own: any number of points of any actions may be held at once.

    Not together: two servers that are being made, since they have no names yet that their words could hold; what is
    at a scheduler, which has one thread; and actions that are `alone` with those that are not.
    """
    single = set(alone)
    kinds: dict[tuple[object, ...], list[Case]] = defaultdict(list)
    for case in cases:
        kinds[EXECUTORS.index(case.executor), case.role == 'scheduler', case.action in single].append(case)
    found = []
    for (_, at_scheduler, _), group in sorted(kinds.items()):
        bound = 1 if at_scheduler else most
        makers = [case for case in group if case.action in MAKERS]
        others = [case for case in group if case.action not in MAKERS]
        # Neighbours are points of one action: apart, they are held by different threads of different daemons.
        count = -(-len(group) // bound)
        parts: list[list[Case]] = [makers[number:number + 1] for number in range(max(count, len(makers)))]
        for number, case in enumerate(others):
            parts[(number + len(makers)) % count].append(case)
        found += [part for part in parts if part]
    return sorted(found, key=len, reverse=True)
