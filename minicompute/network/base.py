"""What we ask of a network service, Neutron or the local networks.

`requested` is `RequestSpec.requested_networks`: [] when the request named none (below 2.37),
[{'mode': 'none'}], [{'mode': 'auto'}], or one dict a network card with `id` (of a network) or `port`, and
perhaps `fixed_ip` and `tag`.

A backend is `transactional` when its records are in our database: then ports change hands in the caller's transaction
(`reserve_port`, `release_port`). The records of another service do so in a step of a flow (`make_port`, `drop_port`,
`bind`), which may run again and finds what it did before.
"""
from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import Any

from stevedore import driver as stevedore_driver

from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.network.proxies import Proxies
from minicompute.network.security import SecurityGroups
from minicompute.objects import VIF, Instance, Network

NAMESPACE = 'minicompute.network.backends'

Requested = list[dict[str, Any]]


@dataclasses.dataclass(slots=True, frozen=True)
class Accepted:
    """What a request for servers may have: `count` of them, with `requested` as their flows shall read it."""

    requested: Requested
    count: int


@dataclasses.dataclass(slots=True, frozen=True)
class Looked:
    """At the cards of some servers, by server; `gone`: of those in their records, the ports that are nobody's any more,
    for they are deleted."""

    cards: dict[str, list[VIF]]
    gone: frozenset[str]


class NetworkBackend(SecurityGroups, abc.ABC):
    """All raise only exceptions with a 4xx code for what the request got wrong, and NeighbourUnavailable."""

    transactional = False
    #: for what older versions of the API do for users
    proxies: Proxies

    def check(self) -> None:
        """As `VolumeBackend.check`."""
        return

    @abc.abstractmethod
    def validate(self, context: RequestContext, requested: Requested, count: int) -> Accepted:
        """Before a request for up to `count` servers is accepted: will it find its networks, as far as can be
        known? Changes nothing."""

    @abc.abstractmethod

    @abc.abstractmethod
    def allocate(self, context: RequestContext, instance_uuid: str, project_id: str, host: str | None,
                 requested: Requested, *, zone: str | None = None, hostname: str | None = None,
                 groups: Sequence[str] = ()) -> list[VIF]:
        """The server's cards, in the order of the request. A second call gives the same cards, and moves
        them to `host`. Raises PortBindingFailed when this host cannot have them."""

    @abc.abstractmethod
    def deallocate(self, context: RequestContext, instance_uuid: str, keep: Collection[str] = (), *,
                   project_id: str | None = None) -> None:
        """Give back all that a server of this project holds; nothing held is fine. Ports made by hand stay, unbound: a
        backend that does not know which those are is told by `keep`."""

    @abc.abstractmethod
    def resolve_one(self, context: RequestContext, project_id: str, item: dict[str, Any]) -> Any:
        """What `item` (`id` or `port`, perhaps `fixed_ip` and `tag`; {}: the only network there is) means, for
        `reserve_port`. Raises NetworkNotFound, PortNotFound, NetworkAmbiguous, NoNetworkToAttach, FixedIpInvalid."""

    @abc.abstractmethod
    def network_info(self, context: RequestContext, instance_uuid: str, known: Sequence[VIF] = (), *,
                     project_id: str | None = None) -> list[VIF]:
        """The cards that a server of this project holds now. Of `known`, what its record says, come the order and what
        only we know. Where anybody may say of a port of his own whose it is, those of other projects are none."""

    # -- of a transactional backend

    def reserve_port(self, conn: Any, resolved: Any, instance: Instance) -> str:
        """One more card for a server, in the caller's transaction. -> the port's id.
        Raises Conflict for a port that is in use, FixedIpInUse, NoMoreFixedIps."""
        raise NotImplementedError

    def release_port(self, conn: Any, port_id: str, instance_uuid: str) -> None:
        """Give back one card of a server, in the caller's transaction; no such card is fine. A port made by hand
        stays."""
        raise NotImplementedError

    # -- of a backend whose records are another service's: each may be asked again

    def make_port(self, context: RequestContext, instance: Instance, resolved: Any) -> VIF:
        """One more card for a server, beside those of its record. Raises as `reserve_port`, and PortBindingFailed."""
        raise NotImplementedError

    def drop_port(self, context: RequestContext, instance_uuid: str, port_id: str, *, keep: bool) -> None:
        """Give back one card of a server; no such card is fine. `keep`: it was made by hand, and is unbound only."""
        raise NotImplementedError

    def bind(self, context: RequestContext, instance: Instance, host: str) -> list[VIF]:
        """The server's cards, those of its record, all of them bound to `host`. Raises PortBindingFailed."""
        raise NotImplementedError

    def park(self, context: RequestContext, instance: Instance) -> list[VIF]:
        """The server's cards, those of its record, which it keeps while it is on no host: bound to none."""
        raise NotImplementedError

    def states(self, context: RequestContext, instance_uuids: Collection[str]) -> dict[str, str]:
        """{port: ACTIVE, DOWN, ...} of all cards of these servers: ACTIVE, once its host has plugged it and the
        network service has done its part."""
        return {}

    def look(self, context: RequestContext, servers: Sequence[Instance]) -> Looked:
        """What `network_info` says of each of them, in a number of calls that does not grow with theirs."""
        raise NotImplementedError

    def bind_also(self, context: RequestContext, instance: Instance, host: str) -> list[VIF]:
        """The cards as `host` will have them once `switch_binding` says so; until then they stay where they are."""
        raise NotImplementedError

    def switch_binding(self, context: RequestContext, instance: Instance, host: str) -> None:
        """The cards are those of `host`, for which `bind_also` prepared them."""
        raise NotImplementedError

    def unbind(self, context: RequestContext, instance: Instance, host: str) -> None:
        """`host` has the cards no longer, or will not. Those that only it has stay bound to it."""
        raise NotImplementedError

    # -- for users

    @abc.abstractmethod
    def show(self, context: RequestContext, network_id: str) -> Network:
        """Raises NetworkNotFound also for a network that the caller may not see."""

    @abc.abstractmethod
    def list_networks(self, context: RequestContext) -> list[Network]:
        """Those that the caller's servers may use: the project's and the shared ones."""


def load() -> NetworkBackend:
    """The backend that [DEFAULT] network_backend names, one a process."""
    return _load(CONF.network_backend)


@functools.cache
def _load(name: str) -> NetworkBackend:
    manager: Any = stevedore_driver.DriverManager(NAMESPACE, name, invoke_on_load=True)
    backend: NetworkBackend = manager.driver
    return backend
