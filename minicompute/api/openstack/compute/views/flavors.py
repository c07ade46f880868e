"""How flavors are shown."""
from __future__ import annotations

from typing import Any

from minicompute import policy
from minicompute.api.openstack import common
from minicompute.api.openstack.wsgi import Request
from minicompute.objects import Flavor

SPECS = 'os_compute_api:os-flavor-extra-specs:index'


def index(req: Request, found: list[Flavor], limit: int) -> dict[str, Any]:
    links = common.Links(req, 'flavors')
    described = req.since('2.55')
    rows = []
    for flavor in found:
        row: dict[str, Any] = {'id': flavor.flavorid, 'name': flavor.name, 'links': links(flavor.flavorid)}
        if described:
            row['description'] = flavor.description
        rows.append(row)
    return _page(req, rows, 'flavors', limit)


def detail(req: Request, found: list[Flavor], limit: int) -> dict[str, Any]:
    one = Full(req)
    return _page(req, [one(flavor) for flavor in found], 'flavors/detail', limit)


def show(req: Request, flavor: Flavor) -> dict[str, Any]:
    return {'flavor': Full(req)(flavor)}


def _page(req: Request, rows: list[dict[str, Any]], path: str, limit: int) -> dict[str, Any]:
    page: dict[str, Any] = {'flavors': rows}
    links = common.next_links(req, path, rows, rows[-1]['id'] if rows else None, limit)
    if links:
        page['flavors_links'] = links
    return page


class Full:
    """All fields of a flavor at the request's version."""

    def __init__(self, req: Request) -> None:
        self.links = common.Links(req, 'flavors')
        self.described = req.since('2.55')
        self.with_specs = req.since('2.61') and policy.allowed(req.context, SPECS)
        self.no_swap = 0 if req.since('2.75') else ''
        self.historic = not req.since('2.102')

    def __call__(self, flavor: Flavor) -> dict[str, Any]:
        row: dict[str, Any] = {
            'id': flavor.flavorid, 'name': flavor.name, 'ram': flavor.memory_mb, 'disk': flavor.root_gb,
            'swap': flavor.swap or self.no_swap, 'vcpus': flavor.vcpus,
            'OS-FLV-EXT-DATA:ephemeral': flavor.ephemeral_gb,
            'os-flavor-access:is_public': flavor.is_public, 'links': self.links(flavor.flavorid)}
        if self.historic:
            row['OS-FLV-DISABLED:disabled'] = flavor.disabled
            row['rxtx_factor'] = flavor.rxtx_factor
        if self.described:
            row['description'] = flavor.description
        if self.with_specs:
            row['extra_specs'] = flavor.extra_specs
        return row
