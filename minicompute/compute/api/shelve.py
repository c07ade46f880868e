"""Servers go on the shelf and come back."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.compute.api import begin, snapshot
from minicompute.compute.api.power import shutdown_timeout
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import aggregates, instances, old_moves, services
from minicompute.objects import Action, Instance, VMState


class NotOffloaded(exception.Conflict):
    msg_fmt = ('A zone or a host can only be asked for when a server is SHELVED_OFFLOADED: instance '
               '%(instance_uuid)s is %(state)s.')


class HostNotInZone(exception.Conflict):
    msg_fmt = 'Host %(host)s is not in availability zone %(zone)s.'


class Unset:
    """A zone that nothing was said of; None lets the server go from its zone."""


UNSET = Unset()


def shelve(context: RequestContext, instance: Instance) -> None:
    """Raises InstanceIsLocked, InstanceInvalidState, ActionInProgress, ServiceUnavailable."""
    begin.check(context, instance, 'shelve', 'shelve')
    if not instance.host:
        raise exception.InstanceNotReady(instance_id=instance.uuid)
    data: dict[str, Any] = {'timeout': shutdown_timeout(instance)}
    if snapshot.is_volume_backed(instance):
        begin.flow(context, instance, 'shelve', 'shelve', 'shelve', _first(instance, 'put_on_shelf'), data=data,
                   write=_let_go)
        return
    name = f'{(instance.display_name or "")[:snapshot.LONGEST_NAME - 8]}-shelved'
    meta = snapshot.describe(context, instance, name, snapshot.SNAPSHOT, {})
    with snapshot.reserved(context, instance, meta) as write:
        def begun(conn: sa.Connection, action: Action) -> None:
            write(conn, action)
            _let_go(conn, action)
        begin.flow(context, instance, 'shelve', 'shelve', 'shelve', _first(instance, 'reserve_image'), write=begun,
                   data={**data, 'image_id': meta.id})


def _let_go(conn: sa.Connection, action: Action) -> None:
    """What is on the shelf holds room on one host at most."""
    old_moves.let_go(conn, action.instance_uuid)


def _first(instance: Instance, otherwise: str) -> str:
    """The first step that applies."""
    return 'power_off_guest' if instance.vm_state in (VMState.ACTIVE, VMState.PAUSED) else otherwise


def shelve_offload(context: RequestContext, instance: Instance) -> None:
    """A host that is down owes the clean-up. Raises as `shelve` does."""
    begin.flow(context, instance, 'shelveOffload', 'shelve_offload', 'shelve_offload', 'offload',
               host_must_be_up=False, changes={'due_at': None})


def check_unshelve(context: RequestContext, instance: Instance, zone: str | None | Unset, host: str | None) -> None:
    """What can be said before anything else is looked up. Raises NotOffloaded, and as `shelve` does."""
    begin.check(context, instance, 'unshelve', 'unshelve')
    if (host or not isinstance(zone, Unset)) and instance.vm_state != VMState.SHELVED_OFFLOADED:
        raise NotOffloaded(instance_uuid=instance.uuid, state=instance.vm_state.upper())


def unshelve(context: RequestContext, instance: Instance, zone: str | None | Unset = UNSET,
             host: str | None = None) -> None:
    """Where it stands, or for an offloaded server wherever there is room: in `zone`, on `host`.

    Raises Invalid (no such zone or host), NotOffloaded, HostNotInZone, and as `shelve` does.
    """
    check_unshelve(context, instance, zone, host)
    offloaded = instance.vm_state == VMState.SHELVED_OFFLOADED
    _check_place(instance, zone, host)

    def pin(conn: sa.Connection, action: Action) -> None:
        _let_go(conn, action)
        if isinstance(zone, Unset):
            return
        spec = instances.specs(conn, [instance.uuid]).get(instance.uuid)
        if spec is None:
            raise exception.Conflict(f'The request of instance {instance.uuid} is not in the records.')
        spec.availability_zone = zone
        instances.update(conn, instance.uuid, {'request_spec': spec})
    begin.flow(context, instance, 'unshelve', 'unshelve', 'unshelve', 'find_image', write=pin,
               changes={'due_at': None}, data={'offloaded': offloaded, 'host': host})


def _check_place(instance: Instance, zone: str | None | Unset, host: str | None) -> None:
    with session.read() as conn:
        zones = aggregates.zones(conn) if host or not isinstance(zone, Unset) else {}
        if isinstance(zone, str) and zone not in (CONF.default_availability_zone, *zones.values()):
            raise exception.Invalid('The requested availability zone is not available')
        if host is None:
            return
        if all(host != found.node.host for found in services.hypervisors(conn)):
            raise exception.Invalid(str(exception.ComputeHostNotFound(host=host)))
        if isinstance(zone, Unset):
            spec = instances.specs(conn, [instance.uuid]).get(instance.uuid)
            zone = spec.availability_zone if spec is not None else None
    if zone is not None and zones.get(host, CONF.default_availability_zone) != zone:
        raise HostNotInZone(host=host, zone=zone)
