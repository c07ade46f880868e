"""The ports of servers: made, taken, bound, given back.

Whatever is done here may be done again. A port is the server's whose `device_id` says so; what we made for it is told
from what a user made by the server's record and request, which name the latter.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from minicompute import exception
from minicompute.network.neutron.cards import BINDING_FAILED, HOST, PROFILE, VIF_TYPE, bound, check_bound
from minicompute.network.neutron.choice import Wanted, wants_resources
from minicompute.network.neutron.client import (
    Changed,
    Client,
    Document,
    NetworkWithQoS,
    PortInUse,
    PortUnusable,
)
from minicompute.objects import VIF
from minicompute.service_auth import path

#: of a binding's profile: the host that the port goes to, as Nova names it to Neutron
MIGRATING_TO = 'migrating_to'
#: of a binding's profile: what belongs to the host that the port was on
_OF_HOST = ('pci_vendor_info', 'pci_slot', 'allocation', 'arq_uuid', 'physical_network', 'card_serial_number',
            'vf_num', 'pf_mac_address', 'device_mac_address', MIGRATING_TO)
NO_ZONE = 'None'
#: how often a port that others change at the same time is tried
TRIES = 5


@dataclasses.dataclass(slots=True, frozen=True)
class Owner:
    """Whose ports they are to be, and where."""

    uuid: str
    project_id: str
    host: str | None
    zone: str | None = None
    hostname: str | None = None
    groups: Sequence[str] = ()

    @property
    def facts(self) -> Document:
        return {'device_id': self.uuid, 'device_owner': f'compute:{self.zone or NO_ZONE}', HOST: self.host}


def of_server(client: Client, uuid: str, project_id: str | None) -> list[Document]:
    """Anybody may write the id of another project's server to a port of his own: that is none of the server's."""
    own = {} if project_id is None else {'tenant_id': project_id}
    return client.every('ports', device_id=uuid, **own)


def of_servers(client: Client, projects: Mapping[str, str]) -> list[Document]:
    """The same of many: {uuid: project}"""
    return [port for port in client.among('ports', 'device_id', projects)
            if port.get('tenant_id') == projects.get(port['device_id'])]


def settle(client: Client, owner: Owner, wanted: Sequence[Wanted]) -> list[Document]:
    """A port for each card: what an earlier try has made is found by its network. -> ports, in the order of `wanted`.
    Raises PortBindingFailed, and what Neutron refuses."""
    there = {port['id']: port for port in of_server(client, owner.uuid, owner.project_id)}
    named = {one.port for one in wanted if one.port}
    left = [port for port_id, port in sorted(there.items(), key=_age) if port_id not in named]
    # A card with an address of its own takes the port that has it before another card does.
    made: dict[int, Document] = {}
    for number in sorted(range(len(wanted)), key=lambda number: not wanted[number].fixed_ip):
        one = wanted[number]
        if one.port:
            made[number] = _take(client, owner, one.port)
        elif (found := match(left, one)) is not None:
            left.remove(found)
            made[number] = _bind(client, owner, found)
    missing = [number for number in range(len(wanted)) if number not in made]
    made.update(zip(missing, _create(client, owner, [wanted[number] for number in missing]), strict=True))
    ports = [made[number] for number in range(len(wanted))]
    check_bound(ports)
    return ports


def _age(item: tuple[str, Document]) -> tuple[str, str]:
    return str(item[1].get('created_at') or ''), item[0]


def match(ports: Iterable[Document], one: Wanted) -> Document | None:
    for port in ports:
        has = [ip['ip_address'] for ip in port['fixed_ips']]
        if port['network_id'] == one.network_id and (one.fixed_ip is None or one.fixed_ip in has):
            return port
    return None


def settle_one(client: Client, owner: Owner, one: Wanted) -> Document:
    """One more port, whatever the server has. Raises as `settle`."""
    port = _take(client, owner, one.port) if one.port else _create(client, owner, [one])[0]
    check_bound([port])
    return port


def _create(client: Client, owner: Owner, wanted: Sequence[Wanted]) -> list[Document]:
    """All at once: all or none."""
    bodies: list[Document] = []
    for one in wanted:
        body: Document = {**owner.facts, 'network_id': one.network_id, 'tenant_id': owner.project_id,
                          'admin_state_up': True}
        if one.fixed_ip:
            body['fixed_ips'] = [{'ip_address': one.fixed_ip}]
        if owner.groups:
            body['security_groups'] = list(owner.groups)
        bodies.append(body | _dns(client, owner.hostname))
    made: list[Document]
    if len(bodies) > 1:
        made = client.create('/ports', {'ports': bodies})['ports']
    else:
        made = [client.create('/ports', {'port': body})['port'] for body in bodies]
    for port in made:       # the policy is its network's: whoever undoes this gives the ports back
        if wants_resources(port):
            raise NetworkWithQoS(network_id=port['network_id'])
    return made


def _dns(client: Client, hostname: str | None) -> Document:
    return {'dns_name': hostname} if hostname is not None and client.extended('dns-integration') else {}


def _take(client: Client, owner: Owner, port_id: str) -> Document:
    """A port that a user made, unless somebody else has it meanwhile. Raises PortNotFound, PortInUse."""
    try:
        port = client.get(path('ports', port_id))['port']
        _check_owner(owner, port)
        name = port.get('dns_name')
        if (name and owner.hostname is not None and client.extended('dns-integration')
                and str(name).lower() != owner.hostname.lower()):     # it keeps names in lower case
            raise PortUnusable(port_id=port_id, reason=f'its dns_name is {str(name)[:64]}, and the hostname of the '
                                                       f'server {owner.hostname}')
        return _bind(client, owner, port, **_dns(client, owner.hostname))
    except exception.NotFound:
        raise exception.PortNotFound(port_id=port_id) from None


def _bind(client: Client, owner: Owner, port: Document, **more: Any) -> Document:
    """Whatever else changes it meanwhile (its name, a security group), and as long as it is nobody else's."""
    for left in reversed(range(TRIES)):
        right = all((port.get(name) or '') == (value or '') for name, value in owner.facts.items())
        if right and port.get(VIF_TYPE) != BINDING_FAILED:
            break
        of_none = {} if owner.host else {PROFILE: _of_no_host(port)}
        try:
            port = client.update(f"/ports/{port['id']}", {'port': {**owner.facts, **of_none, **more}},
                                 revision=port.get('revision_number'))['port']
            break
        except Changed:
            if not left:
                raise
            port = client.get(f"/ports/{port['id']}")['port']
            _check_owner(owner, port)
    return port


def _check_owner(owner: Owner, port: Document) -> None:
    if port.get('device_id') not in ('', None, owner.uuid):
        raise PortInUse(port_id=port['id'])


def bind(client: Client, owner: Owner, mine: Collection[str]) -> list[Document]:
    """What the server has of `mine`, the ports of its record: what else names it (a port whose making nobody heard of,
    one that its user gave that name) the guest has never had. An owner without a host keeps them, bound to none.
    Raises PortBindingFailed."""
    ports = []
    for port in of_server(client, owner.uuid, owner.project_id):
        if port['id'] not in mine:
            continue
        try:
            ports.append(_bind(client, owner, port))
        except exception.NotFound:
            if client.there(f"/ports/{port['id']}"):
                raise       # of its network, say
    check_bound(ports)
    return ports


# -- given back ------------------------------------------------------------------------------------

def give_back(client: Client, uuid: str, project_id: str | None, keep: Collection[str]) -> None:
    """One that is refused keeps no other from it."""
    refused: exception.ComputeException | None = None
    for port in of_server(client, uuid, project_id):
        try:
            drop(client, port, keep=port['id'] in keep)
        except exception.NeighbourUnavailable:
            raise
        except exception.ComputeException as error:
            refused = error
    if refused is not None:
        raise refused


def drop(client: Client, port: Document, *, keep: bool) -> None:
    if not keep:
        client.delete(f"/ports/{port['id']}")
        return
    body = {'device_id': '', 'device_owner': '', HOST: '', PROFILE: _of_no_host(port)}
    if port.get('dns_name'):
        body['dns_name'] = ''
    try:
        client.update(f"/ports/{port['id']}", {'port': body})
    except exception.NotFound:
        pass    # its user has deleted it


def _of_no_host(port: Document) -> Document:
    """Its profile."""
    return {name: value for name, value in (port.get(PROFILE) or {}).items() if name not in _OF_HOST}


# -- on two hosts, while a server moves between them -------------------------------------------------

def bind_also(client: Client, cards: Sequence[VIF], host: str) -> list[VIF]:
    """A second, inactive binding of each. -> the cards as `host` plugs them. Raises PortBindingFailed.

    Both bindings say where the port goes. Else an agent takes a port that has an inactive binding for one that leaves
    its host, the destination's too, once its own is the active one; told so it wires the port before the guest comes.
    """
    there = []
    for card in cards:
        profile = {name: value for name, value in card.details.get('profile', {}).items() if name not in _OF_HOST}
        wanted = {'host': host, 'vnic_type': card.details.get('vnic_type', 'normal'),
                  'profile': {**profile, MIGRATING_TO: host}}
        path = f'/ports/{card.id}/bindings'
        bindings = client.get(path)['bindings']
        binding = next((one for one in bindings if one['host'] == host), None)
        binding = binding or client.create(path, {'binding': wanted})['binding']
        _goes(client, card, bindings, host)
        if binding.get('vif_type') == BINDING_FAILED:
            raise exception.PortBindingFailed(port_id=card.id)
        groups = card.details.get('security_groups', [])
        there.append(bound(dataclasses.replace(card), binding, security_groups=groups))
    return there


def switch(client: Client, cards: Sequence[VIF], host: str) -> None:
    """A port that was deleted while its server moved keeps the others from nothing."""
    for card in cards:
        try:
            bindings = {one['host']: one for one in client.get(f'/ports/{card.id}/bindings')['bindings']}
            if host not in bindings:     # nobody prepared it, or somebody has taken it away
                client.update(f'/ports/{card.id}', {'port': {HOST: host}})
            elif bindings[host].get('status') != 'ACTIVE':
                client.update(path('ports', card.id, 'bindings', host, 'activate'))
        except exception.NotFound:
            if client.there(f'/ports/{card.id}'):
                raise       # it is the binding that went: the next try makes it anew


def _goes(client: Client, card: VIF, bindings: Sequence[Document], host: str | None) -> None:
    """What the active binding says of where the port goes; None: it stays, and its agents look again."""
    for one in bindings:
        profile = one.get('profile') or {}
        if one.get('status') == 'ACTIVE' and profile.get(MIGRATING_TO) != host:
            profile = {name: value for name, value in profile.items() if name != MIGRATING_TO}
            more = {MIGRATING_TO: host} if host else {}
            client.update(f'/ports/{card.id}', {'port': {PROFILE: {**profile, **more}}})


def unbind(client: Client, cards: Sequence[VIF], host: str) -> None:
    for card in cards:
        try:
            bindings = client.get(f'/ports/{card.id}/bindings')['bindings']
        except exception.NotFound:
            continue
        if len(bindings) > 1 and any(one['host'] == host and one.get('status') != 'ACTIVE' for one in bindings):
            client.delete(f'/ports/{card.id}/bindings/{host}')
            bindings = [one for one in bindings if one['host'] != host]
        if len(bindings) == 1:
            _goes(client, card, bindings, None)
