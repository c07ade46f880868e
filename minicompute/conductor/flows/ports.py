"""What flows do with the ports of another network service. The local ones change hands in our own transactions.

    allocate / bind --> a domain that does not run yet --> wait_for_ports --> let_run

Neutron says that a port is ready some time after its host has plugged it. A flow that waits looks at the ports, and
holds no thread: the event network-vif-plugged rings it (compute/api/external_events.py), and as events get lost it
looks by itself now and then.  It looks before it waits, so that an event which comes too early is none the worse.
"""
from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

from minicompute import exception
from minicompute.conductor.flow import Asked, Debt, Later, Outcome, StepFailed, Task
from minicompute.conductor.flows.connections import Busy, NotYet, must_be_idle, owe
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import actions, instances, network_cards, owed
from minicompute.db.session import utcnow
from minicompute.network import base as network
from minicompute.objects import VIF, Instance

#: seconds between two looks of a flow that no event rings
LOOK_AGAIN = 5.0
#: cards that nobody plugs, and so nobody reports
NEVER_PLUGGED = frozenset(('unbound', 'binding_failed', 'unmanaged'))
FAILED = 'ERROR'


def remote() -> bool:
    return bool(CONF.network_backend != 'local')


def has_ports(task: Task) -> bool:
    return remote() and task.instance is not None and bool(task.instance.network_info)


# -- in the record ---------------------------------------------------------------------------------

def edit_cards(task: Task, change: network_cards.Change) -> None:
    """With the step's commit, of what the record says by then: events change it while the action runs."""
    assert task.instance is not None
    task.instance.network_info = change(task.instance.network_info)
    task.on_commit(functools.partial(network_cards.edit, uuid=task.uuid, change=change))


def take_away(task: Task, port: str) -> None:
    edit_cards(task, lambda cards: [card for card in cards if card.id != port])


def _read(task: Task) -> list[VIF]:
    """The server's cards as they are in the record, where events of the running action have written."""
    assert task.instance is not None
    with session.read() as conn:
        now = network_cards.of(conn, task.uuid)
    if now is not None:
        task.instance.network_info = now
    return task.instance.network_info


def bound(before: Sequence[VIF], there: Sequence[VIF]) -> network_cards.Change:
    """The cards are as they are `there`, without those of `before` that are gone. One that is not as it was read in
    `before` is plugged as there; what the network service has said of it since stays."""
    read, found = {card.id: card for card in before}, {card.id: card for card in there}

    def one(card: VIF) -> VIF:
        if card.id not in found or card == read.get(card.id):
            return found.get(card.id, card)
        return _plugged_as(card, found[card.id])
    return lambda cards: [one(card) for card in cards if card.id in found or card.id not in read]


def _plugged_as(card: VIF, there: VIF) -> VIF:
    groups = {'security_groups': card.details['security_groups']} if 'security_groups' in card.details else {}
    return dataclasses.replace(card, kind=there.kind, mtu=there.mtu, details={**there.details, **groups})


# -- until they are ready --------------------------------------------------------------------------

def awaited(task: Task) -> bool:
    """Whether the guest shall not run before its ports are ready: said by the step that bound them."""
    return bool(task.data.get('awaited'))


def to_await(cards: Sequence[VIF]) -> dict[str, Any]:
    """The fact that `awaited` reads."""
    waits = bool(remote() and CONF.vif_plugging_timeout and any(
        not card.active and card.kind not in NEVER_PLUGGED for card in cards))
    return {'awaited': True} if waits else {'awaited': None}


def wait_for_ports(task: Task) -> Outcome:
    outcome = look_at_ports([task])[0]
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def look_at_ports(tasks: Sequence[Task]) -> list[Outcome | Exception]:
    """One question for all that wait; if that comes to no good end, one for each: what is wrong with the ports of one
    keeps no other waiting."""
    waiting = {task.uuid for task in tasks if _left(task, {})}
    try:
        states = network.load().states(tasks[0].context, waiting) if waiting else {}
    except exception.NeighbourUnavailable as error:
        return [_look(task, {}, str(error)) for task in tasks]
    except Exception as error:
        return [error] if len(tasks) == 1 else [look_at_ports([task])[0] for task in tasks]
    return [_look(task, states, '') for task in tasks]


def _left(task: Task, states: dict[str, str]) -> list[str]:
    cards = task.instance.network_info if task.instance else ()
    return [card.id for card in cards
            if card.kind not in NEVER_PLUGGED and not card.active and states.get(card.id) != 'ACTIVE']


def _look(task: Task, states: dict[str, str], silent: str) -> Outcome | Exception:
    left = _left(task, states)
    if not left:
        _note(task, states)
        return {}
    broken = [port for port in left if states.get(port) == FAILED]
    since = task.action.updated_at or utcnow()
    rest = CONF.vif_plugging_timeout - (utcnow() - since) / datetime.timedelta(seconds=1)
    if rest > 0 and not broken:
        return Later(min(LOOK_AGAIN, rest), 'ports are not ready')
    why = f'ports {", ".join(sorted(broken or left))} are not ready' + (f': {silent}' if silent else '')
    if CONF.vif_plugging_is_fatal:
        return StepFailed(f'Virtual Interface creation failed: {why}')
    task.notes = why
    _note(task, states)
    return {}


def _note(task: Task, states: dict[str, str]) -> None:
    ready = {port for port, state in states.items() if state == 'ACTIVE'}
    if any(card.id in ready and not card.active for card in (task.instance.network_info if task.instance else ())):
        edit_cards(task, lambda cards: [
            dataclasses.replace(card, active=True) if card.id in ready else card for card in cards])


def let_run(task: Task) -> Asked | dict[str, Any]:
    return task.ask('unpause') if awaited(task) else {}


# -- bound -----------------------------------------------------------------------------------------

def bind(task: Task, host: str) -> dict[str, Any]:
    """The server's cards are those of `host`, and its record says how they are plugged there. Nothing of local ones,
    which go with the server's record: an undo is run of a step that was passed over, too."""
    if not has_ports(task) or task.instance is None:
        return {}
    before = _read(task)
    cards = network.load().bind(task.context, task.instance, host)
    edit_cards(task, bound(before, cards))
    return to_await(cards)


def park(task: Task) -> Outcome:
    """The server goes off its host and keeps its cards: no agent there has to do with them any more. That a host has
    them still is no reason to fail, for whatever takes the server back binds them anew; it is owed."""
    if not has_ports(task) or task.instance is None:
        return {}
    before = _read(task)
    try:
        edit_cards(task, bound(before, network.load().park(task.context, task.instance)))
    except exception.NeighbourUnavailable:
        raise
    except exception.ComputeException as error:
        task.notes = str(error)
        owe(task, misbound(task), str(error))
    return {}


def misbound(task: Task) -> list[Debt]:
    """For doing it later: its ports go where it lives by then, or to no host."""
    return [Debt('neutron', 'bind', task.uuid)]


def pay_bind(uuid: str, data: dict[str, Any]) -> None:
    """Raises Busy also when an action has begun meanwhile: what it finds we may have changed under its hands."""
    found = _at_rest(uuid)
    if found is None or not found.network_info:
        return
    backend, context = network.load(), admin_context()
    there = backend.bind(context, found, found.host) if found.host else backend.park(context, found)

    def write(conn: Any) -> None:
        instances.hold(conn, uuid)
        if actions.any_running(conn, [uuid]):
            raise Busy(instance_uuid=uuid)
        now = instances.get_many(conn, [uuid]).get(uuid)
        if now is not None and now.host == found.host:
            network_cards.edit(conn, uuid, bound(found.network_info, there))
    session.write(write)


def pay_refresh(uuid: str, data: dict[str, Any]) -> None:
    """The service told that something about its ports has changed, and then did not say what."""
    def ask(found: Instance) -> list[VIF]:
        return network.load().network_info(admin_context(), uuid, found.network_info, project_id=found.project_id)
    if not network_cards.refresh(uuid, ask, alone=False):
        raise NotYet('the record of its server changes all the time')


def still_bound(task: Task, host: str) -> list[Debt]:
    """To a host where the server is not (any more). One debt a host, whose name may be long."""
    short = hashlib.sha256(host.encode()).hexdigest()[:16]
    return [Debt('neutron', 'unbind', f'{task.uuid}/{short}', {'host': host})]


def pay_unbind(ref: str, data: dict[str, Any]) -> None:
    found = _at_rest(ref.partition('/')[0])
    if found is not None and found.host != data['host']:
        network.load().unbind(admin_context(), found, data['host'])


# -- given back ------------------------------------------------------------------------------------

def release(task: Task) -> None:
    """All that the server holds; those that a user made stay."""
    network.load().deallocate(task.context, task.uuid, keep=made_by_hand(task), project_id=_project(task))


def made_by_hand(task: Task) -> list[str]:
    spec = task.spec
    if spec is None:
        with session.read() as conn:
            spec = instances.specs(conn, [task.uuid]).get(task.uuid)
    asked = [item['port'] for item in spec.requested_networks if item.get('port')] if spec is not None else []
    cards = task.instance.network_info if task.instance else ()
    return sorted({*asked, *(card.id for card in cards if card.preserve_on_delete)})


def unreleased(task: Task) -> list[Debt]:
    return [Debt('neutron', 'ports', task.uuid, {'keep': made_by_hand(task), 'project': _project(task)})]


def _project(task: Task) -> str | None:
    return task.instance.project_id if task.instance else None


def pay_ports(uuid: str, data: dict[str, Any]) -> None:
    """A server that has come to a host after all, by another attempt, keeps them."""
    found = _at_rest(uuid)
    if found is None or not (found.host or found.launched_at):
        network.load().deallocate(admin_context(), uuid, keep=data.get('keep', ()), project_id=data.get('project'))


def not_owed(task: Task) -> None:
    """With the step's commit: the ports that an earlier attempt could not give back are in use again."""
    if remote():
        task.on_commit(functools.partial(owed.settle_debt, service='neutron', verb=f'ports {task.uuid}'))


def _at_rest(uuid: str) -> Instance | None:
    """The server, if it is there. Raises Busy while something is being done with it: only what comes of that says what
    is left to do."""
    with session.read() as conn:
        must_be_idle(conn, uuid)
        return instances.get_many(conn, [uuid]).get(uuid)


def drop(task: Task, port: str, keep: bool) -> None:
    network.load().drop_port(task.context, task.uuid, port, keep=keep)


def undropped(task: Task, port: str, keep: bool) -> list[Debt]:
    return [Debt('neutron', 'port', port, {'server': task.uuid, 'keep': keep})]


def left_over(one: Instance, card: dict[str, Any]) -> list[VIF]:
    """Ports that `card` asked for and that the server's record does not know: made, and nobody heard of it. Its user
    may have given the server's name to other ports."""
    there = network.load().network_info(admin_context(), one.uuid, project_id=one.project_id)
    return [vif for vif in _unknown(one, there) if _is_asked(vif, card)]


def _unknown(one: Instance, there: Sequence[VIF]) -> list[VIF]:
    known = {card.id for card in one.network_info}
    return [vif for vif in there if vif.id not in known]


def _is_asked(vif: VIF, card: dict[str, Any]) -> bool:
    if card.get('port'):
        return bool(vif.id == card['port'])
    wanted = card.get('fixed_ip')
    return bool(vif.network_id == card['id'] and (not wanted or wanted in {ip.address for ip in vif.fixed_ips}))


def strays(task: Task, card: dict[str, Any]) -> list[Debt]:
    """To look for what is left over of `card`, where nobody can look now. One debt an action."""
    return [Debt('neutron', 'strays', f'{task.uuid}/{task.action.id}', {'card': card})]


def pay_strays(ref: str, data: dict[str, Any]) -> None:
    """Raises Busy also when an action has begun meanwhile: what that has made is its own."""
    uuid, card = ref.partition('/')[0], data['card']
    found = _at_rest(uuid)
    if found is None:
        return      # a server that is gone has given back all that it had, or owes that
    there = left_over(found, card)
    now = _at_rest(uuid) if there else None
    for vif in _unknown(now, there) if now is not None else ():
        network.load().drop_port(admin_context(), uuid, vif.id, keep=vif.id == card.get('port'))


def pay_port(port: str, data: dict[str, Any]) -> None:
    """One that the server has got again meanwhile stays."""
    found = _at_rest(data['server'])
    if found is not None and any(card.id == port for card in found.network_info):
        return
    network.load().drop_port(admin_context(), data['server'], port, keep=bool(data.get('keep')))
