"""What [DEFAULT] network_backend = neutron loads.

    the api         as the user: what he may see, his quota, his security groups
    the conductor   as the service user, with the project named: ports, bindings, what the record of a server keeps

Flows call it between transactions, and each call may be made again; reads of the API never do: they answer from the
record, which `network_info` fills.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from minicompute import exception, service_auth
from minicompute.context import RequestContext
from minicompute.network.base import Accepted, Looked, NetworkBackend, Requested
from minicompute.network.neutron import cards, choice, ports
from minicompute.network.neutron.client import Client, Document
from minicompute.network.neutron.groups import NeutronSecurityGroups
from minicompute.network.neutron.proxies import NeutronProxies
from minicompute.objects import VIF, Instance, Network
from minicompute.service_auth import path


class NeutronNetworks(NeutronSecurityGroups, NetworkBackend):

    proxies = NeutronProxies()

    def check(self) -> None:
        service_auth.require('neutron')

    # -- before a request is accepted --------------------------------------------------------------

    def validate(self, context: RequestContext, requested: Requested, count: int) -> Accepted:
        return choice.accept(Client(context), context, str(context.project_id), requested, count)

    def resolve_one(self, context: RequestContext, project_id: str, item: dict[str, Any]) -> dict[str, Any]:
        client = Client(context)
        if not item.get('id') and not item.get('port'):
            found = choice.accept(client, context, project_id, [], 1).requested
            if not found:
                raise exception.NoNetworkToAttach(project_id=project_id)
            return {**item, **found[0]}
        asked = {name: item[name] for name in ('id', 'port', 'fixed_ip', 'tag') if item.get(name)}
        return choice.check(client, context, project_id, [asked])[0]

    # -- the cards of a server -----------------------------------------------------------------------

    def allocate(self, context: RequestContext, instance_uuid: str, project_id: str, host: str | None,
                 requested: Requested, *, zone: str | None = None, hostname: str | None = None,
                 groups: Sequence[str] = ()) -> list[VIF]:
        client = Client()
        wanted = choice.resolve(client, project_id, requested)
        owner = ports.Owner(instance_uuid, project_id, host, zone, hostname, groups)
        found = ports.settle(client, owner, wanted)
        made = {card.id: card for card in cards.build(client, found)}
        return [_ours(made[port['id']], one) for port, one in zip(found, wanted, strict=True)]

    def deallocate(self, context: RequestContext, instance_uuid: str, keep: Collection[str] = (), *,
                   project_id: str | None = None) -> None:
        ports.give_back(Client(), instance_uuid, project_id, keep)

    def make_port(self, context: RequestContext, instance: Instance, resolved: Any) -> VIF:
        """A port of the server that its record does not know is what an earlier try has made."""
        client, one, known = Client(), choice.wanted(resolved), {card.id for card in instance.network_info}
        owner = _owner(instance)
        if one.port is None:
            left = [port for port in ports.of_server(client, instance.uuid, instance.project_id)
                    if port['id'] not in known]
            same = ports.match(left, one)
            one = dataclasses.replace(one, port=same['id']) if same else one
        try:
            port = ports.settle_one(client, owner, one)
        except exception.FixedIpInUse as error:     # a server that is there clashes; a new one asks for what cannot be
            raise exception.Conflict(error.message) from None
        return _ours(cards.build(client, [port])[0], choice.wanted(resolved))

    def drop_port(self, context: RequestContext, instance_uuid: str, port_id: str, *, keep: bool) -> None:
        client = Client()
        try:
            port: Document = client.get(path('ports', port_id))['port']
        except exception.NotFound:
            return
        if port.get('device_id') == instance_uuid:
            ports.drop(client, port, keep=keep)

    def network_info(self, context: RequestContext, instance_uuid: str, known: Sequence[VIF] = (), *,
                     project_id: str | None = None) -> list[VIF]:
        client = Client()
        return cards.build(client, ports.of_server(client, instance_uuid, project_id), known)

    def states(self, context: RequestContext, instance_uuids: Collection[str]) -> dict[str, str]:
        found = Client().among('ports', 'device_id', instance_uuids, fields=['id', 'status'])
        return {port['id']: str(port['status']) for port in found}

    def look(self, context: RequestContext, servers: Sequence[Instance]) -> Looked:
        client = Client()
        known = [card for one in servers for card in one.network_info]
        found = ports.of_servers(client, {one.uuid: one.project_id for one in servers})
        owner = {port['id']: str(port['device_id']) for port in found}
        made: dict[str, list[VIF]] = {one.uuid: [] for one in servers}
        for card in cards.build(client, found, known):
            made[owner[card.id]].append(card)
        missing = {card.id for card in known} - set(owner)
        there = client.among('ports', 'id', missing, fields=['id'])
        return Looked(made, frozenset(missing - {port['id'] for port in there}))

    # -- where they are ------------------------------------------------------------------------------

    def bind(self, context: RequestContext, instance: Instance, host: str) -> list[VIF]:
        client = Client()
        owner = dataclasses.replace(_owner(instance), host=host)
        mine = {card.id for card in instance.network_info}
        return cards.build(client, ports.bind(client, owner, mine), instance.network_info)

    def park(self, context: RequestContext, instance: Instance) -> list[VIF]:
        client = Client()
        owner = dataclasses.replace(_owner(instance), host=None)
        mine = {card.id for card in instance.network_info}
        return cards.build(client, ports.bind(client, owner, mine), instance.network_info)

    def bind_also(self, context: RequestContext, instance: Instance, host: str) -> list[VIF]:
        return ports.bind_also(Client(), instance.network_info, host)

    def switch_binding(self, context: RequestContext, instance: Instance, host: str) -> None:
        ports.switch(Client(), instance.network_info, host)

    def unbind(self, context: RequestContext, instance: Instance, host: str) -> None:
        ports.unbind(Client(), instance.network_info, host)

    # -- for users -----------------------------------------------------------------------------------

    def show(self, context: RequestContext, network_id: str) -> Network:
        try:
            found = Client(context).get(path('networks', network_id))['network']
        except (exception.NotFound, exception.Invalid):
            raise exception.NetworkNotFound(network_id=network_id[:64]) from None
        return _network(found)

    def list_networks(self, context: RequestContext) -> list[Network]:
        return [_network(one) for one in choice.available(Client(context), str(context.project_id))]


def _owner(instance: Instance) -> ports.Owner:
    return ports.Owner(instance.uuid, instance.project_id, instance.host, instance.availability_zone,
                       instance.hostname)


def _ours(card: VIF, one: choice.Wanted) -> VIF:
    """What the request says of a card and Neutron does not know."""
    card.tag, card.preserve_on_delete = one.tag, one.port is not None
    return card


def _network(one: Document) -> Network:
    return Network(id=one['id'], name=one['name'], cidr='', gateway='', range_start='', range_end='', bridge='',
                   subnet_id='', project_id=one.get('tenant_id'), kind='neutron', shared=bool(one.get('shared')),
                   mtu=one.get('mtu') or 1500)
