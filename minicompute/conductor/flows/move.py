"""What all moves of servers share: resize, cold and live migration, evacuation, unshelving.

    claim on the destination --> ports, volumes, disks --> switch (the pivot) --> clean the source

While a server moves, its migration holds the other of its two claims: the destination's before the switch, the
source's after it.  `data` of the action keeps {'migration': uuid, 'source': {'host', 'node'}, 'dest': {'host',
'node', 'availability_zone'}, 'tried': [hosts]}.
"""
from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor.flow import Later, Outcome, StepFailed, Task
from minicompute.db.api import allocations, migrations
from minicompute.objects import RequestSpec, Selection
from minicompute.scheduler.rpcapi import SchedulerAPI

SCHEDULER_TIMEOUT = 15


def claim(task: Task, spec: RequestSpec, *, ignore: Sequence[str] = ()) -> Outcome:
    """Claim room for `spec` on a host that is none of `ignore`, for the migration. -> facts with 'dest'.

    Asking again is safe. Raises StepFailed with NoValidHost's words when there is none.
    """
    spec.ignore_hosts = sorted({*spec.ignore_hosts, *task.data.get('tried', ()), *ignore})
    entry = {'key': task.action.id, 'spec': spec, 'instance_uuids': [task.uuid], 'dry_run': False,
             'consumers': {task.uuid: task.data['migration']}}
    answer = SchedulerAPI().select_destinations(task.context, [entry], timeout=SCHEDULER_TIMEOUT)[0]
    task.data.setdefault('funnels', []).append(answer['funnel'])
    if not answer['selections']:
        if not task.steady() and answer['funnel']:
            raise Later(1.0)    # hosts may only be unheard: the broker was away, or all have just started
        raise StepFailed(str(exception.NoValidHost(reason=answer['reason'] or '')), code=400)
    place: Selection = answer['selections'][0]
    note(task, dest_compute=place.host, dest_node=place.node)
    return {'dest': {'host': place.host, 'node': place.node, 'availability_zone': place.availability_zone}}


def drop_claim(task: Task) -> Outcome:
    """What the migration holds is given back."""
    task.gather(_release, task.data['migration'])
    task.data.pop('dest', None)
    return {}


def _release(conn: sa.Connection, consumers: list[str]) -> None:
    allocations.release(conn, consumers)


def switch(task: Task, **more: Any) -> Outcome:
    """The pivot, in one transaction: the server lives at the destination, and the two claims are exchanged."""
    dest = task.data['dest']
    task.set(host=dest['host'], node=dest['node'], **more)
    if dest.get('availability_zone'):
        task.set(availability_zone=dest['availability_zone'])
    task.gather(migrations.exchange_claims, (task.uuid, task.data['migration']))
    return {}


def note(task: Task, **columns: Any) -> None:
    """Change the migration's row with the step's commit."""
    task.on_commit(functools.partial(_note, uuid=task.data['migration'], columns=columns))


def _note(conn: sa.Connection, uuid: str, columns: dict[str, Any]) -> None:
    migrations.update(conn, uuid, **columns)


def at_source(task: Task, verb: str, **args: Any) -> Any:
    return task.ask(verb, host=task.data['source']['host'], **args)


def at_dest(task: Task, verb: str, **args: Any) -> Any:
    return task.ask(verb, host=task.data['dest']['host'], **args)
