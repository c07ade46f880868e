"""What we ask of a network service, Neutron or the local networks.

`requested` is `RequestSpec.requested_networks`: [] when the request named none (below 2.37),
[{'mode': 'none'}], [{'mode': 'auto'}], or one dict a network card with `id` (of a network) or `port`, and
perhaps `fixed_ip` and `tag`.
"""
from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from typing import Any

from stevedore import driver as stevedore_driver

from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.network.security import SecurityGroups
from minicompute.objects import VIF, Instance, Network

NAMESPACE = 'minicompute.network.backends'

Requested = list[dict[str, Any]]


class NetworkBackend(SecurityGroups, abc.ABC):
    """All raise only exceptions with a 4xx code for what the request got wrong."""

    @abc.abstractmethod
    def validate(self, context: RequestContext, requested: Requested, count: int) -> None:
        """Before a request for `count` servers is accepted: will it find its networks, as far as can be
        known? Changes nothing."""

    @abc.abstractmethod
    def allocate(self, context: RequestContext, instance_uuid: str, project_id: str, host: str | None,
                 requested: Requested, *, groups: Sequence[str] = ()) -> list[VIF]:
        """The server's cards, in the order of the request. A second call gives the same cards, and moves
        them to `host`. `groups`: ids of security groups, as `find_groups` gives them, for the cards that are made."""

    @abc.abstractmethod
    def deallocate(self, context: RequestContext, instance_uuid: str) -> None:
        """Give back all that a server holds; nothing held is fine. Ports made by hand stay, unbound."""

    @abc.abstractmethod
    def resolve_one(self, context: RequestContext, project_id: str, item: dict[str, Any]) -> Any:
        """What `item` (`id` or `port`, perhaps `fixed_ip` and `tag`; {}: the only network there is) means, for
        `reserve_port`. Raises NetworkNotFound, PortNotFound, NetworkAmbiguous, NoNetworkToAttach, FixedIpInvalid."""

    @abc.abstractmethod
    def reserve_port(self, conn: Any, resolved: Any, instance: Instance) -> str:
        """One more card for a server, in the caller's transaction. -> the port's id.
        Raises Conflict for a port that is in use, FixedIpInUse, NoMoreFixedIps."""

    @abc.abstractmethod
    def release_port(self, conn: Any, port_id: str, instance_uuid: str) -> None:
        """Give back one card of a server, in the caller's transaction; no such card is fine. A port made by hand
        stays."""

    @abc.abstractmethod
    def network_info(self, context: RequestContext, instance_uuid: str) -> list[VIF]:
        """The cards that a server holds now."""

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
