"""A network of libvirt's own: a bridge with NAT, DHCP and DNS."""
from __future__ import annotations

import dataclasses

from minicompute.virt.libvirt.config.base import Element, element


@dataclasses.dataclass(slots=True)
class DhcpHost:
    mac: str
    address: str
    name: str | None = None

    def xml(self) -> Element:
        return element('host', mac=self.mac, ip=self.address, name=self.name)


@dataclasses.dataclass(slots=True)
class NatNetwork:
    """DHCP answers only the hosts that it is told of, so there is no range."""

    name: str
    bridge: str
    gateway: str
    prefix: int
    forward: str = 'nat'
    mtu: int | None = None
    dns: list[str] = dataclasses.field(default_factory=list)
    hosts: list[DhcpHost] = dataclasses.field(default_factory=list)

    def xml(self) -> Element:
        return element(
            'network',
            element('name', text=self.name),
            element('forward', mode=self.forward) if self.forward != 'none' else None,
            element('bridge', name=self.bridge, stp='off', delay=0),
            element('mtu', size=self.mtu) if self.mtu else None,
            element('dns', *(element('forwarder', addr=address) for address in self.dns))
            if self.dns
            else None,
            element(
                'ip',
                element('dhcp', *(host.xml() for host in self.hosts)) if self.hosts else None,
                address=self.gateway,
                prefix=self.prefix,
            ),
        )
