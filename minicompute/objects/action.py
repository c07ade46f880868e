"""The journal: one Action is one accepted operation on one server."""
from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from minicompute.objects.base import record
from minicompute.utils import utcnow


class ActionState:
    """`queued` waits for the action in `after` to end; the last four are ends, but for `stuck`, which an
    operator retries or abandons."""

    QUEUED = 'queued'
    RUNNING = 'running'
    UNWINDING = 'unwinding'
    DONE = 'done'
    FAILED = 'failed'
    STUCK = 'stuck'

    LIVE = (QUEUED, RUNNING, UNWINDING)
    ENDED = (DONE, FAILED)


@record
class Action:
    """`flow` names a table in conductor/flows, `step` the next step to run (or to undo when unwinding);
    `data` holds ids and small facts; `fence` grows with each claim of any action on the server."""

    action: str
    flow: str
    instance_uuid: str
    request_id: str
    id: int | None = None
    user_id: str | None = None
    project_id: str | None = None
    state: str = ActionState.RUNNING
    step: str | None = None
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    busy: str | None = None
    after: int | None = None
    owner: str | None = None
    lease_until: datetime.datetime | None = None
    generation: int = 0
    cancel: bool = False
    attempts: int = 0
    message: str | None = None
    start_time: datetime.datetime | None = None
    finish_time: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None

    @property
    def fence(self) -> int:
        """Ids of the actions of one server grow, and so do the claims of one action."""
        return (self.id or 0) << 20 | self.generation

    @property
    def step_key(self) -> str:
        """The name under which a compute knows the request: an undo is another request than its step."""
        return f'{self.step}.undo' if self.state == ActionState.UNWINDING else str(self.step)

    def request(self, verb: str, instance: Any, args: dict[str, Any], reply_to: str | None) -> StepRequest:
        """What a compute is sent, by the engine, or by the API itself (then any conductor may take the report)."""
        return StepRequest(action_id=self.id or 0, generation=self.generation, step=self.step_key, verb=verb,
                           key=self.instance_uuid, fence=self.fence, reply_to=reply_to, instance=instance, args=args,
                           flow=self.flow, asked_at=utcnow())


@record
class StepRequest:
    """What a compute is asked: `verb` is a method of a compute manager, made so under `fence`. `attempt` grows when
    the step is tried again after a failure; one that is only asked again, for its answer, keeps it."""

    action_id: int
    generation: int
    step: str
    verb: str
    key: str
    fence: int
    reply_to: str | None = None
    instance: Any = None
    args: dict[str, Any] = dataclasses.field(default_factory=dict)
    attempt: int = 0
    flow: str = ''
    asked_at: datetime.datetime | None = None

    @property
    def place(self) -> str:
        """What is being done, for logs and crash points."""
        return f'{self.flow}.{self.step}'


@record
class StepReport:
    """What it answers. `error` is None, or {'class', 'message', 'kind'}; kind is one of 'failed' (unwind),
    'reschedule' (another host may do it), 'retry', 'neighbour' (Glance or such does not answer: again, for a while)."""

    action_id: int
    generation: int
    step: str
    host: str
    result: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: dict[str, Any] | None = None
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    attempt: int = 0


@record
class StepProgress:
    """How far a step is: `stage` is a short word ('image', 'disks', 'memory'), `percent` 0 to 100 or unknown.
    `numbers` are columns of the migration, of a step that moves a server (bytes of memory and disk)."""

    action_id: int
    generation: int
    step: str
    host: str
    stage: str
    percent: int | None = None
    numbers: dict[str, int] = dataclasses.field(default_factory=dict)
