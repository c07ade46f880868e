"""What older versions of the Compute API do with a network service for its users: floating addresses.

What is here is a service without an external network.
"""
from __future__ import annotations

import dataclasses

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.objects import Instance


@dataclasses.dataclass(slots=True, frozen=True)
class FloatingAddress:
    """`pool` is the name of its network; `instance_uuid` has the port that it leads to."""

    id: str
    address: str
    pool: str
    fixed_address: str | None = None
    instance_uuid: str | None = None


class Proxies:

    def pools(self, context: RequestContext) -> list[str]:
        return []

    def addresses(self, context: RequestContext) -> list[FloatingAddress]:
        return []

    def address(self, context: RequestContext, identity: str) -> FloatingAddress:
        raise exception.NotFound(f'Floating IP not found for ID {identity[:64]}')

    def find_address(self, context: RequestContext, address: str) -> FloatingAddress:
        raise exception.NotFound(f'Floating IP not found for address {address}.')

    def allocate(self, context: RequestContext, pool: str | None) -> FloatingAddress:
        """Raises NotFound for a pool that is not there or is empty, Forbidden over quota."""
        raise exception.NotFound('Floating IP pool not found.')

    def release(self, context: RequestContext, identity: str) -> None:
        self.address(context, identity)

    def associate(self, context: RequestContext, instance: Instance, address: str, fixed: str | None) -> None:
        """It leads to one of the server's addresses, by default the first. Raises NotFound."""
        raise exception.NotFound('floating IP not found')

    def disassociate(self, context: RequestContext, found: FloatingAddress) -> None:
        raise exception.NotFound('floating IP not found')
