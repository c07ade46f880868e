"""What other services tell of servers: networks, volumes, bare metal, accelerators.

An event is a hint and not a command: whoever gets it looks at the record or at the service that sent it. One that finds
nothing to do, or that the server's state does not allow, is dropped with a line in the log, as its sender waits for
nobody.
"""
from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging

from minicompute import exception, rpc
from minicompute.compute.api import power, queue, volumes
from minicompute.context import RequestContext, admin_context
from minicompute.db import session
from minicompute.db.api import actions, block_devices, instances, network_cards, owed
from minicompute.db.api.idempotency import AnswerLost, TakenOver
from minicompute.network import base as network
from minicompute.objects import VIF, Action, Instance, PowerState, VMState, Volume
from minicompute.volume import base as volume

LOG = logging.getLogger(__name__)

NETWORK_CHANGED, VIF_DELETED = 'network-changed', 'network-vif-deleted'
VIF_PLUGGED, VIF_UNPLUGGED = 'network-vif-plugged', 'network-vif-unplugged'
VOLUME_EXTENDED, VOLUME_REIMAGED, POWER_UPDATE = 'volume-extended', 'volume-reimaged', 'power-update'
#: seconds that the sender of many events may wait for what we ask it
PATIENCE = 10.0
POWER_ON, POWER_OFF = 'POWER_ON', 'POWER_OFF'
#: the host of the server is down, or nobody knows on which host its guest is: the record alone follows
UNREACHED = (exception.ServiceUnavailable, exception.GuestUndecided)


@dataclasses.dataclass(slots=True, frozen=True)
class Event:
    """`tag`: what it is about: the id of a port or a volume, or a power state."""

    name: str
    server_uuid: str
    status: str = 'completed'
    tag: str | None = None


def find(uuids: Iterable[str]) -> dict[str, Instance]:
    """The live servers among them, of any project."""
    with session.read() as conn:
        return instances.get_many(conn, set(uuids))


def deliver_all(context: RequestContext, found: Iterable[tuple[Instance, Event]]) -> None:
    """The sender waits: what is asked of it in turn, once a server, is owed as soon as it is slow with it."""
    end, patient = time.monotonic() + PATIENCE, True
    seen: set[str] = set()
    for instance, event in found:
        if event.name != NETWORK_CHANGED:
            deliver(context, instance, event)
        elif instance.uuid not in seen:
            seen.add(instance.uuid)
            patient = patient and time.monotonic() < end
            if patient or network.load().transactional:
                patient = deliver(context, instance, event) and patient
            else:
                _owe_refresh(instance, 'there were many events at once')


def deliver(context: RequestContext, instance: Instance, event: Event) -> bool:
    """Never raises what the sender could not help. -> False when it has something to do with a neighbour that does not
    answer."""
    handler = _HANDLERS.get(event.name)
    if handler is None:
        # No flow of ours waits for an accelerator of another service.
        LOG.info('Event %s:%s of instance %s: nobody waits for it', event.name, event.tag, instance.uuid)
        return True
    try:
        handler(as_operator(context), instance, event.tag or '')
    except (AnswerLost, TakenOver):     # it is the request that must not go on, and not the event that is dropped
        raise
    except exception.NeighbourUnavailable as error:
        LOG.info('Event %s:%s of instance %s: %s', event.name, event.tag, instance.uuid, error)
        if event.name == NETWORK_CHANGED:
            _owe_refresh(instance, str(error))
        return False
    except exception.ComputeException as error:
        LOG.info('Event %s:%s of instance %s is dropped: %s', event.name, event.tag, instance.uuid, error)
    except Exception:       # it is ours, and the other events of the request are none the worse
        LOG.exception('Event %s:%s of instance %s is dropped', event.name, event.tag, instance.uuid)
    return True


def volume_grown(context: RequestContext, grown: Volume) -> None:
    """The volume service is ours: tell the servers that have it."""
    servers = find(one.instance_uuid for one in grown.attachments)
    for uuid, instance in servers.items():
        deliver(context, instance, Event(VOLUME_EXTENDED, uuid, tag=grown.id))


def as_operator(context: RequestContext) -> RequestContext:
    """No lock of a user keeps away what has happened already; the action log names who told it."""
    made = admin_context(context.request_id)
    made.user_id, made.project_id = context.user_id, context.project_id
    return made


def refresh_network(context: RequestContext, instance: Instance, port_id: str) -> None:
    """Whoever is at work with the server reads its cards at the end anyway, where they are our own."""
    backend = network.load()

    def ask(now: Instance) -> list[VIF]:
        return backend.network_info(context, now.uuid, now.network_info, project_id=now.project_id)
    if not network_cards.refresh(instance.uuid, ask, alone=backend.transactional):
        _owe_refresh(instance, 'its record changes all the time')


def _owe_refresh(instance: Instance, reason: str) -> None:
    with contextlib.suppress(db_exc.DBDuplicateEntry):      # another api has owed the same at this moment
        session.write(owed.add_debt, 'neutron', instance.uuid, f'refresh {instance.uuid}', {}, reason)


def tell_changed(context: RequestContext, instance: Instance) -> None:
    """We changed its ports ourselves, and so it is: also if the service falls silent now. The event that it sends of it
    does the same, later."""
    if not network.load().transactional:
        deliver(context, instance, Event(NETWORK_CHANGED, instance.uuid))


def vif_plugged(context: RequestContext, instance: Instance, port_id: str) -> None:
    """A flow may wait for it, in the hands of one conductor: that one is rung, and looks at the port. If none does the
    record alone follows."""
    _ring(instance)
    session.write(_note_active, instance.uuid, port_id, True)


def _ring(instance: Instance) -> None:
    with session.read() as conn:
        running = actions.running(conn, instance.uuid)
    if running is not None:
        rpc.outbox.put(rpc.CONDUCTOR, 'ring', running.id, server=running.owner)


def volume_reimaged(context: RequestContext, instance: Instance, volume_id: str) -> None:
    """A rebuild waits for it, and looks at the volume: that says also whether it has failed."""
    _ring(instance)


def vif_unplugged(context: RequestContext, instance: Instance, port_id: str) -> None:
    session.write(_note_active, instance.uuid, port_id, False)


def _note_active(conn: sa.Connection, uuid: str, port_id: str, active: bool) -> None:
    network_cards.edit(conn, uuid, lambda cards: [
        dataclasses.replace(card, active=active) if card.id == port_id else card for card in cards])


def port_deleted(context: RequestContext, instance: Instance, port_id: str) -> None:
    """Raises PortNotFound, or one of `UNREACHED`: then the guest loses the card when it starts."""
    if not any(card.id == port_id for card in instance.network_info):
        raise exception.PortNotFound(port_id=port_id[:64])
    try:
        queue.begin(context, instance, 'detach_interface', 'port_deleted', 'port_deleted', 'take_card',
                    reserve=_nothing, data={'port': port_id})
    except UNREACHED:
        session.write(_forget_card, instance.uuid, port_id)
        raise


def _forget_card(conn: sa.Connection, uuid: str, port_id: str) -> None:
    """The port is gone, whatever its host knows of it."""
    network_cards.edit(conn, uuid, lambda cards: [card for card in cards if card.id != port_id])
    if network.load().transactional:
        network.load().release_port(conn, port_id, uuid)


def volume_extended(context: RequestContext, instance: Instance, volume_id: str) -> None:
    """Raises VolumeNotAttached, or one of `UNREACHED`: then the guest gets the size when it starts."""
    device = volumes.find(instance, volume_id)
    try:
        queue.begin(context, instance, 'extend_volume', 'extend_volume', 'extend_volume', 'note_size',
                    reserve=_nothing, data={'volume_id': volume_id})
    except UNREACHED:
        size = volume.load().show(context, volume_id).size
        session.write(block_devices.update, str(device.uuid), volume_size=size)
        raise


def power_update(context: RequestContext, instance: Instance, state: str) -> None:
    """The guest is made what it was said to be; if it is that already, only the record follows."""
    now = (instance.vm_state, instance.task_state, instance.power_state)
    if state == POWER_ON and now == (VMState.STOPPED, None, PowerState.SHUTDOWN):
        power.start(context, instance)
    elif state == POWER_OFF and now == (VMState.ACTIVE, None, PowerState.RUNNING):
        power.stop(context, instance)
    else:
        LOG.info('Event power-update:%s of instance %s: there is nothing to do in %s', state[:64], instance.uuid, now)


def _nothing(conn: sa.Connection, action: Action, now: Instance) -> None:
    """What is needed is there already."""


_HANDLERS = {NETWORK_CHANGED: refresh_network, VIF_DELETED: port_deleted, VIF_PLUGGED: vif_plugged,
             VIF_UNPLUGGED: vif_unplugged, VOLUME_EXTENDED: volume_extended,
             VOLUME_REIMAGED: volume_reimaged, POWER_UPDATE: power_update}
