"""A filter of libvirt's network filter driver: what a card may be sent and may send."""
from __future__ import annotations

import dataclasses
import ipaddress
import uuid
from typing import Any

from minicompute.virt.libvirt.config.base import Element, element

#: a filter that is defined anew keeps its uuid, or libvirt refuses it
_IDS = uuid.UUID('5f0d3f6e-0a8a-5c0e-9a53-6d696e696370')
_WAYS = {'ingress': 'in', 'egress': 'out'}
#: Neutron's names and numbers of protocols -> libvirt's elements; of the rest nothing passes
_PROTOCOLS = {'tcp': 'tcp', '6': 'tcp', 'udp': 'udp', '17': 'udp', 'icmp': 'icmp', '1': 'icmp', 'igmp': 'igmp',
              '2': 'igmp', 'esp': 'esp', '50': 'esp', 'ah': 'ah', '51': 'ah', 'sctp': 'sctp', '132': 'sctp',
              'udplite': 'udplite', '136': 'udplite'}
_WITH_PORTS = ('tcp', 'udp', 'sctp')
DHCP, RULE, REST = 100, 500, 1000


@dataclasses.dataclass(slots=True)
class NetworkFilter:
    """`base` is the filter that keeps the card from lying; `rules` as in `ComputeDriver.keep_firewalls`. Answers to
    what was let through pass, too: libvirt's rules for protocols keep track of connections."""

    name: str
    base: str | None
    rules: list[list[Any]]

    def xml(self) -> Element:
        rules = [found for rule in self.rules if (found := _rule(*rule)) is not None]
        return element(
            'filter', element('uuid', text=uuid.uuid5(_IDS, self.name)),
            element('filterref', filter=self.base) if self.base else None,
            _accept('out', element('udp', srcportstart=68, dstportstart=67), DHCP),
            _accept('in', element('udp', srcportstart=67, dstportstart=68), DHCP),
            *rules,
            element('rule', element('all'), action='drop', direction='inout', priority=REST),
            # Frames, so that it holds whatever the kernel hands to ip6tables; `base` may be nothing.
            element('rule', element('mac', protocolid='ipv6'), action='drop', direction='inout', priority=REST),
            name=self.name, chain='root')


def _accept(way: str, what: Element, priority: int = RULE) -> Element:
    return element('rule', what, action='accept', direction=way, priority=priority)


def _rule(direction: str, protocol: str | None, least: int | None, greatest: int | None,
          prefix: str | None) -> Element | None:
    kind = 'all' if protocol is None else _PROTOCOLS.get(protocol)
    if kind is None:
        return None
    said: dict[str, Any] = {}
    if prefix is not None:
        network, side = ipaddress.ip_network(prefix, strict=False), 'src' if direction == 'ingress' else 'dst'
        said |= {f'{side}ipaddr': network.network_address, f'{side}ipmask': network.prefixlen}
    if kind == 'icmp':
        said |= {'type_': least, 'code': greatest}
    elif kind in _WITH_PORTS and least is not None:
        said |= {'dstportstart': least, 'dstportend': greatest if greatest is not None else least}
    elif least is not None:
        return None    # it would open all ports
    return _accept(_WAYS[direction], element(kind, **said))
