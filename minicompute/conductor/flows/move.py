"""What all moves of servers share: resize, cold and live migration, evacuation, unshelving.

    claim on the destination --> ports, volumes, disks --> check --> switch (the pivot) --> clean the source

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
from minicompute.conductor.flow import Asked, Later, Outcome, StepFailed, Task
from minicompute.conductor.flows import connections, ports
from minicompute.conductor.flows.build import some_were_down
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import allocations, migrations, networks, owed
from minicompute.db.api import undecided as unended
from minicompute.objects import RequestSpec, Selection
from minicompute.scheduler.rpcapi import SchedulerAPI

SCHEDULER_TIMEOUT = 10


def claim(task: Task, spec: RequestSpec, *, ignore: Sequence[str] = ()) -> Outcome:
    """Claim room for `spec` on a host that is none of `ignore`, for the migration. -> facts with 'dest'.

    Asking again is safe. Raises StepFailed with NoValidHost's words when there is none.
    """
    spec.ignore_hosts = sorted({*spec.ignore_hosts, *task.data.get('tried', ()), *ignore})
    entry = {'key': task.action.id, 'spec': spec, 'instance_uuids': [task.uuid], 'dry_run': False,
             'consumers': {task.uuid: task.data['migration']}}
    answer = SchedulerAPI().select_destinations(task.context, [entry], timeout=SCHEDULER_TIMEOUT)[0]
    if not answer['selections'] and not task.steady() and answer['funnel'] and some_were_down(answer['funnel']):
        raise Later(1.0)    # hosts may only be unheard: the broker was away, or all have just started
    task.data.setdefault('funnels', []).append(answer['funnel'])
    if not answer['selections']:
        raise StepFailed(str(exception.NoValidHost(reason=answer['reason'] or '')), code=400)
    place: Selection = answer['selections'][0]
    note(task, dest_compute=place.host, dest_node=place.node)
    return {'dest': {'host': place.host, 'node': place.node, 'availability_zone': place.availability_zone}}


def anywhere(spec: RequestSpec, host: str | None = None) -> RequestSpec:
    """`spec` freed of the place that its create asked for, and bound to `host` instead, if given."""
    spec.force_host = spec.force_node = spec.requested_node = None
    spec.requested_host, spec.num_instances = host, 1
    return spec


def drop_claim(task: Task) -> Outcome:
    """What the migration holds is given back."""
    task.gather(_release, task.data['migration'])
    task.data.pop('dest', None)
    return {}


def release(task: Task) -> None:
    """At the end of a move: what the migration still holds."""
    task.gather(_release, task.data['migration'])


def _release(conn: sa.Connection, consumers: list[str]) -> None:
    allocations.release(conn, consumers)


def switch(task: Task, **more: Any) -> Outcome:
    """The pivot, in one transaction: the server lives at the destination, its ports are bound there, and the two
    claims are exchanged. `more` are columns of the server. Raises StepFailed when one of the claims is not what
    the plan says."""
    _check_claims(task)
    if undecided := _undecided(task):
        _leave_binding(task)
        task.on_commit(functools.partial(unended.forget, uuid=undecided, instance_uuid=task.uuid, home=dest(task)))
    return _go(task, task.data['dest'], more)


def _undecided(task: Task) -> str | None:
    """An earlier move, of which nobody could say where it had left the guest. It is made anew now."""
    uuid = unended.of(task.instance) if task.instance is not None else None
    return uuid if uuid != task.data['migration'] else None


def _leave_binding(task: Task) -> None:
    """That which the earlier move had made at its destination."""
    assert task.instance is not None
    with session.read() as conn:
        other = unended.other_host(conn, task.instance)
    if other and ports.has_ports(task):
        connections.owe(task, ports.still_bound(task, other), 'a move was not ended')


def switch_back(task: Task, **more: Any) -> Outcome:
    """The same in the other direction: the server lives at the source again."""
    return _go(task, task.data['source'], more)


def _go(task: Task, place: dict[str, Any], more: dict[str, Any]) -> Outcome:
    task.set(host=place['host'], node=place['node'], **more)
    if place.get('availability_zone'):
        task.set(availability_zone=place['availability_zone'])
    if CONF.network_backend == 'local' and task.instance is not None and task.instance.network_info:
        task.on_commit(functools.partial(_bind, uuid=task.uuid, host=place['host']))
    connections.take_over(task)
    task.gather(migrations.exchange_claims, (task.uuid, task.data['migration']))
    return {}


def _bind(conn: sa.Connection, uuid: str, host: str) -> None:
    networks.move_ports(conn, uuid, host)


def _check_claims(task: Task) -> None:
    with session.read() as conn:
        held = {row.consumer_uuid: row.host for row in allocations.for_instance(conn, task.uuid)
                if row.consumer_uuid != _undecided(task)}
    plan = {task.uuid: task.data['source']['host'], task.data['migration']: task.data['dest']['host']}
    if held != plan:
        raise StepFailed(f'The claims of the server are {held}, and should be {plan}.')


# -- its ports, where they are another service's -----------------------------------------

def bind_ports(task: Task) -> Outcome:
    """They are the destination's before its domain is made."""
    try:
        return ports.bind(task, dest(task))
    except exception.PortBindingFailed as error:
        raise StepFailed(str(error)) from None


def bind_back(task: Task) -> Outcome:
    ports.bind(task, source(task))
    return {}


# -- the migration's row ------------------------------------------------------------

def note(task: Task, **columns: Any) -> None:
    """Change the migration's row with the step's commit."""
    task.on_commit(functools.partial(_note, uuid=task.data['migration'], columns=columns))


def _note(conn: sa.Connection, uuid: str, columns: dict[str, Any]) -> None:
    migrations.update(conn, uuid, **columns)


# -- the two ends -------------------------------------------------------------------

def source(task: Task) -> str:
    return str(task.data['source']['host'])


def dest(task: Task) -> str:
    return str(task.data['dest']['host'])


def stays(task: Task) -> bool:
    """Whether a resize leaves the server where it is."""
    return source(task) == dest(task)


def at_source(task: Task, verb: str, **args: Any) -> Asked:
    return task.ask(verb, host=source(task), **connections.at(task, source(task)), **args)


def at_dest(task: Task, verb: str, **args: Any) -> Asked:
    return task.ask(verb, host=dest(task), **connections.at(task, dest(task)), **args)


def nothing_owed(task: Task) -> None:
    """The destination has removed what it had of the server from earlier days: it owes nothing any more."""
    task.on_commit(functools.partial(owed.paid, host=dest(task), uuids=[task.uuid]))
