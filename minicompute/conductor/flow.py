"""What a flow is: a table of steps at the head of its file, and nothing clever.

A step is `fn(task) -> dict | None | Asked`: the dict is merged into the journal's `data`.  It runs again
after a crash, so it says "make it so".  What it wants written goes through `task` and is committed
together with the step: `task.set(...)` for columns of the server, `task.gather(write, item)` for what many steps
write at once, `task.on_commit(fn)` for the rest.
"""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.objects import Action, Instance, RequestSpec, StepReport


class Later(Exception):
    """Not finished: run the step again in `seconds`. No SQL is written and no thread waits."""

    def __init__(self, seconds: float, why: str = '') -> None:
        super().__init__(why)
        self.seconds = seconds


class Retry(Exception):
    """The same step again, with back-off; counted, unlike Later."""


class Reschedule(Exception):
    """Unwind to the step marked `retry`, then forward again without this host."""


class StepFailed(Exception):
    """The step cannot succeed; `code` goes into the fault of the server."""

    def __init__(self, message: str, code: int = 500, details: str = '') -> None:
        super().__init__(message)
        self.code, self.details = code, details


@dataclasses.dataclass(slots=True, frozen=True)
class Asked:
    """A step's answer when a compute was asked: the engine parks the action until the report comes."""

    host: str
    verb: str
    args: dict[str, Any]


Outcome = dict[str, Any] | Asked | None


@dataclasses.dataclass(slots=True, frozen=True)
class Debt:
    """What is left to do at a neighbour ('glance', 'neutron', 'cinder'): `kind` says which function of
    conductor/debts.py pays it, of what (`ref`, an id)."""

    service: str
    kind: str
    ref: str
    data: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True)
class Task:
    """One action on its way: what a step is given."""

    action: Action
    instance: Instance | None
    context: RequestContext
    spec: RequestSpec | None = None
    #: what a compute answered, while `done` or an undo's end runs
    report: StepReport | None = None
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    commits: list[Callable[[sa.Connection], Any]] = dataclasses.field(default_factory=list)
    #: (write(conn, items), item): called once for all steps of one commit that gather for it
    gathered: list[tuple[Callable[[sa.Connection, Any], Any], Any]] = dataclasses.field(default_factory=list)
    #: the question that it was last parked on
    asked: Asked | None = None
    #: a line for the step log, beside "it succeeded"
    notes: str = ''
    #: rows of the step log that go with the next commit
    log: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    began: datetime.datetime | None = None
    failures: int = 0
    #: how often a neighbour has not answered this step: no failures, of which some few make it `stuck`
    silences: int = 0
    #: since when a neighbour has not answered this step, by time.monotonic
    silent_since: float | None = None
    #: what was said of it last
    silence: str = ''
    #: whether hosts that do not report are down, or the wire is
    steady: Callable[[], bool] = lambda: True
    #: whether something waits behind it that does not wait for a neighbour: a delete, a reset of the server's state
    impatient: Callable[[], bool] = lambda: False

    @property
    def data(self) -> dict[str, Any]:
        return self.action.data

    @property
    def uuid(self) -> str:
        return self.action.instance_uuid

    def set(self, **columns: Any) -> None:
        """Change columns of the server when this step commits, and in the record at once."""
        self.changes.update(columns)
        if self.instance is not None:
            for name, value in columns.items():
                setattr(self.instance, name, value)

    def on_commit(self, write: Callable[[sa.Connection], Any]) -> None:
        self.commits.append(write)

    def gather(self, write: Callable[[sa.Connection, Any], Any], item: Any) -> None:
        """As `on_commit`, but `write(conn, items)` is called once, at the end, with the items of all steps."""
        self.gathered.append((write, item))

    def ask(self, verb: str, host: str | None = None, **args: Any) -> Asked:
        """Ask the compute of `host` (the server's) for `verb`; `return task.ask(...)` ends the step."""
        target = host or (self.instance.host if self.instance else None)
        if not target:
            raise StepFailed(f'{verb}: the server is on no host')
        return Asked(target, verb, args)


StepFn = Callable[[Task], Outcome]
Judge = Callable[[Instance, dict[str, Any]], bool]


@dataclasses.dataclass(slots=True, frozen=True)
class Step:
    """`done` makes the journal's facts of a compute's report; `many` runs a whole batch at once and gives
    an outcome or an exception for each task; `when` false: the step is passed over; `deadline` in seconds,
    counted from the commit of the step before. `undone` makes facts of the report of an undo, which may turn the
    action round by `data['reschedule']`, in a step with `retry`."""

    run: StepFn
    undo: StepFn | None = None
    retry: Callable[[], int] | None = None
    pivot: bool = False
    done: Callable[[Task], dict[str, Any] | None] | None = None
    undone: Callable[[Task], dict[str, Any] | None] | None = None
    many: Callable[[Sequence[Task]], list[Outcome | Exception]] | None = None
    when: Callable[[Task], bool] | None = None
    deadline: Callable[[], int] = lambda: CONF.conductor.step_deadline
    #: a host that is down ends this step as if it had done it, and owes it
    owed_when_down: bool = False
    #: an undo that a host that is down cannot answer is begun again, for it may then ask another
    undo_waits: bool = False
    #: what a neighbour that stays silent at this step, or at its undo, is owed: conductor/debts.py. Without it the step
    #: unwinds, and its undo waits for the neighbour, as does a step behind a pivot
    debts: Callable[[Task], Sequence[Debt]] | None = None
    #: what a neighbour goes on refusing ends this step, too, and is owed: what it is part of cannot be taken back
    owed_when_refused: bool = False
    #: a host that is down at the undo owes the removal of the server; False where the server stays there
    undo_owes: bool = True
    #: a compute of an earlier version that does not know the verb does it in another step
    newer: bool = False
    #: of the server and the action's data: whether by the records the server has what this step, or its undo, makes.
    #: Then a host that comes to it when the action has ended does it still: what it has is what the records say
    late: Judge | None = None
    undo_late: Judge | None = None

    @property
    def name(self) -> str:
        return self.run.__name__


class Flow:
    """A named list of steps. `failed(task, reason, code)` says what the server is after it unwound;
    `finished(task)` what it is after the last step. Both only use `task.set`, `task.on_commit` and `task.gather`."""

    registry: dict[str, Flow] = {}

    def __init__(self, name: str, *steps: Step, failed: Callable[[Task, dict[str, Any]], None],
                 finished: Callable[[Task], None] | None = None, cancellable: bool = True,
                 with_spec: bool = False) -> None:
        self.name, self.steps = name, steps
        self.failed, self.finished, self.cancellable = failed, finished, cancellable
        self.with_spec = with_spec
        self._index = {step.name: place for place, step in enumerate(steps)}
        if len(self._index) != len(steps):
            raise ValueError(f'flow {name}: two steps of one name')
        Flow.registry[name] = self

    @classmethod
    def known(cls) -> dict[str, set[str]]:
        """{flow: its steps} that this version can run; rows with others are left to a conductor that can."""
        return {name: set(flow._index) for name, flow in cls.registry.items()}

    @property
    def first(self) -> str:
        return self.steps[0].name

    def index(self, step: str | None) -> int:
        """Raises KeyError for a step that this version does not know."""
        return self._index[step or self.first]

    def step(self, name: str | None) -> Step:
        return self.steps[self.index(name)]

    def next(self, task: Task, after: int) -> Step | None:
        """The next step that applies."""
        for step in self.steps[after + 1:]:
            if step.when is None or step.when(task):
                return step
        return None

    def previous(self, before: int) -> Step | None:
        """The nearest step before that has something to undo."""
        for step in reversed(self.steps[:before]):
            if step.undo is not None or step.retry is not None:
                return step
        return None

    def past_pivot(self, name: str | None) -> bool:
        """Whether a pivot step comes before `name`: then there is no way back."""
        return any(step.pivot for step in self.steps[:self.index(name)])
