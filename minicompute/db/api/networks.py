"""Networks and ports of the local backend. Functions take an open connection.

An address belongs to whoever inserted it first: the unique key (network, address) decides, and an insert that
loses is ignored and tried with another address, in the same transaction.  So bursts of allocations neither
clash nor wait for one lock, and each looks at a bounded sample of addresses, not at all that are taken.
"""
from __future__ import annotations

import dataclasses
import ipaddress
import random
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute import exception
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.db.api.security_groups import default_id
from minicompute.db.models import networks, ports, security_groups
from minicompute.objects import Network, Port

_NETWORK = tuple(field.name for field in dataclasses.fields(Network))
_PORT = tuple(field.name for field in dataclasses.fields(Port))

#: addresses looked at in one go; the chance that all are taken is small until a network is nearly full
SAMPLE = 64
#: inserts that lost against others before we give up on a network that changes this fast
ROUNDS = 20
#: prefix of the networks that are cut from `[local_networks] default_cidr`
CUT_PREFIX = 24


def _network(row: Any) -> Network:
    # A network without a subnet has NULLs, which the record calls ''.
    values = {name: '' if value is None else value for name, value in row._mapping.items()}
    return Network(**values | {'project_id': row.project_id, 'dns': row.dns or [],
                               'created_at': row.created_at, 'updated_at': row.updated_at})


# -- networks ----------------------------------------------------------------

def insert_network(conn: sa.Connection, network: Network) -> bool:
    """Without its subnet. -> False when a network with this id or bridge is there."""
    now = session.utcnow()
    values = {'id': network.id, 'name': network.name, 'project_id': network.project_id, 'kind': network.kind,
              'shared': network.shared, 'bridge': network.bridge, 'mtu': network.mtu, 'created_at': now,
              'updated_at': now}
    # Of an INSERT the count is kept only when asked for.
    query = _ignoring(conn, networks).execution_options(preserve_rowcount=True)
    return conn.execute(query, values).rowcount > 0


def get_network(conn: sa.Connection, network_id: str) -> Network | None:
    return next(iter(list_networks(conn, {'id': [network_id]})), None)


def list_networks(conn: sa.Connection, equal: dict[str, Sequence[Any]] | None = None, *,
                  visible_to: str | None = None) -> list[Network]:
    """`equal`: by column, the values of which one must be it. `visible_to`: only that project's and the
    shared ones; None: all."""
    query = sa.select(*(networks.c[name] for name in _NETWORK)).order_by(networks.c.created_at, networks.c.id)
    for name, values in (equal or {}).items():
        query = query.where(networks.c[name].in_(values))
    if visible_to is not None:
        query = query.where(sa.or_(networks.c.shared.is_(True), networks.c.project_id == visible_to))
    return [_network(row) for row in conn.execute(query)]


def update_network(conn: sa.Connection, network_id: str, **values: Any) -> None:
    conn.execute(networks.update().where(networks.c.id == network_id)
                 .values(updated_at=session.utcnow(), **values))


def set_subnet(conn: sa.Connection, wanted: Network, *, cut_from: str | None = None) -> Network:
    """Give a network its subnet, the one of `wanted`, or, `cut_from` a block, the first part that is free.

    All networks are locked meanwhile, so that no two subnets that overlap come into being: NAT networks
    share the routing table of a host.  Raises NetworkExists, NetworkNotFound.
    """
    others = {row.id: row for row in conn.execute(
        sa.select(networks.c.id, networks.c.cidr, networks.c.kind, networks.c.subnet_id).with_for_update())}
    current = others.pop(wanted.id, None)
    if current is None:
        raise exception.NetworkNotFound(network_id=wanted.id)
    if current.subnet_id is not None:
        raise exception.NetworkExists(
            name=wanted.id, reason='it has a subnet already, and a local network has one at most')
    taken = [ipaddress.ip_network(row.cidr) for row in others.values() if row.cidr and row.kind == 'nat']
    if cut_from is not None:
        part = _cut(cut_from, taken)
        if part is None:
            raise exception.NetworkExists(name=wanted.id, reason=f'every part of {cut_from} is taken')
        wanted = with_cidr(wanted, part)
    elif wanted.kind == 'nat':
        for other in taken:
            if other.overlaps(ipaddress.ip_network(wanted.cidr)):
                raise exception.NetworkExists(
                    name=wanted.id, reason=f'cidr {wanted.cidr} overlaps with {other} of another network')
    update_network(conn, wanted.id, subnet_id=wanted.subnet_id, subnet_name=wanted.subnet_name,
                   cidr=wanted.cidr, gateway=wanted.gateway or None, range_start=wanted.range_start,
                   range_end=wanted.range_end, dns=wanted.dns)
    return wanted


def free_block(conn: sa.Connection, block: str) -> str | None:
    """What a network made now would get; None when nothing is left."""
    query = sa.select(networks.c.cidr).where(networks.c.kind == 'nat', networks.c.cidr.is_not(None))
    nat = conn.scalars(query)
    return _cut(block, [ipaddress.ip_network(cidr) for cidr in nat])


def _cut(block: str, taken: list[Any]) -> str | None:
    whole = ipaddress.ip_network(block)
    for part in whole.subnets(new_prefix=max(CUT_PREFIX, whole.prefixlen)):
        if not any(part.overlaps(other) for other in taken):
            return str(part)
    return None


def with_cidr(network: Network, cidr: str) -> Network:
    """The same with this CIDR: the first address is the gateway's, all others are given out."""
    block = ipaddress.ip_network(cidr)
    return dataclasses.replace(network, cidr=cidr, gateway=str(block[1]), range_start=str(block[2]),
                               range_end=str(block[-2]))


def clear_subnet(conn: sa.Connection, network_id: str) -> None:
    """Raises NetworkInUse. The lock makes allocations wait: they insert a row that refers to this one."""
    conn.execute(sa.select(networks.c.id).where(networks.c.id == network_id).with_for_update())
    if conn.execute(sa.select(ports.c.id).where(ports.c.network_id == network_id).limit(1)).first():
        raise exception.NetworkInUse(network_id=network_id)
    update_network(conn, network_id, subnet_id=None, subnet_name=None, cidr=None, gateway=None,
                   range_start=None, range_end=None, dns=None)


def delete_network(conn: sa.Connection, network_id: str) -> bool:
    """Raises NetworkInUse while it has ports."""
    try:
        return conn.execute(networks.delete().where(networks.c.id == network_id)).rowcount > 0
    except db_exc.DBReferenceError:
        raise exception.NetworkInUse(network_id=network_id) from None


# -- ports -------------------------------------------------------------------

@dataclasses.dataclass(slots=True, frozen=True)
class PortRequest:
    """A port to make (or, `existing`, to bind). The same id asked for twice is the same port."""

    id: str
    network_id: str
    project_id: str | None
    instance_uuid: str | None = None
    host: str | None = None
    address: str | None = None        # None: any that is free
    mac_address: str | None = None
    tag: str | None = None
    existing: bool = False
    security_groups: list[str] | None = None    # of a port to make; None: the project's `default`


# What a server's request makes is removed with the server, what a user made by hand is not. The version of
# the UUID tells them apart: 5 for ours, which are derived from the server, 4 for the user's.
_OURS = '5'


def port_id(instance_uuid: str, key: str) -> str:
    """Id of the port that a server gets for the part `key` of its request, the same on every try."""
    return str(uuid.uuid5(uuid.UUID(instance_uuid), key))


def made_for_server(port: Port) -> bool:
    return port.id[14] == _OURS


def random_mac() -> str:
    return 'fa:16:3e:' + random.randbytes(3).hex(':')


def list_ports(conn: sa.Connection, equal: dict[str, Sequence[Any]] | None = None) -> list[Port]:
    query = sa.select(*(ports.c[name] for name in _PORT)).order_by(ports.c.created_at, ports.c.id)
    for name, values in (equal or {}).items():
        query = query.where(ports.c[name].in_(values))
    return [Port(**row._mapping) for row in conn.execute(query)]


def count_ports(conn: sa.Connection, instance_uuid: str) -> int:
    return int(conn.scalar(sa.select(sa.func.count()).where(ports.c.instance_uuid == instance_uuid)) or 0)


def refuse_beyond_quota(conn: sa.Connection, project_id: str | None) -> None:
    """Before a port is made by hand: raises OverQuota. Others of the project wait until the transaction ends."""
    most = CONF.local_networks.max_ports
    if most < 0:
        return
    instances.lock_project(conn, project_id or '')
    if int(conn.scalar(sa.select(sa.func.count()).where(ports.c.project_id == project_id)) or 0) >= most:
        raise exception.OverQuota(overs="['port']")


def has_port(conn: sa.Connection, instance_uuid: str, port_id: str) -> bool:
    query = sa.select(ports.c.id).where(ports.c.instance_uuid == instance_uuid, ports.c.id == port_id)
    return conn.execute(query).first() is not None


def delete_port(conn: sa.Connection, wanted: str) -> bool:
    """Only a port that no server has."""
    query = ports.delete().where(ports.c.id == wanted, ports.c.instance_uuid.is_(None))
    return conn.execute(query).rowcount > 0


def allocate_ports(conn: sa.Connection, requests: Sequence[PortRequest]) -> list[Port]:
    """-> the ports, in the order of the requests; those that are there already are taken as they are.

    Costs four statements for any number of servers, unless addresses are lost to others meanwhile.  Raises
    NoMoreFixedIps, FixedIpInUse, NetworkRequiresSubnet, NetworkNotFound, PortNotFound, Conflict (port taken).
    """
    if not requests:
        return []
    for request in requests:
        if request.existing:
            _bind(conn, request)
    for _ in range(ROUNDS):
        have = {port.id: port for port in list_ports(conn, {'id': [r.id for r in requests]})}
        missing = [r for r in requests if r.id not in have]
        if not missing:
            return _settled(conn, [have[r.id] for r in requests], requests)
        _insert_missing(conn, missing)
    raise exception.Conflict('Addresses are taken by others faster than we can try: ask again.')


def _insert_missing(conn: sa.Connection, missing: list[PortRequest]) -> None:
    found = {n.id: n for n in list_networks(conn, {'id': sorted({r.network_id for r in missing})})}
    now, rows = session.utcnow(), []
    for network_id in sorted({r.network_id for r in missing}):
        if network_id not in found:
            raise exception.NetworkNotFound(network_id=network_id)
        wanting = [r for r in missing if r.network_id == network_id]
        fixed = [r.address for r in wanting if r.address is not None]
        refuse_taken(conn, network_id, fixed)
        free = iter(_free(conn, found[network_id], len(wanting) - len(fixed), set(fixed)))
        for request in wanting:
            rows.append({'id': request.id, 'network_id': network_id, 'project_id': request.project_id,
                         'instance_uuid': request.instance_uuid, 'host': request.host, 'tag': request.tag,
                         'mac_address': request.mac_address or random_mac(), 'created_at': now,
                         'security_groups': request.security_groups,
                         'address': request.address or next(free)})
    rows.sort(key=lambda row: (row['network_id'], row['address']))    # one order for all, against deadlocks
    try:
        conn.execute(_ignoring(conn, ports), rows)
    except db_exc.DBReferenceError:
        raise exception.NetworkNotFound(network_id=rows[0]['network_id']) from None


def _ignoring(conn: sa.Connection, table: sa.Table) -> Any:
    """INSERT that leaves out the rows whose unique keys are taken; no savepoint, no error."""
    if conn.dialect.name == 'postgresql':
        from sqlalchemy.dialects import postgresql  # 2 MB in each daemon, for this database alone
        return postgresql.insert(table).on_conflict_do_nothing()
    return sa.insert(table).prefix_with('OR IGNORE', dialect='sqlite').prefix_with(
        'IGNORE', dialect='mysql').prefix_with('IGNORE', dialect='mariadb')


def refuse_taken(conn: sa.Connection, network_id: str, addresses: list[str]) -> None:
    """Raises FixedIpInUse."""
    taken = _taken(conn, network_id, addresses)
    if taken:
        raise exception.FixedIpInUse(address=min(taken), network_id=network_id)


def _taken(conn: sa.Connection, network_id: str, addresses: Iterable[str] | None) -> set[str]:
    query = sa.select(ports.c.address).where(ports.c.network_id == network_id)
    if addresses is not None:
        among = list(addresses)
        if not among:
            return set()
        query = query.where(ports.c.address.in_(among))
    return set(conn.scalars(query))


def _free(conn: sa.Connection, network: Network, count: int, avoid: set[str]) -> list[str]:
    """`count` addresses that nobody had a moment ago, at random. Raises NoMoreFixedIps."""
    if not network.cidr:
        raise exception.NetworkRequiresSubnet(network_uuid=network.id)
    if not count:
        return []
    first, last = (int(ipaddress.ip_address(end)) for end in (network.range_start, network.range_end))
    avoid = avoid | {network.gateway}
    room = range(first, last + 1)
    for sample in (min(len(room), max(SAMPLE, 4 * count)), len(room)):
        numbers = random.sample(room, sample)
        looked_at = [str(ipaddress.ip_address(number)) for number in numbers]
        # The second look is at all of a nearly full network: then not by name, but at all that it has.
        taken = _taken(conn, network.id, looked_at if sample < len(room) or sample <= SAMPLE else None)
        free = [address for address in looked_at if address not in taken and address not in avoid]
        if len(free) >= count:
            return free[:count]
    raise exception.NoMoreFixedIps(network_id=network.id)


def _bind(conn: sa.Connection, request: PortRequest) -> None:
    mine = sa.or_(ports.c.instance_uuid.is_(None), ports.c.instance_uuid == request.instance_uuid)
    done = conn.execute(ports.update().where(ports.c.id == request.id, mine).values(
        instance_uuid=request.instance_uuid, host=request.host, tag=request.tag))
    if done.rowcount:
        return
    if list_ports(conn, {'id': [request.id]}):
        raise exception.Conflict(f'Port {request.id} is still in use.')
    raise exception.PortNotFound(port_id=request.id)


def _settled(conn: sa.Connection, have: list[Port], requests: Sequence[PortRequest]) -> list[Port]:
    """A repeated step may run for another host; a subnet may have gone while we inserted. A port whose groups are
    None has a `default` that nobody has changed: one look finds both."""
    moves: dict[str | None, list[str]] = {}
    for port, request in zip(have, requests, strict=True):
        if port.host != request.host:
            moves.setdefault(request.host, []).append(port.id)
            port.host = request.host
    for host, ids in moves.items():
        conn.execute(ports.update().where(ports.c.id.in_(ids)).values(host=host))
    defaults = {port.id: default_id(port.project_id or '') for port in have if port.security_groups is None}
    found = conn.execute(sa.union_all(
        sa.select(networks.c.id, sa.literal(True).label('bare')).where(
            networks.c.id.in_(sorted({port.network_id for port in have})), networks.c.cidr.is_(None)),
        sa.select(security_groups.c.id, sa.literal(False)).where(
            security_groups.c.id.in_(sorted(set(defaults.values())))))).all()
    for row in found:
        if row.bare:
            raise exception.NetworkRequiresSubnet(network_uuid=row.id)
    changed = {row.id for row in found}
    for port in have:
        if defaults.get(port.id) in changed:
            port.security_groups = [defaults[port.id]]
    return have


def release_ports(conn: sa.Connection, instance_uuids: Sequence[str]) -> None:
    """Give back what these servers hold: ports made for them go, ports made by hand become free."""
    theirs = ports.c.instance_uuid.in_(list(instance_uuids))
    conn.execute(ports.delete().where(theirs, sa.func.substr(ports.c.id, 15, 1) == _OURS))
    conn.execute(ports.update().where(theirs).values(instance_uuid=None, host=None, tag=None))


def release_port(conn: sa.Connection, wanted: str, instance_uuid: str) -> None:
    """The same for one port, if the server has it still."""
    its = sa.and_(ports.c.id == wanted, ports.c.instance_uuid == instance_uuid)
    if wanted[14:15] == _OURS:
        conn.execute(ports.delete().where(its))
    else:
        conn.execute(ports.update().where(its).values(instance_uuid=None, host=None, tag=None))


def move_ports(conn: sa.Connection, instance_uuid: str, host: str | None) -> None:
    conn.execute(ports.update().where(ports.c.instance_uuid == instance_uuid).values(host=host))
