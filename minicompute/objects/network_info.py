from __future__ import annotations

import dataclasses
from typing import Any

from minicompute.objects.base import record


@record
class Subnet:
    """The part of a network that an address comes from."""

    id: str
    cidr: str
    version: int = 4
    gateway: str | None = None
    dns: list[str] = dataclasses.field(default_factory=list)
    dhcp: bool = True
    #: of the subnet itself: {'destination', 'nexthop'}
    routes: list[dict[str, str]] = dataclasses.field(default_factory=list)
    #: slaac, dhcpv6-stateful, dhcpv6-stateless
    ipv6_address_mode: str | None = None


@record
class FixedIP:
    address: str
    subnet_id: str
    version: int = 4
    floating_ips: list[str] = dataclasses.field(default_factory=list)


@record
class VIF:
    """One network card of a server, whatever backend made it.

    `kind` says how the driver plugs it: 'bridge' (a bridge of the host named in `details['bridge']`),
    'network' (libvirt's own network named in `details['libvirt_network']`), 'ovs' (a bridge of Open vSwitch, the same;
    `details['ovs_hybrid_plug']`: behind a Linux bridge), or what else Neutron calls it. `active`: the network service
    has done its part.
    """

    id: str
    network_id: str
    network_name: str
    mac_address: str
    kind: str = 'bridge'
    mtu: int | None = None
    tag: str | None = None
    active: bool = True
    preserve_on_delete: bool = False
    subnets: list[Subnet] = dataclasses.field(default_factory=list)
    fixed_ips: list[FixedIP] = dataclasses.field(default_factory=list)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def devname(self) -> str:
        """Name of the tap device on the host: 14 characters at most."""
        return ('tap' + self.id)[:14]


def addresses(network_info: list[VIF]) -> list[str]:
    """All fixed addresses of a server, in the order of its cards."""
    return [ip.address for vif in network_info for ip in vif.fixed_ips]
