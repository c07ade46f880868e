from __future__ import annotations

import libvirt
import pytest

from minicompute import exception
from minicompute.objects import FixedIP
from minicompute.virt import hardware
from minicompute.virt.libvirt import vif
from minicompute.virt.libvirt.config.base import parse

from .conftest import NAT, make_instance, make_vif


class FakeError(libvirt.libvirtError):
    def __init__(self, code: int) -> None:
        Exception.__init__(self, 'no')
        self.err = (code, 0, 'no', 0, '', None, None, -1, -1)


class FakeNetwork:
    """libvirt's network as far as we use it; refuses what libvirt refuses."""

    def __init__(self, connection, xml: str) -> None:
        self.connection, self.tree, self.ports = connection, parse(xml), []
        connection.networks[self.name()] = self

    def name(self): return self.tree.findtext('name')
    def isActive(self): return True
    def isPersistent(self): return False
    def XMLDesc(self, flags): return vif.render(self)
    def xml(self): return self.tree
    def listAllPorts(self, flags): return self.ports
    def destroy(self): del self.connection.networks[self.name()]

    def entries(self):
        return [(h.get('mac'), h.get('ip'), h.get('name')) for h in self.tree.findall('ip/dhcp/host')]

    def update(self, command, section, index, xml, flags):
        assert section == libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
        host, dhcp = parse(xml), self.tree.find('ip/dhcp')
        same = [h for h in dhcp if any(h.get(k) and h.get(k) == host.get(k) for k in ('mac', 'ip', 'name'))]
        if command == libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE:
            dhcp.remove(same[0])
        elif same:
            raise FakeError(libvirt.VIR_ERR_OPERATION_INVALID)
        else:
            dhcp.append(host)


class FakeHost:
    def __init__(self) -> None:
        self.networks = {}

    def connection(self): return self
    def networkCreateXML(self, xml): return FakeNetwork(self, xml)
    def listAllNetworks(self, flags): return list(self.networks.values())

    def networkLookupByName(self, name):
        if name not in self.networks:
            raise FakeError(libvirt.VIR_ERR_NO_NETWORK)
        return self.networks[name]

    def nwfilterLookupByName(self, name):
        raise FakeError(libvirt.VIR_ERR_NO_NWFILTER)


@pytest.fixture
def host():
    return FakeHost()


@pytest.fixture
def networks(host):
    return vif.Networks(host)


def test_a_network_lives_from_the_first_port_to_the_last(host, networks):
    one, two = (make_instance(network_info=[make_vif(n)], hostname=f'vm{n}') for n in (1, 2))
    networks.plug(one)
    networks.plug(one)
    networks.plug(two)
    assert host.networks['minicompute-n1'].entries() == [
        ('fa:16:3e:00:00:01', '10.9.0.5', 'vm1'), ('fa:16:3e:00:00:02', '10.9.0.6', 'vm2')]
    networks.unplug(one)
    networks.unplug(one)
    assert host.networks['minicompute-n1'].entries() == [('fa:16:3e:00:00:02', '10.9.0.6', 'vm2')]
    networks.unplug(two)
    assert host.networks == {}
    networks.unplug(two)


def test_stale_entries_give_way(host, networks):
    networks.plug(make_instance(network_info=[make_vif(1)]))
    networks.plug(
        make_instance(network_info=[make_vif(2, fixed_ips=[FixedIP('10.9.0.5', 's1')])], hostname='new')
    )
    assert host.networks['minicompute-n1'].entries() == [('fa:16:3e:00:00:02', '10.9.0.5', 'new')]


def test_two_servers_of_one_name(host, networks):
    for number in (1, 2):
        networks.plug(make_instance(network_info=[make_vif(number)], hostname='same'))
    assert [name for _, _, name in host.networks['minicompute-n1'].entries()] == ['same', None]


def test_a_network_with_domains_on_it_stays(host, networks):
    instance = make_instance(network_info=[make_vif()])
    networks.plug(instance)
    host.networks['minicompute-n1'].ports = ['somebody']
    networks.unplug(instance)
    assert host.networks['minicompute-n1'].entries() == []
    assert networks.sweep(set(), set()) == []
    host.networks['minicompute-n1'].ports = []
    assert networks.sweep(set(), set()) == ['minicompute-n1']


def test_sweep_forgets_cards_without_a_domain_but_not_those_of_a_build(host, networks, monkeypatch):
    one, two = make_vif(1), make_vif(2)
    networks.plug(make_instance(network_info=[one, two]))
    assert networks.sweep(set(), set()) == []
    assert networks.sweep({two.mac_address}, {one.mac_address}) == []
    networks.plug(make_instance(network_info=[one]))
    monkeypatch.setattr(vif, 'DOMAIN_FOLLOWS', -1.0)
    assert networks.sweep({two.mac_address}, set()) == []
    assert [mac for mac, _, _ in host.networks['minicompute-n1'].entries()] == [two.mac_address]
    assert networks.sweep(set(), set()) == ['minicompute-n1']


def test_what_is_not_ours_is_neither_made_nor_removed(host, networks):
    foreign = make_instance(network_info=[make_vif(details={**NAT, 'libvirt_network': 'default'})])
    with pytest.raises(exception.NetworkNotFound):
        networks.plug(foreign)
    FakeNetwork(host, '<network><name>default</name><ip><dhcp/></ip></network>')
    networks.plug(foreign)
    networks.unplug(foreign)
    assert networks.sweep(set(), set()) == [] and 'default' in host.networks


def test_details_that_are_missing_are_named(networks):
    with pytest.raises(exception.InternalError, match='bridge, prefix'):
        networks.plug(make_instance(network_info=[
            make_vif(details={'libvirt_network': 'minicompute-n1', 'gateway': '10.9.0.1'})]))


def test_dnsmasq_is_not_its_own_forwarder():
    told = make_vif(details={**NAT, 'dns': ['10.9.0.1', '9.9.9.9']})
    assert vif.nat_network(told, []).dns == ['9.9.9.9']


def test_a_missing_filter_stops_the_start(networks, option):
    with pytest.raises(exception.ConfigurationError, match='libvirt-daemon-config-nwfilter'):
        networks.check()
    option('libvirt', port_filter='')
    networks.check()


def cards(instance):
    return vif.interfaces(instance, hardware.guest(instance.flavor, instance.image_properties), 1)


def test_a_bridge_of_the_host():
    card, = cards(make_instance(network_info=[make_vif(kind='bridge', details={'bridge': 'br0'})]))
    assert (card.kind, card.source, card.filter, card.addresses) == (
        'bridge',
        'br0',
        'clean-traffic',
        ['10.9.0.5'],
    )
    assert len(card.device) <= 15


def test_no_filter_where_port_security_is_off(option):
    card, = cards(make_instance(network_info=[make_vif(details={**NAT, 'port_security': False})]))
    assert card.filter is None
    option('libvirt', port_filter='')
    card, = cards(make_instance(network_info=[make_vif()]))
    assert card.filter is None


def test_a_strange_kind_is_refused():
    with pytest.raises(exception.NotImplementedHere, match='vhostuser'):
        cards(make_instance(network_info=[make_vif(kind='vhostuser')]))


def test_a_host_name_that_dns_cannot_have_is_left_out():
    assert vif.dhcp_hosts(make_vif(), 'bad_name.x')[0].name is None
    assert vif.dhcp_hosts(make_vif(fixed_ips=[FixedIP('fd00::1', 's', version=6)]), 'vm') == []


@pytest.mark.parametrize('code', [libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID])
def test_another_daemon_takes_the_network_away_first(host, networks, monkeypatch, code):
    instance = make_instance(network_info=[make_vif(1)], hostname='vm1')
    networks.plug(instance)

    def late(self):
        del self.connection.networks[self.name()]
        raise FakeError(code)
    monkeypatch.setattr(FakeNetwork, 'destroy', late)
    networks.unplug(instance)
    assert host.networks == {}


def test_a_network_that_cannot_be_removed_is_told(networks, monkeypatch):
    instance = make_instance(network_info=[make_vif(1)], hostname='vm1')
    networks.plug(instance)

    def refuse(self):
        raise FakeError(libvirt.VIR_ERR_INTERNAL_ERROR)
    monkeypatch.setattr(FakeNetwork, 'destroy', refuse)
    with pytest.raises(libvirt.libvirtError):
        networks.unplug(instance)
