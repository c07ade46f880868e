"""Aggregates of hosts, and the zones that some of them make.

A host is in one zone, and a server stays in the zone that it was placed in: what would move servers from one to another
is refused. Each change holds the hosts that it concerns, so that two together cannot do what none alone may.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception, servicegroup
from minicompute.compute import rpcapi
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import aggregates as db
from minicompute.db.api import image_caching, services
from minicompute.image import base as image
from minicompute.objects import Aggregate

ZONE = db.ZONE
_MOVE = ('The host cannot be {done} the aggregate as its availability zone would change from {old!r} to {new!r}, but '
         'it has {count} instance(s). Move them away first, or use shelve-offload and unshelve to bring them into '
         'another zone.')
_PREPOSITION = {'add': 'added to', 'remove': 'removed from'}


class CannotAddHost(exception.Conflict):
    msg_fmt = 'Cannot add host to aggregate %(id)s. Reason: %(reason)s'


class CannotRemoveHost(exception.Conflict):
    msg_fmt = 'Cannot remove host from aggregate %(id)s. Reason: %(reason)s'


class CannotUpdate(exception.Invalid):
    msg_fmt = 'Cannot update aggregate %(id)s. Reason: %(reason)s'


class CannotUpdateMetadata(exception.Invalid):
    msg_fmt = 'Cannot update metadata of aggregate %(id)s. Reason: %(reason)s'


class NotEmpty(exception.Invalid):
    msg_fmt = 'Cannot remove aggregate %(id)s. Reason: Host aggregate is not empty.'


Refusal = Callable[..., exception.ComputeException]


def every() -> list[Aggregate]:
    with session.read() as conn:
        return db.every(conn)


def show(aggregate_id: int) -> Aggregate:
    """Raises AggregateNotFound."""
    with session.read() as conn:
        return db.get(conn, aggregate_id)


def create(name: str, zone: str | None) -> Aggregate:
    """Raises AggregateNameExists."""
    return session.write(db.create, name, zone)


def update(aggregate_id: int, changes: dict[str, Any]) -> Aggregate:
    """`changes`: name, availability_zone. Raises AggregateNotFound, AggregateNameExists, CannotUpdate."""
    def write(conn: sa.Connection) -> Aggregate:
        found = _held(conn, aggregate_id)
        if 'name' in changes and changes['name'] != found.name:
            db.rename(conn, aggregate_id, changes['name'])
        if ZONE in changes:
            _check_new_zone(conn, found, changes[ZONE], CannotUpdate)
            db.set_metadata(conn, aggregate_id, {ZONE: changes[ZONE]})
        return db.get(conn, aggregate_id)
    return session.write(write)


def set_metadata(aggregate_id: int, metadata: dict[str, str | None]) -> Aggregate:
    """None removes a key. Raises AggregateNotFound, CannotUpdateMetadata."""
    def write(conn: sa.Connection) -> Aggregate:
        found = _held(conn, aggregate_id)
        if ZONE in metadata:
            _check_new_zone(conn, found, metadata[ZONE], CannotUpdateMetadata)
        db.set_metadata(conn, aggregate_id, metadata)
        return db.get(conn, aggregate_id)
    return session.write(write)


def delete(aggregate_id: int) -> None:
    """Raises AggregateNotFound, NotEmpty."""
    def write(conn: sa.Connection) -> None:
        if db.get(conn, aggregate_id, lock=True).hosts:
            raise NotEmpty(id=aggregate_id)
        db.destroy(conn, aggregate_id)
    session.write(write)


def add_host(aggregate_id: int, host: str) -> Aggregate:
    """Raises AggregateNotFound, ComputeHostNotFound, AggregateHostExists, CannotAddHost."""
    def write(conn: sa.Connection) -> Aggregate:
        _check_host(conn, host)
        found = db.get(conn, aggregate_id, lock=True)
        db.hold_hosts(conn, [host])
        zone, beside = found.availability_zone, db.zones_beside(conn, [host], but=aggregate_id)
        if host not in found.hosts and zone:
            if beside - {zone}:
                raise CannotAddHost(id=aggregate_id, reason=_elsewhere(beside - {zone}))
            if not beside:
                _check_stays(conn, host, 'add', None, zone, aggregate_id, CannotAddHost)
        db.add_host(conn, aggregate_id, host)
        return db.get(conn, aggregate_id)
    return session.write(write)


def remove_host(aggregate_id: int, host: str) -> Aggregate:
    """Raises AggregateNotFound, ComputeHostNotFound, AggregateHostNotFound, CannotRemoveHost."""
    def write(conn: sa.Connection) -> Aggregate:
        found = db.get(conn, aggregate_id, lock=True)
        db.hold_hosts(conn, [host])
        zone = found.availability_zone
        if host in found.hosts and zone and not db.zones_beside(conn, [host], but=aggregate_id):
            _check_stays(conn, host, 'remove', zone, None, aggregate_id, CannotRemoveHost)
        db.remove_host(conn, aggregate_id, host)
        return db.get(conn, aggregate_id)
    return session.write(write)


def _held(conn: sa.Connection, aggregate_id: int) -> Aggregate:
    found = db.get(conn, aggregate_id, lock=True)
    db.hold_hosts(conn, found.hosts)
    return found


def _check_host(conn: sa.Connection, host: str) -> None:
    try:
        services.find(conn, host, services.COMPUTE)
    except exception.HostNotFound:
        raise exception.ComputeHostNotFound(host=host) from None


def _check_new_zone(conn: sa.Connection, found: Aggregate, zone: str | None, refusal: Refusal) -> None:
    if not zone:
        raise refusal(id=found.id, reason=f'Aggregate {found.name} does not support empty named availability zone.')
    others = db.zones_beside(conn, found.hosts, but=found.id or 0) - {zone}
    if others:
        raise refusal(id=found.id, reason=_elsewhere(others))
    if zone != found.availability_zone and db.servers_on(conn, found.hosts):
        raise refusal(id=found.id, reason='One or more hosts contain instances in this zone.')


def _elsewhere(zones: set[str]) -> str:
    return f'One or more hosts already in availability zone(s) {sorted(zones)}.'


def _check_stays(conn: sa.Connection, host: str, what: str, old: str | None, new: str | None, aggregate_id: int,
                 refusal: Refusal) -> None:
    count = db.servers_on(conn, [host])
    if count:
        raise refusal(id=aggregate_id, reason=_MOVE.format(done=_PREPOSITION[what], old=old, new=new, count=count))


# -- images on hosts before they are needed ----------------------------------------

def cache_images(context: RequestContext, aggregate_id: int, image_ids: Sequence[str]) -> None:
    """Ask each host of the aggregate for the images; hosts that are down are passed over. What becomes of it stands in
    `db.api.image_caching`. Raises AggregateNotFound, Invalid for an image that is not there."""
    found = show(aggregate_id)
    backend, images = image.load(), []
    for image_id in image_ids:
        try:
            images.append(backend.show(context, image_id))
        except exception.ImageNotFound as error:
            raise exception.Invalid(str(error)) from None

    def write(conn: sa.Connection) -> list[image_caching.Wanted]:
        down = servicegroup.down_hosts(conn, set(found.hosts)) if found.hosts else {}
        return image_caching.ask(conn, aggregate_id, found.hosts, images, down=set(down))
    for wanted in session.write(write):
        rpcapi.cache_image(wanted.host, wanted.id, wanted.image)
