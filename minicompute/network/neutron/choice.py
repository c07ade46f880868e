"""Which networks and ports a request means, and whether the caller may have them. Changes nothing."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from minicompute import exception, policy
from minicompute.context import RequestContext
from minicompute.network.base import Accepted, Requested
from minicompute.network.neutron.cards import VNIC_TYPE, check_bound
from minicompute.network.neutron.client import (
    Client,
    Document,
    ExternalNetworkAttachForbidden,
    PortInUse,
    PortLimitExceeded,
    PortRequiresFixedIP,
    PortUnusable,
)

#: of a port: what has to be reserved for it
RESOURCES = 'resource_request'
_NETWORK_FIELDS = ['id', 'name', 'subnets', 'shared', 'router:external', 'tenant_id', 'mtu']


def accept(client: Client, context: RequestContext, project_id: str, requested: Requested, count: int) -> Accepted:
    """See NetworkBackend.validate. `project_id`: whose servers they are; an administrator may ask for another's."""
    _check_count(requested, count)
    mode = requested[0].get('mode') if requested else 'any'
    if mode == 'none':
        return Accepted(requested, count)
    if mode is not None:
        requested = _only_one(client, project_id, mode)
        return Accepted(requested, _room(client, project_id, 1, count) if requested else count)
    items = check(client, context, project_id, requested)
    return Accepted(requested, _room(client, project_id, sum(1 for item in items if not item.get('port')), count))


def _check_count(requested: Requested, count: int) -> None:
    if count > 1 and any(item.get('fixed_ip') for item in requested):
        raise exception.Invalid('Invalid fixed IP and max_count: max_count cannot be greater than 1 '
                                'if a fixed_ip is specified.')
    if count > 1 and any(item.get('port') for item in requested):
        raise exception.Invalid('Unable to launch multiple instances with a single configured port ID. '
                                'Please launch your instance one by one with different ports.')
    ports = [item['port'] for item in requested if item.get('port')]
    if len(ports) != len(set(ports)):
        raise exception.Invalid('networks: a port is named more than once')


def available(client: Client, project_id: str) -> list[Document]:
    """The networks that a server of the project may be put on without naming one."""
    own = client.every('networks', tenant_id=project_id, shared=False, fields=_NETWORK_FIELDS)
    shared = client.every('networks', shared=True, fields=_NETWORK_FIELDS)
    return [one for one in {one['id']: one for one in own + shared}.values()
            if not one.get('router:external') or one.get('shared')]


def _only_one(client: Client, project_id: str, mode: str) -> Requested:
    found = available(client, project_id)
    if len(found) > 1:
        raise exception.NetworkAmbiguous
    if found:
        if not found[0].get('subnets'):
            raise exception.NetworkRequiresSubnet(network_uuid=found[0]['id'])
        return [{'id': found[0]['id']}]
    if mode != 'auto':
        return []
    try:
        client.get(f'/auto-allocated-topology/{project_id}', fields='dry-run')
    except (exception.Invalid, exception.Conflict, exception.NotFound):
        raise exception.UnableToAutoAllocateNetwork(project_id=project_id) from None
    return [{'mode': 'auto'}]


def check(client: Client, context: RequestContext, project_id: str, requested: Requested) -> Requested:
    """-> the items, with the network of each as `id`. Raises what an accepted request must not run into later."""
    ports = {one['id']: one for one in client.among(
        'ports', 'id', (item['port'] for item in requested if item.get('port')))}
    for port_id in (item['port'] for item in requested if item.get('port')):
        _check_port(ports.get(port_id), port_id, project_id, bool(context.is_admin))
    _check_guarantees(client, ports)
    named = [{**item, 'id': ports[item['port']]['network_id']} if item.get('port') else item for item in requested]
    networks = {one['id']: one for one in client.among(
        'networks', 'id', (str(item['id']) for item in named), fields=_NETWORK_FIELDS)}
    for item in named:
        if not item.get('port'):
            _check_network(networks.get(item['id']), item['id'], context, project_id, client.of_user)
            if item.get('fixed_ip'):
                _check_address(client, item['id'], item['fixed_ip'])
    return named


def _check_port(port: Document | None, port_id: str, project_id: str, is_admin: bool) -> None:
    own = port is not None and project_id in (port.get('tenant_id'), port.get('project_id'))
    if port is None or not (own or is_admin):
        raise exception.PortNotFound(port_id=port_id)
    if not own:
        raise PortUnusable(port_id=port_id, reason=f'it is not of project {project_id}')
    if port.get('device_id'):
        raise PortInUse(port_id=port_id)
    if not port.get('fixed_ips') and port.get('ip_allocation') not in ('deferred', 'none'):
        raise PortRequiresFixedIP(port_id=port_id)
    kind = port.get(VNIC_TYPE) or 'normal'
    if kind != 'normal':
        raise PortUnusable(port_id=port_id, reason=f'no host here has devices for {VNIC_TYPE} {str(kind)[:32]}')
    if port.get('device_profile'):
        raise PortUnusable(port_id=port_id, reason='no host here has accelerators for its device_profile')
    check_bound([port])


def _check_guarantees(client: Client, ports: Mapping[str, Document]) -> None:
    """What Neutron wants reserved for a port at Placement only an administrator is told. Raises PortUnusable."""
    if not ports or not client.extended('port-resource-request'):
        return
    for port in Client().among('ports', 'id', ports, fields=['id', RESOURCES]):
        if wants_resources(port):
            raise PortUnusable(port_id=port['id'], reason='its QoS policy guarantees a minimum bandwidth or packet '
                                                          'rate, and no host here accounts for that')


def wants_resources(port: Document) -> bool:
    asked = port.get(RESOURCES) or {}
    return bool(asked.get('request_groups', asked))


def _check_network(network: Document | None, network_id: str, context: RequestContext, project_id: str,
                   of_user: bool) -> None:
    """What Neutron shows to the user himself he may see, for reasons of its own as well (RBAC)."""
    visible = network is not None and (
        of_user or context.is_admin or network.get('shared') or network.get('router:external')
        or project_id == network.get('tenant_id'))
    if network is None or not visible:
        raise exception.NetworkNotFound(network_id=network_id)
    if network.get('router:external') and not network.get('shared') and not policy.allowed(
            context, 'network:attach_external_network', {}):
        raise ExternalNetworkAttachForbidden(network_id=network_id)
    if not network.get('subnets'):
        raise exception.NetworkRequiresSubnet(network_uuid=network_id)


def _check_address(client: Client, network_id: str, address: str) -> None:
    if client.every('ports', network_id=network_id, fixed_ips=f'ip_address={address}', fields='id'):
        raise exception.FixedIpInUse(address=address, network_id=network_id)


def _room(client: Client, project_id: str, each: int, count: int) -> int:
    """-> for how many of `count` servers the project may have ports. Raises PortLimitExceeded for none."""
    if not each:
        return count
    allowed = client.get(f'/quotas/{project_id}')['quota'].get('port', -1)
    if allowed < 0:
        return count
    free = allowed - len(client.every('ports', tenant_id=project_id, fields='id'))
    if free < each:
        raise PortLimitExceeded
    return min(count, free // each)


@dataclasses.dataclass(slots=True, frozen=True)
class Wanted:
    """One card that a flow is to make, or to take: `port` is one made by hand."""

    network_id: str
    port: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


def resolve(client: Client, project_id: str, requested: Requested) -> list[Wanted]:
    """For a flow: what the API has found right, in detail. `auto` makes the project's network."""
    mode = requested[0].get('mode') if requested else 'any'
    if mode == 'none':
        return []
    if mode == 'auto':
        requested = _only_one(client, project_id, 'auto')
        if requested == [{'mode': 'auto'}]:
            made = client.get(f'/auto-allocated-topology/{project_id}')['auto_allocated_topology']
            requested = [{'id': made['id']}]
    elif mode is not None:
        return []
    return [wanted(item) for item in _with_networks(client, requested)]


def _with_networks(client: Client, requested: Sequence[dict[str, Any]]) -> Requested:
    ports = {one['id']: one for one in client.among(
        'ports', 'id', (item['port'] for item in requested if item.get('port')), fields=['id', 'network_id'])}
    for item in requested:
        if item.get('port') and item['port'] not in ports:
            raise exception.PortNotFound(port_id=item['port'])
    return [{**item, 'id': ports[item['port']]['network_id']} if item.get('port') else item for item in requested]


def wanted(item: dict[str, Any]) -> Wanted:
    return Wanted(network_id=item['id'], port=item.get('port'), fixed_ip=item.get('fixed_ip'), tag=item.get('tag'))
