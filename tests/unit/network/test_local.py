"""The local networks: which network a request gets, and addresses that nobody gets twice."""
from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from minicompute import exception
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import networks as db
from minicompute.network import local
from minicompute.objects import Instance, Network

CONTEXT = RequestContext(user_id='u', project_id='p', overwrite=False)
OTHER = RequestContext(user_id='v', project_id='q', overwrite=False)
ADMIN = RequestContext(user_id='a', project_id='a', is_admin=True, overwrite=False)


@pytest.fixture
def backend(database: str) -> local.LocalNetworks:
    return local.LocalNetworks()


def make(cidr: str | None = '10.1.0.0/24', **kwargs: Any) -> Network:
    network = local.new_network(**{'name': 'net', 'project_id': 'p', 'shared': False, **kwargs})
    assert session.write(db.insert_network, network)
    if cidr is None:
        return network
    wanted = db.with_cidr(network, cidr)
    wanted.subnet_id = str(uuid.uuid4())
    return session.write(db.set_subnet, wanted)


def server() -> str:
    return str(uuid.uuid4())


def held() -> list[Any]:
    with session.read() as conn:
        return db.list_ports(conn)


def test_a_card_of_a_nat_network(backend: local.LocalNetworks) -> None:
    net = make('10.1.0.0/24')
    (vif,) = backend.allocate(CONTEXT, server(), 'p', 'host1', [{'id': net.id, 'tag': 'front'}])
    assert vif.kind == 'network'
    assert vif.details == {
        'libvirt_network': f'minicompute-{net.id[:8]}', 'bridge': f'mcbr{net.id[:8]}', 'gateway': '10.1.0.1',
        'prefix': 24, 'cidr': '10.1.0.0/24', 'dns': ['10.1.0.1'], 'forward': 'nat'}
    assert vif.mac_address.startswith('fa:16:3e:') and len(vif.mac_address) == 17
    assert vif.tag == 'front' and not vif.preserve_on_delete
    assert vif.fixed_ips[0].address.startswith('10.1.0.') and vif.fixed_ips[0].address != '10.1.0.1'
    assert vif.subnets[0].dhcp and vif.subnets[0].gateway == '10.1.0.1'


def test_a_card_of_a_bridge(backend: local.LocalNetworks) -> None:
    net = make('10.1.0.0/24', kind='bridge', bridge='br0')
    (vif,) = backend.allocate(CONTEXT, server(), 'p', 'host1', [{'id': net.id}])
    assert (vif.kind, vif.details) == ('bridge', {'bridge': 'br0'})
    assert not vif.subnets[0].dhcp


def test_a_repeated_allocation_is_the_same_and_follows_the_host(backend: local.LocalNetworks) -> None:
    one, two = make('10.1.0.0/24'), make('10.2.0.0/24')
    uuid_, asked = server(), [{'id': two.id}, {'id': one.id}, {'id': two.id}]
    first = backend.allocate(CONTEXT, uuid_, 'p', 'host1', asked)
    assert backend.allocate(CONTEXT, uuid_, 'p', 'host2', asked) == first
    assert [vif.network_id for vif in first] == [two.id, one.id, two.id]
    assert {port.host for port in held()} == {'host2'}
    assert len(held()) == 3


def test_a_port_that_is_deleted_before_it_is_attached(backend: local.LocalNetworks) -> None:
    """Between the look at it and the transaction that takes it."""
    net = make()
    port = session.write(db.allocate_ports, [db.PortRequest(
        id=str(uuid.uuid4()), network_id=net.id, project_id='p', instance_uuid=None, host=None)])[0]
    card = backend.resolve_one(CONTEXT, 'p', {'port': port.id})
    session.write(db.delete_port, port.id)
    with pytest.raises(exception.PortNotFound):
        session.write(lambda conn: backend.reserve_port(conn, card, Instance(
            uuid=server(), project_id='p', user_id='u')))


def test_deallocate_is_complete_and_may_be_repeated(backend: local.LocalNetworks) -> None:
    net, uuid_ = make(), server()
    backend.allocate(CONTEXT, uuid_, 'p', 'host1', [{'id': net.id}])
    backend.deallocate(CONTEXT, uuid_)
    backend.deallocate(CONTEXT, uuid_)
    assert held() == []


def test_none_and_nothing_there(backend: local.LocalNetworks) -> None:
    make(project_id='q')
    for requested in ([{'mode': 'none'}], []):
        backend.validate(CONTEXT, requested, 1)
        assert backend.allocate(CONTEXT, server(), 'p', 'host1', requested) == []


@pytest.mark.parametrize('requested', [[], [{'mode': 'auto'}]])
def test_the_only_network_is_taken(backend: local.LocalNetworks, requested: list[Any]) -> None:
    net = make(project_id='q', shared=True)
    make('10.2.0.0/24', project_id='q')
    make(None)    # without a subnet nobody can use it
    backend.validate(CONTEXT, requested, 2)
    assert backend.allocate(CONTEXT, server(), 'p', 'host1', requested)[0].network_id == net.id


@pytest.mark.parametrize('requested', [[], [{'mode': 'auto'}]])
def test_two_networks_are_ambiguous(backend: local.LocalNetworks, requested: list[Any]) -> None:
    make('10.1.0.0/24')
    make('10.2.0.0/24', project_id='q', shared=True)
    with pytest.raises(exception.NetworkAmbiguous):
        backend.validate(CONTEXT, requested, 1)


@pytest.fixture
def small_block(conf: Any) -> Any:
    conf.set_override('default_cidr', '10.9.0.0/23', 'local_networks')
    yield
    conf.clear_override('default_cidr', 'local_networks')


def test_auto_makes_one_network_a_project(backend: local.LocalNetworks, small_block: None) -> None:
    make('10.9.0.0/25', project_id='q')
    backend.validate(CONTEXT, [{'mode': 'auto'}], 1)
    with session.read() as conn:
        assert len(db.list_networks(conn)) == 1     # validation made none
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: backend.make_auto_network('p'), range(8)))
    assert {(net.id, net.cidr) for net in made} == {(made[0].id, '10.9.1.0/24')}
    assert backend.allocate(CONTEXT, server(), 'p', 'h', [{'mode': 'auto'}])[0].network_id == made[0].id
    for ask in (lambda: backend.validate(OTHER_PROJECT, [{'mode': 'auto'}], 1),
                lambda: backend.allocate(OTHER_PROJECT, server(), 'r', 'h', [{'mode': 'auto'}])):
        with pytest.raises(exception.UnableToAutoAllocateNetwork):
            ask()


OTHER_PROJECT = RequestContext(user_id='w', project_id='r', overwrite=False)


@pytest.mark.parametrize(('address', 'error'), [
    ('10.1.0.1', exception.FixedIpInvalid), ('10.1.0.0', exception.FixedIpInvalid),
    ('10.1.0.255', exception.FixedIpInvalid), ('10.2.0.7', exception.FixedIpInvalid),
    ('fe80::1', exception.FixedIpInvalid), ('10.1.0.7', exception.FixedIpInUse)])
def test_fixed_addresses(backend: local.LocalNetworks, address: str, error: type[Exception]) -> None:
    net = make('10.1.0.0/24')
    (vif,) = backend.allocate(CONTEXT, server(), 'p', 'h', [{'id': net.id, 'fixed_ip': '10.1.0.7'}])
    assert vif.fixed_ips[0].address == '10.1.0.7'
    asked = [{'id': net.id, 'fixed_ip': address}]
    with pytest.raises(error):
        backend.validate(CONTEXT, asked, 1)
    with pytest.raises(error):
        backend.allocate(CONTEXT, server(), 'p', 'h', asked)
    assert len(held()) == 1


def test_what_a_request_for_several_servers_cannot_have(backend: local.LocalNetworks) -> None:
    for item in ({'id': 'x', 'fixed_ip': '10.1.0.7'}, {'port': 'x'}):
        with pytest.raises(exception.Invalid):
            backend.validate(CONTEXT, [item], 2)


def test_a_network_that_the_caller_may_not_use(backend: local.LocalNetworks) -> None:
    net, bare = make(), make(None)
    with pytest.raises(exception.NetworkNotFound):
        backend.validate(OTHER, [{'id': net.id}], 1)
    with pytest.raises(exception.NetworkNotFound):
        backend.validate(CONTEXT, [{'id': server()}], 1)
    with pytest.raises(exception.NetworkRequiresSubnet):
        backend.validate(CONTEXT, [{'id': bare.id}], 1)
    assert backend.show(ADMIN, net.id).id == net.id


def test_a_port_made_by_hand_is_bound_and_comes_back(backend: local.LocalNetworks) -> None:
    net, uuid_ = make(), server()
    mine = db.PortRequest(id=str(uuid.uuid4()), network_id=net.id, project_id='p', address='10.1.0.9')
    session.write(db.allocate_ports, [mine])
    asked = [{'port': mine.id}]
    with pytest.raises(exception.PortNotFound):
        backend.validate(OTHER, asked, 1)
    backend.validate(CONTEXT, asked, 1)
    (vif,) = backend.allocate(CONTEXT, uuid_, 'p', 'h', asked)
    assert vif.preserve_on_delete and vif.id == mine.id and vif.fixed_ips[0].address == '10.1.0.9'
    assert backend.allocate(CONTEXT, uuid_, 'p', 'h', asked) == [vif]
    assert backend.network_info(CONTEXT, uuid_) == [vif]
    for ask in (lambda: backend.validate(CONTEXT, asked, 1),
                lambda: backend.allocate(CONTEXT, server(), 'p', 'h', asked)):
        with pytest.raises(exception.Conflict):
            ask()
    backend.deallocate(CONTEXT, uuid_)
    assert [(port.id, port.instance_uuid) for port in held()] == [(mine.id, None)]


def test_a_full_network_gives_its_last_address_and_says_so(backend: local.LocalNetworks) -> None:
    net = make('10.1.0.0/25')
    requests = [db.PortRequest(id=str(uuid.uuid4()), network_id=net.id, project_id='p') for _ in range(125)]
    ports = session.write(db.allocate_ports, requests)
    assert len({port.address for port in ports}) == 125
    assert '10.1.0.1' not in {port.address for port in ports}
    with pytest.raises(exception.NoMoreFixedIps):
        backend.allocate(CONTEXT, server(), 'p', 'h', [{'id': net.id}])
    session.write(db.delete_port, ports[3].id)
    (vif,) = backend.allocate(CONTEXT, server(), 'p', 'h', [{'id': net.id}])
    assert vif.fixed_ips[0].address == ports[3].address


def test_a_burst_never_clashes(backend: local.LocalNetworks) -> None:
    """100 servers at once for 125 addresses, each in its own transaction, and some of them twice."""
    net = make('10.1.0.0/25')
    uuids = [server() for _ in range(100)]

    def allocate(uuid_: str) -> Any:
        return backend.allocate(CONTEXT, uuid_, 'p', 'h', [{'id': net.id}])[0]
    with ThreadPoolExecutor(20) as pool:
        cards = list(pool.map(allocate, uuids + uuids[:10]))
    assert len({vif.fixed_ips[0].address for vif in cards}) == 100
    assert len({vif.mac_address for vif in cards}) == 100
    assert cards[100:] == cards[:10]


def test_a_rolled_back_transaction_leaves_nothing(backend: local.LocalNetworks) -> None:
    net = make()

    def fail(conn: Any) -> None:
        cards = backend.resolve(CONTEXT, 'p', [{'id': net.id}])
        db.allocate_ports(conn, local.port_requests(cards, server(), 'p', 'h'))
        raise KeyError
    with pytest.raises(KeyError):
        session.write(fail)
    assert held() == []


def test_overlapping_networks_never_both_come_to_be(backend: local.LocalNetworks) -> None:
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(make, cidr) for cidr in ('10.1.0.0/24', '10.1.0.0/16', '10.1.0.128/25')]
    failed = [future.exception() for future in futures]
    assert failed.count(None) >= 1
    with session.read() as conn:
        made = [net.cidr for net in db.list_networks(conn) if net.cidr]
    assert made in (['10.1.0.0/24'], ['10.1.0.0/16'], ['10.1.0.128/25'])
    assert all(isinstance(error, exception.NetworkExists) for error in failed if error)


def test_a_used_network_stays(backend: local.LocalNetworks) -> None:
    net, uuid_ = make(), server()
    backend.allocate(CONTEXT, uuid_, 'p', 'h', [{'id': net.id}])
    for remove in (db.delete_network, db.clear_subnet):
        with pytest.raises(exception.NetworkInUse):
            session.write(remove, net.id)
    backend.deallocate(CONTEXT, uuid_)
    session.write(db.clear_subnet, net.id)
    with pytest.raises(exception.NetworkRequiresSubnet):
        backend.allocate(CONTEXT, uuid_, 'p', 'h', [{'id': net.id}])
    assert session.write(db.delete_network, net.id)
