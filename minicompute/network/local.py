"""Networks without Neutron: rows in the database; libvirt's own networks do NAT and DHCP on the hosts.

A conductor that allocates inside its own transaction, for many servers at once, takes the parts:

    cards = backend.resolve(context, project_id, requested)             # reads; makes `auto`'s network
    requests = [r for each server for r in port_requests(cards, instance_uuid, project_id, host)]
    ports = db.api.networks.allocate_ports(conn, requests)              # in the transaction
    cards = vifs(conn, [card.network for card in cards], ports)
"""
from __future__ import annotations

import dataclasses
import ipaddress
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import networks as db
from minicompute.db.api import security_groups as security
from minicompute.network.base import Accepted, NetworkBackend, Requested
from minicompute.network.local_security import LocalSecurityGroups, checked
from minicompute.network.proxies import Proxies
from minicompute.objects import VIF, FixedIP, Instance, Network, Port, Subnet

#: ids of the networks that `auto` makes are derived from the project's, so that a project gets one only
_AUTO = uuid.UUID('7e0c2d0a-6a0b-5d57-9a6e-6d696e696370')


@dataclasses.dataclass(slots=True, frozen=True)
class Card:
    """One network card that a request asks for, its network found."""

    network: Network
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class LocalNetworks(LocalSecurityGroups, NetworkBackend):

    transactional = True

    proxies = Proxies()

    def validate(self, context: RequestContext, requested: Requested, count: int) -> Accepted:
        if count > 1 and any(item.get('fixed_ip') for item in requested):
            raise exception.Invalid('Invalid fixed IP and max_count: max_count cannot be greater than 1 '
                                    'if a fixed_ip is specified.')
        if count > 1 and any(item.get('port') for item in requested):
            raise exception.Invalid('Unable to launch multiple instances with a single configured port ID. '
                                    'Please launch your instance one by one with different ports.')
        project_id = str(context.project_id)
        cards = self._cards(context, project_id, requested)
        if cards is None:
            self._check_auto(project_id)
        else:
            with session.read() as conn:
                for card in cards:
                    _check_free(conn, card)
        return Accepted(requested, count)

    def resolve(self, context: RequestContext, project_id: str, requested: Requested) -> list[Card]:
        """The cards of each server of a request. `auto` makes the project's network if there is none."""
        cards = self._cards(context, project_id, requested)
        return [Card(self.make_auto_network(project_id))] if cards is None else cards

    def allocate(self, context: RequestContext, instance_uuid: str, project_id: str, host: str | None,
                 requested: Requested, *, zone: str | None = None, hostname: str | None = None,
                 groups: Sequence[str] = ()) -> list[VIF]:
        cards = self.resolve(context, project_id, requested)
        named = [] if list(groups) == [security.default_id(project_id)] else list(groups)
        requests = port_requests(cards, instance_uuid, project_id, host, named or None)

        def write(conn: sa.Connection) -> tuple[list[Port], list[VIF]]:
            if named:
                checked(conn, project_id, named)
            ports = db.allocate_ports(conn, requests)
            # What a first server costs: no look at groups that nobody has made or changed.
            touched = any(port.security_groups is not None for port in ports)
            found = [card.network for card in cards]
            return ports, vifs(conn, found, ports, strict=True) if touched else [
                vif(network, port) for network, port in zip(found, ports, strict=True)]
        ports, found = session.write(write)
        self.came(ports)
        return found

    def deallocate(self, context: RequestContext, instance_uuid: str, keep: Collection[str] = (), *,
                   project_id: str | None = None) -> None:
        session.write(db.release_ports, [instance_uuid])

    def resolve_one(self, context: RequestContext, project_id: str, item: dict[str, Any]) -> Card:
        cards = self._cards(context, project_id, [item] if item.get('id') or item.get('port') else [])
        if not cards:
            raise exception.NoNetworkToAttach(project_id=project_id)
        return dataclasses.replace(cards[0], tag=item.get('tag'))

    def reserve_port(self, conn: sa.Connection, resolved: Card, instance: Instance) -> str:
        if resolved.port_id is not None:
            _check_free(conn, resolved)     # also for a second time on the same server
        request = db.PortRequest(
            id=resolved.port_id or db.port_id(instance.uuid, str(uuid.uuid4())), network_id=resolved.network.id,
            project_id=instance.project_id, instance_uuid=instance.uuid, host=instance.host,
            address=resolved.fixed_ip, tag=resolved.tag, existing=resolved.port_id is not None)
        return db.allocate_ports(conn, [request])[0].id

    def release_port(self, conn: sa.Connection, port_id: str, instance_uuid: str) -> None:
        db.release_port(conn, port_id, instance_uuid)

    def network_info(self, context: RequestContext, instance_uuid: str, known: Sequence[VIF] = (), *,
                     project_id: str | None = None) -> list[VIF]:
        with session.read() as conn:
            ports = db.list_ports(conn, {'instance_uuid': [instance_uuid]})
            found = {n.id: n for n in db.list_networks(conn, {'id': [port.network_id for port in ports]})}
            return vifs(conn, [found[port.network_id] for port in ports], ports)

    def show(self, context: RequestContext, network_id: str) -> Network:
        with session.read() as conn:
            network = db.get_network(conn, network_id)
        if network is None or not (context.is_admin or usable(network, context.project_id)):
            raise exception.NetworkNotFound(network_id=network_id)
        return network

    def list_networks(self, context: RequestContext) -> list[Network]:
        with session.read() as conn:
            return db.list_networks(conn, visible_to=context.project_id or '')

    # -- which networks ------------------------------------------------------

    def _cards(self, context: RequestContext, project_id: str, requested: Requested) -> list[Card] | None:
        """None: `auto`, and the project has no network yet."""
        mode = requested[0].get('mode') if requested else 'any'
        if mode == 'none':
            return []
        if mode is None:
            return [self._card(context, project_id, item) for item in requested]
        with session.read() as conn:
            found = [network for network in db.list_networks(conn, visible_to=project_id) if network.cidr]
        if len(found) > 1:
            raise exception.NetworkAmbiguous
        if found:
            return [Card(found[0])]
        return None if mode == 'auto' else []

    def _card(self, context: RequestContext, project_id: str, item: dict[str, Any]) -> Card:
        tag = item.get('tag')
        if item.get('port'):
            with session.read() as conn:
                port = next(iter(db.list_ports(conn, {'id': [item['port']]})), None)
                network = port and db.get_network(conn, port.network_id)
            if not port or not network or not (context.is_admin or port.project_id == project_id):
                raise exception.PortNotFound(port_id=item['port'])
            return Card(_with_subnet(network), port_id=port.id, tag=tag)
        network = self.show(context, item['id'])
        card = Card(_with_subnet(network), fixed_ip=item.get('fixed_ip'), tag=tag)
        if card.fixed_ip is not None:
            card = dataclasses.replace(card, fixed_ip=checked_address(network, card.fixed_ip))
        return card

    # -- auto ----------------------------------------------------------------

    def make_auto_network(self, project_id: str) -> Network:
        """The project's network, cut from `[local_networks] default_cidr`. Two callers make one."""
        network = new_network(name='auto_allocated_network', project_id=project_id, shared=False,
                              network_id=str(uuid.uuid5(_AUTO, project_id)))
        session.write(db.insert_network, network)
        try:
            wanted = dataclasses.replace(network, subnet_id=str(uuid.uuid4()),
                                         subnet_name='auto_allocated_subnet')
            return session.write(db.set_subnet, wanted, cut_from=CONF.local_networks.default_cidr)
        except exception.NetworkExists:
            with session.read() as conn:
                made = db.get_network(conn, network.id)
            if made is not None and made.cidr:
                return made    # the other caller's
            raise exception.UnableToAutoAllocateNetwork(project_id=project_id) from None

    def _check_auto(self, project_id: str) -> None:
        with session.read() as conn:
            if db.free_block(conn, CONF.local_networks.default_cidr) is None:
                raise exception.UnableToAutoAllocateNetwork(project_id=project_id)


def _check_free(conn: sa.Connection, card: Card) -> None:
    if card.port_id is not None:
        port = next(iter(db.list_ports(conn, {'id': [card.port_id]})), None)
        if port is None:        # its user has deleted it meanwhile
            raise exception.PortNotFound(port_id=card.port_id)
        if port.instance_uuid is not None:
            raise exception.Conflict(f'Port {port.id} is still in use.')
    elif card.fixed_ip is not None:
        db.refuse_taken(conn, card.network.id, [card.fixed_ip])


def usable(network: Network, project_id: str | None) -> bool:
    return network.shared or (project_id is not None and network.project_id == project_id)


def _with_subnet(network: Network) -> Network:
    if not network.cidr:
        raise exception.NetworkRequiresSubnet(network_uuid=network.id)
    return network


def checked_address(network: Network, address: str) -> str:
    """The address in its one spelling. Raises FixedIpInvalid."""
    try:
        found = ipaddress.IPv4Address(address)
    except ValueError:
        raise exception.FixedIpInvalid(address=address[:64], network_id=network.id,
                                       reason='it is not an IPv4 address') from None
    block = ipaddress.IPv4Network(network.cidr)
    reason = None
    if found not in block:
        reason = f'it is not in {block}'
    elif str(found) == network.gateway:
        reason = 'it is the gateway'
    elif found in (block.network_address, block.broadcast_address):
        reason = f'no host of {block} may have it'
    if reason:
        raise exception.FixedIpInvalid(address=address, network_id=network.id, reason=reason)
    return str(found)


def new_network(*, name: str, project_id: str | None, shared: bool, kind: str = 'nat',
                bridge: str | None = None, mtu: int = 1500, network_id: str | None = None) -> Network:
    """A network without a subnet, not yet in the database."""
    network_id = network_id or str(uuid.uuid4())
    return Network(id=network_id, name=name, project_id=project_id, shared=shared, kind=kind, mtu=mtu,
                   bridge=bridge or CONF.local_networks.bridge_prefix + network_id[:8],
                   cidr='', gateway='', range_start='', range_end='', subnet_id='')


# -- for the conductor ---------------------------------------------------------

def port_requests(cards: Sequence[Card], instance_uuid: str, project_id: str | None,
                  host: str | None, security_groups: list[str] | None = None) -> list[db.PortRequest]:
    """One server's. Its card number n has always the same id, so that a step that runs twice gets it once."""
    return [db.PortRequest(id=card.port_id or db.port_id(instance_uuid, str(number)),
                           network_id=card.network.id, project_id=project_id, instance_uuid=instance_uuid,
                           host=host, address=card.fixed_ip, tag=card.tag, existing=card.port_id is not None,
                           security_groups=security_groups)
            for number, card in enumerate(cards)]


def vifs(conn: sa.Connection, found: Sequence[Network], ports: Sequence[Port], *, strict: bool = False) -> list[VIF]:
    """The cards that these ports of these networks are, with what they may be sent and may send. `strict`: raises
    OverQuota when that is too much to be kept."""
    groups = security.of_ports(conn, ports) if ports else {}
    walls = security.firewalls(conn, groups, strict=strict)
    cards = [vif(network, port) for network, port in zip(found, ports, strict=True)]
    for card, port in zip(cards, ports, strict=True):
        security.describe(card.details, port.security_groups, groups[port.id], walls[port.id])
    return cards


def vif(network: Network, port: Port) -> VIF:
    """What the driver plugs. Only a NAT network has our DHCP; on a bridge somebody else gives addresses, or
    the config drive does."""
    nat = network.kind == 'nat'
    gateway = network.gateway or None
    # libvirt's dnsmasq answers names at the gateway.
    dns = network.dns or ([network.gateway] if nat and gateway else [])
    details: dict[str, Any] = {'bridge': network.bridge}
    if nat:
        details.update(libvirt_network=f'minicompute-{network.id[:8]}', gateway=gateway, cidr=network.cidr,
                       prefix=ipaddress.ip_network(network.cidr).prefixlen, dns=dns, forward='nat')
    return VIF(id=port.id, network_id=network.id, network_name=network.name, mac_address=port.mac_address,
               kind='network' if nat else 'bridge', mtu=network.mtu, tag=port.tag,
               preserve_on_delete=not db.made_for_server(port), details=details,
               subnets=[Subnet(id=network.subnet_id, cidr=network.cidr, gateway=gateway, dns=list(dns),
                               dhcp=nat)],
               fixed_ips=[FixedIP(address=port.address, subnet_id=network.subnet_id)])
