from __future__ import annotations

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class AvailabilityZoneFilter(Filter):
    """Hosts of the zone asked for; several, by commas, are all good."""

    def reads(self, request: Request) -> str | None:
        return request.spec.availability_zone or None

    def mask(self, table: HostTable, request: Request) -> Mask:
        zones = {zone.strip() for zone in (request.spec.availability_zone or '').split(',')}
        return table.membership.mask(lambda membership: membership.zone in zones)

    def reason(self, request: Request) -> str:
        return f'not in availability zone {request.spec.availability_zone}'
