from __future__ import annotations

from minicompute.conf import CONF
from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


class IsolatedHostsFilter(Filter):
    """Isolated images on isolated hosts only; and, unless configured otherwise, no others there."""

    why = 'isolated for other images, or not isolated'

    def reads(self, request: Request) -> bool | None:
        conf = CONF.filter_scheduler
        if not (conf.isolated_hosts or conf.isolated_images):
            return None
        isolated = request.spec.image_id in conf.isolated_images
        return isolated if isolated or conf.restrict_isolated_hosts_to_isolated_images else None

    def mask(self, table: HostTable, request: Request) -> Mask:
        mask = table.in_hosts(CONF.filter_scheduler.isolated_hosts)
        return mask if self.reads(request) else ~mask
