"""What is always checked, whatever filters are enabled."""
from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from minicompute.scheduler.facts import Mask
from minicompute.scheduler.filters.base import Filter
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.request import Request


def _one_host(table: HostTable, host: str | None, node: str | None) -> Mask:
    mask = table.in_hosts([host]) if host else np.ones(len(table), np.bool_)
    if node:
        mask &= np.array([name == node for name in table.nodes], np.bool_)
    return mask


class ForcedHost(Filter):
    """`--availability-zone AZ:host:node`: that one and no other filter; it must exist and have room."""

    why = 'not the host that the request forces'

    def reads(self, request: Request) -> Hashable | None:
        spec = request.spec
        return (spec.force_host, spec.force_node) if spec.force_host or spec.force_node else None

    def mask(self, table: HostTable, request: Request) -> Mask:
        return _one_host(table, request.spec.force_host, request.spec.force_node)


class RequestedHost(Filter):
    """`host` and `hypervisor_hostname` of 2.74: that one, if the filters pass it."""

    why = 'not the host that the request names'

    def reads(self, request: Request) -> Hashable | None:
        spec = request.spec
        asked = (spec.requested_host, spec.requested_node)
        return asked if any(asked) else None

    def mask(self, table: HostTable, request: Request) -> Mask:
        return _one_host(table, request.spec.requested_host, request.spec.requested_node)


class IgnoredHosts(Filter):
    """Hosts where this build, or this move, has failed already."""

    why = 'tried before, or not allowed for this operation'

    def reads(self, request: Request) -> Hashable | None:
        return tuple(sorted(request.spec.ignore_hosts)) or None

    def mask(self, table: HostTable, request: Request) -> Mask:
        return ~table.in_hosts(request.spec.ignore_hosts)


class Traits(Filter):
    """`trait:NAME=required|forbidden` of the flavor and of the image."""

    def reads(self, request: Request) -> Hashable | None:
        asked = (request.required_traits, request.forbidden_traits)
        return asked if any(asked) else None

    def mask(self, table: HostTable, request: Request) -> Mask:
        required, forbidden = request.required_traits, request.forbidden_traits
        return table.facts.mask(lambda facts: required <= facts.traits and not forbidden & facts.traits)

    def reason(self, request: Request) -> str:
        parts = []
        if request.required_traits:
            parts.append('without ' + ', '.join(sorted(request.required_traits)))
        if request.forbidden_traits:
            parts.append('with a forbidden ' + ', '.join(sorted(request.forbidden_traits)))
        return ' or '.join(parts)


class ResourceClasses(Filter):
    """`resources:CLASS` of a class that no host has an inventory of."""

    def reads(self, request: Request) -> Hashable | None:
        return request.unknown_classes or None

    def mask(self, table: HostTable, request: Request) -> Mask:
        return np.zeros(len(table), np.bool_)

    def reason(self, request: Request) -> str:
        return 'without any ' + ', '.join(request.unknown_classes)
