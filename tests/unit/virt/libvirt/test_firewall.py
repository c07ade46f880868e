"""What security groups become for libvirt."""
from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import libvirt
import pytest

from minicompute import exception
from minicompute.objects import VIF
from minicompute.virt import metadata
from minicompute.virt.libvirt import firewall, guest
from minicompute.virt.libvirt.config.base import parse, render
from minicompute.virt.libvirt.config.nwfilter import NetworkFilter

MAC = 'fa:16:3e:00:00:01'
WALL = {'name': 'minicompute-sg-a', 'rules': [['egress', None, None, None, None]]}
DOMAIN = ("<domain><devices><interface type='network'><mac address='%s'/>%s</interface>"
          "<interface type='bridge'><mac address='fa:16:3e:00:00:02'/></interface></devices></domain>")
CLEAN = "<filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.5'/></filterref>"


def rules(*some):
    tree = parse(render(NetworkFilter('minicompute-sg-a', 'clean-traffic', list(some))))
    assert [one.get('filter') for one in tree.findall('filterref')] == ['clean-traffic']
    return [(rule.get('action'), rule.get('direction'), rule[0].tag, rule[0].attrib) for rule in tree.findall('rule')]


def test_only_dhcp_passes_without_rules():
    first, second, last, frames = rules()
    assert first == ('accept', 'out', 'udp', {'srcportstart': '68', 'dstportstart': '67'})
    assert second == ('accept', 'in', 'udp', {'srcportstart': '67', 'dstportstart': '68'})
    assert last == ('drop', 'inout', 'all', {})
    assert frames == ('drop', 'inout', 'mac', {'protocolid': 'ipv6'})


@pytest.mark.parametrize(('rule', 'wanted'), [
    (['egress', None, None, None, None], ('accept', 'out', 'all', {})),
    (['ingress', 'tcp', 22, None, None], ('accept', 'in', 'tcp', {'dstportstart': '22', 'dstportend': '22'})),
    (['ingress', '17', 1, 9, '10.0.0.0/8'], ('accept', 'in', 'udp', {
        'srcipaddr': '10.0.0.0', 'srcipmask': '8', 'dstportstart': '1', 'dstportend': '9'})),
    (['egress', 'icmp', 8, 0, '10.0.0.1/32'], ('accept', 'out', 'icmp', {
        'dstipaddr': '10.0.0.1', 'dstipmask': '32', 'type': '8', 'code': '0'})),
    (['ingress', 'esp', None, None, None], ('accept', 'in', 'esp', {}))])
def test_rules(rule, wanted):
    assert rules(rule)[2:-2] == [wanted]


def test_of_a_protocol_that_libvirt_does_not_know_nothing_passes():
    assert rules(['ingress', 'vrrp', None, None, None], ['ingress', 'udplite', 53, 53, None])[2:-2] == []


def test_a_filter_keeps_its_uuid():
    first, second = (parse(render(NetworkFilter('minicompute-sg-a', None, some))).findtext('uuid')
                     for some in ([], [['egress', None, None, None, None]]))
    assert first == second and first


class Host:
    """As much of a libvirtd as there has to be."""

    def __init__(self, filters=()):
        self.filters, self.defined = list(filters), []

    def connection(self):
        return SimpleNamespace(nwfilterDefineXML=self._define, listAllNWFilters=lambda flags: [
            SimpleNamespace(name=lambda name=name: name, undefine=lambda name=name: self._undefine(name))
            for name in list(self.filters)])

    def _define(self, xml):
        name = parse(xml).get('name')
        if name.endswith('refused'):
            raise libvirt.libvirtError('no')
        self.defined.append(name)
        self.filters.append(name)

    def _undefine(self, name):
        if name.endswith('used'):
            raise libvirt.libvirtError('in use')
        self.filters.remove(name)


class Domain:
    uuid = 'u'

    def __init__(self, live, refuses=False):
        self.changes, self._refuses, self._trees = [], refuses, {False: live, True: DOMAIN % (MAC, CLEAN)}

    def tree(self, inactive=False):
        return ElementTree.fromstring(self._trees[inactive])

    def running(self):
        return True

    def change(self, xml, flag):
        if self._refuses:
            raise libvirt.libvirtError('no')
        self.changes.append((ElementTree.fromstring(xml).find('filterref'), flag))


def keep(monkeypatch, host, domain, wall):
    monkeypatch.setattr(guest, 'find', lambda _host, uuid: domain)
    return firewall.Firewalls(host).keep({'u': {MAC: wall}})


def test_a_card_gets_its_filter_and_keeps_its_addresses(monkeypatch):
    host, domain = Host(['minicompute-sg-old', 'minicompute-sg-used', 'clean-traffic']), Domain(DOMAIN % (MAC, CLEAN))
    assert keep(monkeypatch, host, domain, WALL) is True
    assert host.defined == ['minicompute-sg-a']
    assert host.filters == ['minicompute-sg-used', 'clean-traffic', 'minicompute-sg-a']
    assert [flag for _, flag in domain.changes] == [libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE]
    for found, _ in domain.changes:
        assert found.get('filter') == 'minicompute-sg-a' and found.find('parameter').get('value') == '10.0.0.5'


def test_a_card_that_has_its_filter_is_left_alone(monkeypatch):
    domain = Domain(DOMAIN % (MAC, CLEAN.replace('clean-traffic', 'minicompute-sg-a')))
    keep(monkeypatch, Host(), domain, WALL)
    assert [flag for _, flag in domain.changes] == [libvirt.VIR_DOMAIN_AFFECT_CONFIG]


def test_a_card_without_groups_is_as_before(monkeypatch):
    domain = Domain(DOMAIN % (MAC, CLEAN.replace('clean-traffic', 'minicompute-sg-a')))
    assert keep(monkeypatch, Host(), domain, None) is False
    assert [found.get('filter') for found, _ in domain.changes] == ['clean-traffic']


def test_one_that_cannot_be_changed_keeps_nobody_from_the_others(monkeypatch, caplog):
    assert keep(monkeypatch, Host(), Domain(DOMAIN % (MAC, CLEAN), refuses=True), WALL) is True
    assert 'does not get the rules' in caplog.text


def test_a_server_that_is_not_here(monkeypatch):
    def nowhere(_host, uuid):
        raise exception.DomainNotFound(instance_id=uuid)
    monkeypatch.setattr(guest, 'find', nowhere)
    assert firewall.Firewalls(Host()).keep({'u': {MAC: WALL}}) is True


def test_a_filter_stays_until_the_domain_that_asked_for_it_has_come(monkeypatch):
    """A live migration: the ports are still the source's when this host asks what it has."""
    host = Host()
    walls = firewall.Firewalls(host)
    walls.define([WALL])
    assert walls.keep({}) is False and host.filters == ['minicompute-sg-a']
    monkeypatch.setattr(firewall, 'DOMAIN_FOLLOWS', -1.0)
    assert walls.keep({}) is False and host.filters == []


def test_a_filter_that_libvirt_refuses_keeps_nobody_from_the_others(monkeypatch, caplog):
    host, domain = Host(['minicompute-sg-old']), Domain(DOMAIN % (MAC, CLEAN))
    monkeypatch.setattr(guest, 'find', lambda _host, uuid: domain)
    bad = {'name': 'minicompute-sg-refused', 'rules': []}
    walls = firewall.Firewalls(host)
    with pytest.raises(exception.InternalError, match='sg-refused'):    # the manager tries again soon
        walls.keep({'v': {'fa:16:3e:00:00:09': bad}, 'u': {MAC: WALL}})
    assert host.filters == ['minicompute-sg-a'] and len(domain.changes) == 2
    assert 'refuses' in caplog.text
    with pytest.raises(exception.InternalError):
        walls.define([bad])


def test_a_host_where_bridges_pass_the_firewall_by_says_so(monkeypatch, caplog, tmp_path):
    setting = tmp_path / 'bridge-nf-call-iptables'
    monkeypatch.setattr(firewall, 'BRIDGED', setting)
    monkeypatch.setattr(guest, 'find', lambda _host, uuid: Domain(DOMAIN % (MAC, CLEAN)))
    walls = firewall.Firewalls(Host())
    for content, said in (('1\n', 0), ('0\n', 1), ('0\n', 1), ('1\n', 1), ('0\n', 2)):
        setting.write_text(content)
        walls.keep({'u': {MAC: WALL}})
        assert caplog.text.count('do not hold between guests') == said


def test_what_ec2_tells_of_groups():
    from minicompute.objects import Instance
    cards = [VIF(id='1', network_id='n', network_name='n', mac_address=MAC, details=details)
             for details in ({}, {'security_groups': ['web', 'default']})]
    md = metadata.from_instance(Instance(uuid='u', project_id='p', user_id='u', network_info=cards))
    assert md.security_groups == ['default', 'web']


def test_a_filter_without_a_card_may_be_of_yesterday(monkeypatch):
    host = Host(['minicompute-sg-a'])
    walls = firewall.Firewalls(host)
    walls.define([WALL])
    assert host.defined == ['minicompute-sg-a']     # nobody kept it up to date while no card here had it
    domain = Domain(DOMAIN % (MAC, CLEAN))
    monkeypatch.setattr(guest, 'find', lambda _host, uuid: domain)
    walls.keep({'u': {MAC: WALL}})
    walls.define([{**WALL, 'rules': []}])           # what a server's record says is older than that
    assert host.defined == ['minicompute-sg-a'] * 2
