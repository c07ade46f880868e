"""Subnets: a network of the local backend has one at most, which lies in its own row."""
from __future__ import annotations

import dataclasses
import ipaddress
import uuid
from typing import Any

from minicompute import exception
from minicompute.api.image.table import Request
from minicompute.api.network import common, networks
from minicompute.api.openstack.answer import Answer
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import networks as db
from minicompute.objects import Network

_IPV4 = {'type': 'string', 'format': 'ipv4'}
_POOLS = {'type': 'array', 'maxItems': 1, 'items': {
    'type': 'object', 'required': ['start', 'end'], 'additionalProperties': False,
    'properties': {'start': _IPV4, 'end': _IPV4}}}
_NAME_SERVERS = {'type': 'array', 'items': _IPV4, 'maxItems': 5, 'uniqueItems': True}
_CHANGEABLE = {'name': common.NAME, 'dns_nameservers': _NAME_SERVERS, **common.EMPTY}
_NEW = {**_CHANGEABLE, 'network_id': common.UUID, 'cidr': {'type': 'string', 'maxLength': 64},
        'ip_version': {'enum': [4]}, 'gateway_ip': {'type': ['string', 'null'], 'format': 'ipv4'},
        'allocation_pools': _POOLS, 'enable_dhcp': {'type': 'boolean'}, 'project_id': common.PROJECT,
        'tenant_id': common.PROJECT, 'host_routes': {'type': 'array', 'maxItems': 0},
        'service_types': {'type': 'array', 'maxItems': 0}, 'dns_publish_fixed_ip': {'enum': [False]}}

#: prefixes that leave room for a gateway and a guest, and are no larger than one bridge should be
SHORTEST, LONGEST = 8, 30
_UNUSABLE = [ipaddress.ip_network(block)
             for block in ('0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3')]


def view(network: Network) -> dict[str, Any]:
    return {
        'id': network.subnet_id, 'name': network.subnet_name, 'description': '', 'tags': [],
        'network_id': network.id, 'project_id': network.project_id, 'tenant_id': network.project_id,
        'ip_version': 4, 'cidr': network.cidr, 'gateway_ip': network.gateway or None,
        'allocation_pools': [{'start': network.range_start, 'end': network.range_end}],
        'enable_dhcp': network.kind == 'nat', 'dns_nameservers': network.dns, 'host_routes': [],
        'service_types': [], 'subnetpool_id': None, 'segment_id': None,
        'ipv6_address_mode': None, 'ipv6_ra_mode': None,
        'created_at': common.time(network.created_at), 'updated_at': common.time(network.updated_at)}


def index(req: Request) -> dict[str, Any]:
    found = [view(network) for network in networks.seen(req) if network.subnet_id]
    return common.listed(req, found, 'subnets')


def _network_of(req: Request, subnet_id: str) -> Network:
    with session.read() as conn:
        found = next(iter(db.list_networks(conn, {'subnet_id': [subnet_id]})), None)
    if found is not None:
        try:
            return common.backend().show(req.context, found.id)
        except exception.NetworkNotFound:
            pass
    raise exception.SubnetNotFound(subnet_id=subnet_id)


def show(req: Request, subnet_id: str) -> dict[str, Any]:
    return {'subnet': view(_network_of(req, subnet_id))}


def create(req: Request) -> Answer:
    values = common.body(req, 'subnet', _NEW, required=('network_id', 'cidr'))
    network = common.backend().show(req.context, values['network_id'])
    common.require_owner(req, network.project_id, f'Network {network.id}')
    common.owner(req, values)
    wanted = _with_subnet(network, values)
    if network.kind == 'nat' and not req.context.is_admin:
        _check_own(wanted.cidr)
    made = session.write(db.set_subnet, wanted)
    return Answer(show(req, made.subnet_id), code=201)


def update(req: Request, subnet_id: str) -> dict[str, Any]:
    values = common.body(req, 'subnet', _CHANGEABLE)
    network = _network_of(req, subnet_id)
    common.require_owner(req, network.project_id, f'Subnet {subnet_id}')
    changes = {column: values[name] for name, column in (('name', 'subnet_name'), ('dns_nameservers', 'dns'))
               if name in values}
    if changes:
        session.write(db.update_network, network.id, **changes)
    return show(req, subnet_id)


def delete(req: Request, subnet_id: str) -> None:
    network = _network_of(req, subnet_id)
    common.require_owner(req, network.project_id, f'Subnet {subnet_id}')
    session.write(db.clear_subnet, network.id)


# -- what the addresses may be -------------------------------------------------

def _with_subnet(network: Network, values: dict[str, Any]) -> Network:
    block = _block(values['cidr'])
    made = db.with_cidr(network, str(block))
    gateway = values.get('gateway_ip', made.gateway)
    _check_gateway(network, block, gateway)
    if network.kind == 'nat' and not values.get('enable_dhcp', True):
        raise _wrong('enable_dhcp', 'a network of type local has DHCP always.')
    start, end = _pool(block, gateway, values.get('allocation_pools') or [])
    return dataclasses.replace(made, gateway=gateway or '', range_start=start, range_end=end,
                               dns=values.get('dns_nameservers', []), subnet_id=str(uuid.uuid4()),
                               subnet_name=values.get('name', ''))


def _wrong(field: str, why: str) -> exception.Invalid:
    return exception.Invalid(f'Invalid input for {field}. Reason: {why}')


def _block(cidr: str) -> ipaddress.IPv4Network:
    try:
        block = ipaddress.IPv4Network(cidr, strict=False)
    except ValueError:
        raise _wrong('cidr', f"'{cidr}' is not a valid IPv4 subnet.") from None
    if str(block) != cidr:
        raise _wrong('cidr', f"'{cidr}' isn't a recognized IP subnet cidr, '{block}' is recommended.")
    if not SHORTEST <= block.prefixlen <= LONGEST:
        raise _wrong('cidr', f'the prefix of {cidr} is not between {SHORTEST} and {LONGEST}.')
    if any(block.overlaps(other) for other in _UNUSABLE):
        raise _wrong('cidr', f'{cidr} is reserved, no guest can use it.')
    return block


def _check_own(cidr: str) -> None:
    """A host sends what goes to these addresses to the project's bridge, its own daemons' traffic too."""
    block, conf = ipaddress.IPv4Network(cidr), CONF.local_networks
    if not any(block.subnet_of(ipaddress.IPv4Network(allowed)) for allowed in conf.project_cidrs):
        raise _wrong('cidr', f'{cidr} is not within {", ".join(conf.project_cidrs)}, what projects may use here.')
    if block.prefixlen < db.CUT_PREFIX and block.overlaps(ipaddress.IPv4Network(conf.default_cidr)):
        raise _wrong('cidr', f'{cidr} would take the room of the networks that are cut from {conf.default_cidr}.')


def _check_gateway(network: Network, block: ipaddress.IPv4Network, gateway: str | None) -> None:
    if gateway is None:
        if network.kind == 'nat':
            raise _wrong('gateway_ip', 'a network of type local needs one, the address of its host.')
        return
    found = ipaddress.IPv4Address(gateway)
    if found not in block or found in (block.network_address, block.broadcast_address):
        raise _wrong('gateway_ip', f'{gateway} is not the address of a host in {block}.')


def _pool(block: ipaddress.IPv4Network, gateway: str | None, pools: list[dict[str, str]]) -> tuple[str, str]:
    """First and last address that servers get; the gateway may lie between, it is left out."""
    lowest, highest = block[1], block[-2]
    if not pools:
        if gateway == str(lowest):
            lowest += 1
        elif gateway == str(highest):
            highest -= 1
        return str(lowest), str(highest)
    start, end = ipaddress.IPv4Address(pools[0]['start']), ipaddress.IPv4Address(pools[0]['end'])
    if not lowest <= start <= end <= highest:
        raise _wrong('allocation_pools', f'{start}-{end} is not a range of hosts in {block}.')
    if str(start) == str(end) == gateway:
        raise _wrong('allocation_pools', 'it holds the gateway only.')
    return str(start), str(end)
