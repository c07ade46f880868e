"""What Neutron says of ports, as the cards of a server: in a constant number of calls, however many there are."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from minicompute import exception
from minicompute.conf import CONF
from minicompute.network.neutron.client import Client, Document
from minicompute.objects import VIF, FixedIP, Subnet

HOST, PROFILE, VNIC_TYPE = 'binding:host_id', 'binding:profile', 'binding:vnic_type'
VIF_TYPE, VIF_DETAILS = 'binding:vif_type', 'binding:vif_details'
BINDING_FAILED, UNBOUND = 'binding_failed', 'unbound'
ACTIVE = 'ACTIVE'
#: of a card's details: what `bound` takes from a binding, beside `vif_details`
_FROM_DETAILS = ('ovs_hybrid_plug', 'port_filter', 'datapath_type', 'connectivity', 'vhostuser_socket',
                 'vhostuser_mode', 'vlan', 'physical_network')


def build(client: Client, ports: Sequence[Document], known: Sequence[VIF] = ()) -> list[VIF]:
    """The cards of these ports, those of `known` first and in their order, with their tags."""
    if not ports:
        return []
    networks = {one['id']: one for one in client.among(
        'networks', 'id', (port['network_id'] for port in ports), fields=['id', 'name', 'mtu'])}
    subnets = {one['id']: _subnet(one) for one in client.among(
        'subnets', 'id', (ip['subnet_id'] for port in ports for ip in port['fixed_ips']))}
    floating = _floating(client, ports)
    groups = _groups(client, ports)
    before = {card.id: card for card in known}
    place = {card.id: number for number, card in enumerate(known)}
    made = [_card(port, networks.get(port['network_id'], {}), subnets, floating[port['id']], groups,
                  before.get(port['id'])) for port in ports]
    return sorted(made, key=lambda card: place.get(card.id, len(place)))    # stable: the rest as Neutron has them


def _card(port: Document, network: Document, subnets: dict[str, Subnet], floating: dict[str, list[str]],
          groups: dict[str, str], before: VIF | None) -> VIF:
    card = VIF(
        id=port['id'], network_id=port['network_id'], network_name=network.get('name') or '',
        mac_address=port['mac_address'], mtu=network.get('mtu') or None, active=port.get('status') == ACTIVE,
        tag=before.tag if before else None, preserve_on_delete=before.preserve_on_delete if before else False,
        subnets=[subnets[one] for one in dict.fromkeys(ip['subnet_id'] for ip in port['fixed_ips'])
                 if one in subnets],
        fixed_ips=[FixedIP(address=ip['ip_address'], subnet_id=ip['subnet_id'], version=_version(ip['ip_address']),
                           floating_ips=floating.get(ip['ip_address'], [])) for ip in port['fixed_ips']])
    return bound(card, {
        'host': port.get(HOST), 'vif_type': port.get(VIF_TYPE), 'vif_details': port.get(VIF_DETAILS),
        'vnic_type': port.get(VNIC_TYPE), 'profile': port.get(PROFILE)},
        security_groups=[groups.get(one, one) for one in port.get('security_groups') or ()])


def bound(card: VIF, binding: Document, **more: Any) -> VIF:
    """`card` is plugged as this binding says, and its details are what it says and `more`."""
    said = binding.get('vif_details') or {}
    details = {name: said[name] for name in _FROM_DETAILS if name in said}
    details['port_filter'] = bool(said.get('port_filter'))
    details.update(more, host=binding.get('host') or '', vnic_type=binding.get('vnic_type') or 'normal',
                   profile=binding.get('profile') or {})
    card.kind = binding.get('vif_type') or UNBOUND
    if card.kind == 'ovs':
        details['bridge'] = said.get('bridge_name') or CONF.neutron.ovs_bridge
    elif card.kind == 'bridge':
        details['bridge'] = said.get('bridge_name') or ('brq' + card.network_id)[:14]
    card.details = details
    return card


def check_bound(ports: Sequence[Document]) -> None:
    """Raises PortBindingFailed."""
    for port in ports:
        if port.get(VIF_TYPE) == BINDING_FAILED:
            raise exception.PortBindingFailed(port_id=port['id'])


def _version(address: str) -> int:
    return 6 if ':' in address else 4


def _subnet(one: Document) -> Subnet:
    return Subnet(id=one['id'], cidr=one['cidr'], version=one['ip_version'], gateway=one.get('gateway_ip') or None,
                  dns=list(one.get('dns_nameservers') or ()), dhcp=bool(one.get('enable_dhcp')),
                  routes=[{'destination': route['destination'], 'nexthop': route['nexthop']}
                          for route in one.get('host_routes') or ()],
                  ipv6_address_mode=one.get('ipv6_address_mode'))


def _floating(client: Client, ports: Sequence[Document]) -> dict[str, dict[str, list[str]]]:
    """{port: {fixed address: floating ones}}"""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    try:
        for one in client.among('floatingips', 'port_id', (port['id'] for port in ports)):
            found[one['port_id']][one['fixed_ip_address']].append(one['floating_ip_address'])
    except exception.NotFound:
        pass    # a Neutron without routers
    return found


def _groups(client: Client, ports: Sequence[Document]) -> dict[str, str]:
    """{id: name}"""
    ids = {one for port in ports for one in port.get('security_groups') or ()}
    return {one['id']: one['name'] for one in client.among('security-groups', 'id', ids, fields=['id', 'name'])}
