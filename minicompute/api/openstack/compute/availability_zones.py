"""/os-availability-zone: the zones that hosts are in."""
from __future__ import annotations

from typing import Any

from minicompute import policy, servicegroup
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import availability_zones as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import aggregates, services
from minicompute.objects import Service

RULE = 'os_compute_api:os-availability-zone:%s'


class AvailabilityZonesController(wsgi.Controller):

    @validation.schema(query=schema.query, answer=schema.answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'list', {})
        available, other = by_zone()
        internal = CONF.internal_service_availability_zone
        return {'availabilityZoneInfo': [*(_zone(zone, True) for zone in available if zone != internal),
                                         *(_zone(zone, False) for zone in other if zone != internal)]}

    @validation.schema(query=schema.query, answer=schema.answer)
    def detail(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE % 'detail', {})
        available, other = by_zone()
        return {'availabilityZoneInfo': [*(_zone(zone, True, hosts) for zone, hosts in available.items()),
                                         *(_zone(zone, False) for zone in other)]}


ROUTES = (
    ('GET', '/os-availability-zone', AvailabilityZonesController, 'index'),
    ('GET', '/os-availability-zone/detail', AvailabilityZonesController, 'detail'),
)

Hosts = dict[str, dict[str, Any]]


def zone_of(service: Service, zones: dict[str, str]) -> str:
    """`zones`: aggregates.zones()."""
    if service.binary != services.COMPUTE:
        return str(CONF.internal_service_availability_zone)
    return zones.get(service.host) or str(CONF.default_availability_zone)


def by_zone() -> tuple[dict[str, Hosts], list[str]]:
    """-> zones with an enabled service, {zone: {host: {binary: state}}}, and names of zones without one."""
    with session.read() as conn:
        zones, found, now = aggregates.zones(conn), services.every(conn), session.now(conn)
    available: dict[str, Hosts] = {}
    other: dict[str, None] = {}
    for service in found:
        zone = zone_of(service, zones)
        if service.disabled:
            other[zone] = None
            continue
        available.setdefault(zone, {}).setdefault(service.host, {})[service.binary] = {
            'active': True, 'available': servicegroup.is_up(service, now),
            'updated_at': common.micro(service.last_seen_up)}
    return dict(sorted(available.items())), sorted(zone for zone in other if zone not in available)


def _zone(name: str, available: bool, hosts: Hosts | None = None) -> dict[str, Any]:
    return {'zoneName': name, 'zoneState': {'available': available}, 'hosts': hosts}
