"""Network cards of servers that are there: one more, one less."""
from __future__ import annotations

import dataclasses
import time
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.compute.api import queue
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions
from minicompute.db.api import networks as db
from minicompute.network import base as network
from minicompute.objects import VIF, Action, ActionState, Instance, from_primitive


class PortLimitOfServer(exception.Forbidden):
    msg_fmt = 'Instance %(instance_uuid)s has %(most)d network cards, which are the most that it may have.'


#: what the buses of a machine have room for, and more than anybody needs
MOST = 32
#: seconds that a request waits for its port, and between two looks
PATIENCE, LOOK = 60.0, 0.1


@dataclasses.dataclass(slots=True, frozen=True)
class Attached:
    """A card of a server; `active` once its host has plugged it."""

    vif: VIF
    active: bool


def list_all(context: RequestContext, instance: Instance) -> list[Attached]:
    """Another service's ports are told from the record: it is not asked."""
    if not network.load().transactional:
        return [Attached(vif, vif.active) for vif in instance.network_info]
    known = {card.id for card in instance.network_info}
    return [Attached(vif, vif.id in known) for vif in network.load().network_info(context, instance.uuid)]


def show(context: RequestContext, instance: Instance, port_id: str) -> Attached:
    """Raises NotFound."""
    for found in list_all(context, instance):
        if found.vif.id == port_id:
            return found
    raise exception.NotFound(f'Instance {instance.uuid} does not have a port with id {port_id[:64]}')


def attach(context: RequestContext, instance: Instance, item: dict[str, Any]) -> Attached:
    """`item` as `NetworkBackend.resolve_one` takes it. The card has its port and address when this returns; the guest
    sees it a moment later. Raises Invalid, NotFound, Conflict, Forbidden."""
    backend = network.load()
    try:
        resolved = backend.resolve_one(context, instance.project_id, item)
    except exception.NetworkAmbiguous as error:
        raise exception.Invalid(error.message) from None
    except exception.FixedIpInUse as error:
        raise exception.Conflict(error.message) from None
    if not backend.transactional:
        return _attach_by_flow(context, instance, resolved)

    def reserve(conn: sa.Connection, action: Action, now: Instance) -> None:
        if db.count_ports(conn, now.uuid) >= MOST:
            raise PortLimitOfServer(instance_uuid=now.uuid, most=MOST)
        try:
            action.data['port'] = backend.reserve_port(conn, resolved, now)
        except exception.FixedIpInUse as error:
            raise exception.Conflict(error.message) from None
    action = queue.begin(context, instance, 'attach_interface', 'attach_interface', 'attach_interface', 'find_port',
                         reserve=reserve)
    return show(context, instance, action.data['port'])


def _attach_by_flow(context: RequestContext, instance: Instance, resolved: dict[str, Any]) -> Attached:
    """The port is another service's: the flow makes it, so that none is left over when somebody dies between. We wait
    until it stands in the journal."""
    def reserve(conn: sa.Connection, action: Action, now: Instance) -> None:
        if len(now.network_info) >= MOST:
            raise PortLimitOfServer(instance_uuid=now.uuid, most=MOST)
        action.data['card'] = resolved
    action = queue.begin(context, instance, 'attach_interface', 'attach_interface', 'attach_interface', 'make_port',
                         reserve=reserve)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with session.read() as conn:
            found = actions.load(conn, [action.id or 0])
        if found and found[0].data.get('vif'):
            return Attached(from_primitive(found[0].data['vif']), False)
        if not found or found[0].state not in (ActionState.QUEUED, ActionState.RUNNING):
            raise _refusal(found[0].data.get('error') if found else None)
        time.sleep(LOOK)
    raise exception.InternalError(reason='The port is not made yet: os-instance-actions tells what becomes of it.')


def _refusal(error: dict[str, Any] | None) -> exception.ComputeException:
    """What the flow found wrong, in the answer of the request."""
    kinds: dict[int, type[exception.ComputeException]] = {
        400: exception.Invalid, 403: exception.Forbidden, 404: exception.NotFound, 409: exception.Conflict,
        503: exception.ServiceUnavailable}
    said = error or {'message': 'The attachment was broken off.', 'code': 409}
    return kinds.get(int(said.get('code', 500)), exception.ComputeException)(str(said['message']))


def detach(context: RequestContext, instance: Instance, port_id: str) -> None:
    """A second one finds the port gone, and says so in the action log. Raises PortNotFound."""
    local = network.load().transactional

    def reserve(conn: sa.Connection, action: Action, now: Instance) -> None:
        plugged = any(card.id == port_id for card in now.network_info)
        if not plugged and not (local and db.has_port(conn, now.uuid, port_id)):
            raise exception.PortNotFound(port_id=port_id[:64])
    queue.begin(context, instance, 'detach_interface', 'detach_interface', 'detach_interface', 'find_port',
                reserve=reserve, data={'port': port_id})
