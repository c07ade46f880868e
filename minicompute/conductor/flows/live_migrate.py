"""A server goes to another host while it runs.

    claim_destination --> check_source --> check_destination --> take_turn --> bind_ports --> prepare_destination
           |                                                                       |                 |
       drop_claim                                                            unbind_there  rollback_destination

    --> migrate --> find_at_source --> find_at_destination --> confirm_copy | switch_ports --> switch
           |        (when the source did not say how it ended)    (pivot)
    keep_at_source
                --> finish_destination --> clean_source --> unbind_source

The two hypervisors copy by themselves, and go on when a daemon dies: so the flow never takes the silence of a host
for an answer. Before anything is decided somebody says where the guest is: the source that it has gone or that it
stayed, else the destination that it is there or not. While neither host can be asked the flow waits: whatever it
did might end the only copy. A reset of the server's state ends the waiting, not the move: that goes on when one of the
two is back (db/api/undecided.py). An undo that finds the guest gone turns round and goes forward.

`undecided` of the data holds from before the copy until it is known that the guest is where the records say: who gives
the action up in between (`put_aside` of db/api/actions.py) leaves a server that nobody may start.
"""
from __future__ import annotations

import dataclasses
import functools
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.conductor.flow import Asked, Debt, Flow, Later, Outcome, Step, StepFailed, Task
from minicompute.conductor.flows import connections, move, ports
from minicompute.conductor.flows.shared import cancelled, deleted, resets, silent
from minicompute.conductor.settle import GivenUp, owe
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances, live_migrations, owed, returned, undecided
from minicompute.image import base as image
from minicompute.network import base as network
from minicompute.objects import ImageMeta, MigrationStatus, PowerState, VMState, from_primitive, to_primitive
from minicompute.virt.interface.live import ABORT, ABSENT, COMPLETED, FAILED, HELD, PAUSED, RUNNING, STOPPED

#: seconds; the source bounds the copy itself ([libvirt] live_migration_completion_timeout)
LONGEST_COPY = 7 * 86400
HERE = (RUNNING, PAUSED)
#: at the destination: a domain is defined there by nobody but a copy that has come to its end. One that is off has gone
#: off since, and its disks are the newest
ARRIVED = (*HERE, STOPPED)
TURN = 1.0
AGAIN = 3.0


# -- before --------------------------------------------------------------------

def claim_destination(task: Task) -> Outcome:
    _check_order(task)
    data, instance = task.data, task.instance
    assert task.spec is not None and instance is not None
    if data.get('host') == move.source(task):
        raise StepFailed(str(exception.UnableToMigrateToSelf(instance_id=task.uuid, host=data['host'])), code=400)
    spec = move.anywhere(dataclasses.replace(task.spec, flavor=instance.flavor), data.get('host'))
    if data.get('force'):    # the operator knows better than the filters
        spec.force_host, spec.requested_host = data['host'], None
    try:
        facts = move.claim(task, spec, ignore=[move.source(task)])
    except StepFailed as error:
        last = data.get('error', {}).get('message')
        raise StepFailed(f'{error} Refused by {", ".join(data["tried"])}: {last}' if data.get('tried') else str(error),
                         code=400) from None
    move.note(task, status=MigrationStatus.QUEUED)
    return facts


def _check_order(task: Task) -> None:
    with session.read() as conn:
        ordered = live_migrations.ordered(conn, task.data['migration'])
    if ordered == ABORT:
        task.data['aborted'] = True
        raise StepFailed('The live migration was aborted.', code=409)


def check_source(task: Task) -> Asked:
    return move.at_source(task, 'live_offer')


def offered(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return {'offer': task.report.result}


def check_destination(task: Task) -> Asked:
    """A host that nobody named and that refuses is one of several: the next may do."""
    verb = 'live_accept' if task.data.get('host') else 'live_accept_or_next'
    return move.at_dest(task, verb, offer=task.data['offer'], block=task.data.get('block'),
                        over_commit=task.data.get('over_commit'))


def accepted(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return {'shared': bool(task.report.result['shared'])}


def take_turn(task: Task) -> Outcome:
    _check_order(task)
    if not session.write(live_migrations.take_turn, task.data['migration'], move.source(task),
                         CONF.max_concurrent_live_migrations):
        raise Later(TURN)
    return {}


def bind_ports(task: Task) -> Outcome:
    """The destination is to have them as well; until the guest is there they work at the source."""
    assert task.instance is not None
    try:
        return {'cards': to_primitive(network.load().bind_also(task.context, task.instance, move.dest(task)))}
    except exception.PortBindingFailed as error:
        raise StepFailed(str(error), code=400) from None


def unbind_there(task: Task) -> Outcome:
    if ports.has_ports(task) and task.instance is not None and 'dest' in task.data and not task.data.get('moved'):
        network.load().unbind(task.context, task.instance, move.dest(task))
    return {}


def bound_there(task: Task) -> list[Debt]:
    return ports.still_bound(task, move.dest(task)) if 'dest' in task.data else []


def prepare_destination(task: Task) -> Asked:
    assert task.instance is not None
    one = task.instance
    images = {name: _image(task, ref) for name, ref in (
        ('image', one.image_ref), ('kernel', one.kernel_id), ('ramdisk', one.ramdisk_id))}
    there = {'cards': from_primitive(task.data['cards'])} if task.data.get('cards') else {}
    return move.at_dest(task, 'live_prepare', offer=task.data['offer'], shared=task.data['shared'], **there, **images)


def _image(task: Task, ref: str) -> ImageMeta | None:
    """What the root disk grew from, if it is still there; if not, the whole disk is copied."""
    try:
        return image.load().show(task.context, ref) if ref else None
    except exception.ImageNotFound:
        return None


def prepared(task: Task) -> dict[str, Any]:
    """What the destination owed of this server is settled: the preparation removed it."""
    assert task.report is not None
    move.note(task, status=MigrationStatus.RUNNING)
    task.on_commit(functools.partial(_forgive, hosts=[move.dest(task)], uuid=task.uuid))
    return {'there': task.report.result, 'undecided': True}


def _forgive(conn: sa.Connection, hosts: list[str], uuid: str) -> None:
    for host in hosts:
        owed.paid(conn, host, [uuid])
        returned.complete_evacuations(conn, host, [uuid])


def rollback_destination(task: Task) -> Outcome:
    if 'dest' not in task.data or task.data.get('moved'):
        return {}
    return move.at_dest(task, 'live_rollback', shared=bool(task.data.get('shared')), force=deleted(task),
                        stale=_is_at_source(task))


def _is_at_source(task: Task) -> bool:
    """By the source's own word, or as no copy has begun: what is off at the destination is not the guest."""
    data = task.data
    return 'there' not in data or data.get('outcome') == FAILED or data.get('at_source') in HERE


# -- the copy ------------------------------------------------------------------

def migrate(task: Task) -> Asked:
    """One that has turned round has its guest at the destination: an abort that comes now comes too late."""
    if not task.data.get('turns'):
        _check_order(task)
    return move.at_source(task, 'live_migrate', there=task.data['there'], migration=task.data['migration'])


def copied(task: Task) -> dict[str, Any]:
    assert task.report is not None
    outcome = task.report.result['outcome']
    return {'outcome': outcome, 'why': task.report.result.get('why', ''), 'undecided': outcome != FAILED,
            'at_source': None, 'at_destination': None}


def keep_at_source(task: Task) -> Outcome:
    """Whatever stopped us: who has the guest? Until somebody knows nothing is undone."""
    if 'there' not in task.data:
        return {}
    if not silent(task, move.source(task)):
        return move.at_source(task, 'live_keep')
    if _stays(task) or deleted(task):
        return {}
    if silent(task, move.dest(task)):
        if not resets(task):
            raise Later(AGAIN)
        raise GivenUp('Neither of its two hosts answers; where the guest is shows when one of them is back.')
    return move.at_dest(task, 'live_find')


def kept(task: Task) -> dict[str, Any]:
    """The guest that was to be kept may have gone: then the way is forward, or, when somebody resets the state of
    the server, the records follow it at once. One that is off at the source may have come to the destination before the
    source forgot it, as when the source was cut off: that shows on the way, where the destination is asked."""
    assert task.report is not None
    where = task.report.result['where']
    asked_source = task.report.host == move.source(task)
    gone = where in (ABSENT, STOPPED) if asked_source else where in ARRIVED
    if not gone or _stays(task) or deleted(task) or (asked_source and where == STOPPED and cancelled(task)):
        return _says(where, at_source=asked_source)
    if cancelled(task):
        move.switch(task)
        return {'moved': True, 'undecided': False}
    turns = task.data.get('turns', 0) + (not silent(task, move.dest(task)))
    if turns > CONF.conductor.stuck_after:
        raise StepFailed('The guest is at the destination, but the records cannot follow it.')
    return {'reschedule': True, 'turns': turns, 'outcome': None, 'at_source': None, 'at_destination': None,
            'undecided': True}


def _says(where: str, *, at_source: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {'at_source' if at_source else 'at_destination': where}
    if where in HERE if at_source else where == ABSENT:
        facts['undecided'] = False
    return facts


def _stays(task: Task) -> bool:
    """Whether it is known that the guest did not arrive."""
    return task.data.get('outcome') == FAILED or task.data.get('at_destination') == ABSENT


def is_unclear(task: Task) -> bool:
    return task.data.get('outcome') not in (COMPLETED, FAILED)


def find_at_source(task: Task) -> Asked:
    return move.at_source(task, 'live_find')


def found_at_source(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return _says(task.report.result['where'], at_source=True)


def is_not_at_source(task: Task) -> bool:
    return is_unclear(task) and task.data.get('at_source') not in HERE


def find_at_destination(task: Task) -> Asked:
    """While the source does not have it, and this one is silent, there is nobody else to ask."""
    if task.data.get('at_source') in (ABSENT, STOPPED) and silent(task, move.dest(task)):
        raise Later(AGAIN, 'the destination is silent')
    return move.at_dest(task, 'live_find')


def found_at_destination(task: Task) -> dict[str, Any]:
    assert task.report is not None
    return _says(task.report.result['where'], at_source=False)


def confirm_copy(task: Task) -> Outcome:
    """The point of no return, which the hypervisors passed already: the guest is at the destination."""
    data = task.data
    if data.get('outcome') == COMPLETED:
        return {}
    before, after = data.get('at_source'), data.get('at_destination')
    if is_unclear(task) and before not in HERE and (after in ARRIVED or (before, after) == (ABSENT, HELD)):
        return {}
    with session.read() as conn:
        data['aborted'] = live_migrations.ordered(conn, data['migration']) == ABORT
    raise StepFailed(f'The live migration failed: {data.get("why") or "the guest did not arrive"}')


# -- after ---------------------------------------------------------------------

def switch_ports(task: Task) -> Outcome:
    """They follow the guest, which is at the destination already."""
    assert task.instance is not None
    network.load().switch_binding(task.context, task.instance, move.dest(task))
    if task.data.get('cards'):      # read when the move began: they say how the destination plugs, and no more
        ports.edit_cards(task, ports.bound((), from_primitive(task.data['cards'])))
    return {}


def unbind_source(task: Task) -> Outcome:
    assert task.instance is not None
    network.load().unbind(task.context, task.instance, move.source(task))
    return {}


def bound_at_source(task: Task) -> list[Debt]:
    return ports.still_bound(task, move.source(task))


def switch(task: Task) -> Outcome:
    move.note(task, status=MigrationStatus.POST_MIGRATING)
    move.switch(task)
    return {'undecided': False}


def finish_destination(task: Task) -> Asked:
    return move.at_dest(task, 'live_finish')


def arrived(task: Task) -> dict[str, Any]:
    assert task.report is not None
    deviations = task.report.result.get('deviations') or []
    task.notes = '; '.join(deviations)[:4000]
    if (power := task.report.result.get('power_state')) is not None:
        task.set(power_state=power)
        if power in (PowerState.SHUTDOWN, PowerState.CRASHED) and task.instance is not None and (
                task.instance.vm_state in (VMState.ACTIVE, VMState.PAUSED)):
            task.set(vm_state=VMState.STOPPED)      # it went off on its way, while nobody noted that
    return {'deviations': deviations}


def clean_source(task: Task) -> Asked:
    return move.at_source(task, 'live_leave', shared=bool(task.data.get('shared')))


def cleaned(task: Task) -> dict[str, Any]:
    """What could not be removed is owed: the server is at its new host, whatever lies about at the old one."""
    assert task.report is not None
    if why := task.report.result.get('left'):
        owe(task, str(why))
    return {}


def finished(task: Task) -> None:
    move.release(task)
    move.note(task, status=MigrationStatus.COMPLETED)
    _decided(task)
    task.set(task_state=None, progress=0, fault=None)
    task.on_commit(functools.partial(_forgive, hosts=[move.dest(task)], uuid=task.uuid))
    for name in ('offer', 'there', 'error', 'cards'):
        task.data.pop(name, None)


def failed(task: Task, error: dict[str, Any]) -> None:
    """The server is where it was. Of Nova's words for the end: `failed` when a copy had begun."""
    broken_off, data = bool(error.get('cancelled')), task.data
    status = MigrationStatus.FAILED if data.get('outcome') else MigrationStatus.ERROR
    if data.get('moved'):
        status = MigrationStatus.COMPLETED
    elif broken_off or data.get('aborted'):
        status = MigrationStatus.CANCELLED
    move.note(task, status=status)
    _decided(task)
    if broken_off:
        return      # what waits behind this action has the last word
    task.on_commit(functools.partial(_forgive, hosts=[move.source(task)], uuid=task.uuid))
    task.set(task_state=None, progress=0, fault=instances.fault(error))
    if data.get('at_source') == ABSENT and _stays(task):
        task.set(vm_state=VMState.ERROR)     # no host has it: its guest died between the two


def _decided(task: Task) -> None:
    if task.instance is not None and undecided.of(task.instance) == task.data['migration']:
        task.on_commit(functools.partial(undecided.settled, instance_uuid=task.uuid))


LIVE_MIGRATE = Flow(
    'live-migration',
    Step(claim_destination, undo=move.drop_claim, retry=lambda: CONF.scheduler.max_attempts),
    Step(check_source, done=offered),
    Step(check_destination, done=accepted),
    Step(take_turn),
    *connections.TO_CONNECT_THERE,
    Step(bind_ports, undo=unbind_there, when=ports.has_ports, debts=bound_there),
    Step(prepare_destination, undo=rollback_destination, done=prepared,
         deadline=lambda: CONF.conductor.build_deadline),
    Step(migrate, undo=keep_at_source, undone=kept, undo_waits=True, retry=lambda: 0, done=copied,
         owed_when_down=True, deadline=lambda: LONGEST_COPY),
    Step(find_at_source, done=found_at_source, when=is_unclear, owed_when_down=True, deadline=lambda: LONGEST_COPY),
    Step(find_at_destination, done=found_at_destination, when=is_not_at_source, deadline=lambda: LONGEST_COPY),
    Step(confirm_copy, pivot=True),
    Step(switch_ports, when=ports.has_ports, debts=ports.misbound, owed_when_down=True),
    Step(switch),
    Step(finish_destination, done=arrived, owed_when_down=True),
    Step(clean_source, done=cleaned, owed_when_down=True),
    *connections.TO_LEAVE,
    Step(unbind_source, when=ports.has_ports, debts=bound_at_source, owed_when_down=True),
    finished=finished, failed=failed, with_spec=True)
