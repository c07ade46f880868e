"""The API on a Neutron: what it accepts and refuses, what it answers, and what Neutron tells it."""
from __future__ import annotations

import dataclasses
import threading
import uuid as uuidlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import servicegroup
from minicompute.conductor import debts
from minicompute.conductor.flow import Flow
from minicompute.conductor.flows import ports
from minicompute.db import session
from minicompute.db.api import instances, owed
from minicompute.db.models import instance_actions
from minicompute.objects import Instance
from tests.functional.cloud import Cloud
from tests.functional.neutron_server import HOST, Fault, Neutron
from tests.functional.test_broken_off import held


@pytest.fixture
def cloud(database: str, neutron: Neutron, monkeypatch: Any) -> Iterator[Cloud]:
    """Neutron tells it of its ports, as the real one does."""
    made = Cloud()
    neutron.heard = lambda event, port: tell(made, event, port['device_id'], port['id'])
    yield made
    made.stop()


def tell(cloud: Cloud, name: str, server: str, tag: str) -> None:
    cloud.request('POST', '/os-server-external-events', {'events': [
        {'name': name, 'server_uuid': server, 'tag': tag, 'status': 'completed'}]})


def record(uuid: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, uuid)


def boot(cloud: Cloud, *nets: str, **more: Any) -> Any:
    made = cloud.boot(networks=[{'uuid': net} for net in nets], **more)
    return cloud.wait(made['id'])


def quiet(cloud: Cloud) -> None:
    cloud.until(lambda: 'locks' not in cloud.leaks(), 'the end of the actions')


def refused(cloud: Cloud, networks: Any, expect: int, user: str = 'alice', **more: Any) -> str:
    answer = cloud.boot(networks=networks, expect=expect, user=user, **more)
    return str(next(iter(answer.values()))['message'])


# -- a server on a network -----------------------------------------------------------------------------

def test_its_addresses_and_groups_are_answered_from_the_record(cloud: Cloud, neutron: Neutron) -> None:
    net, group = neutron.network(name='front'), neutron.group('web')
    server = boot(cloud, net, security_groups=[{'name': 'web'}])
    port = next(iter(neutron.ports.values()))
    assert port['device_id'] == server['id'] and port['project_id'] == 'demo'
    assert port['device_owner'] == f"compute:{server['OS-EXT-AZ:availability_zone']}"
    assert port['security_groups'] == [group] and port['dns_name'] == 'vm'
    neutron.floating(port['id'], '203.0.113.7')
    tell(cloud, 'network-changed', server['id'], port['id'])
    before = len(neutron.server.seen)
    shown = cloud.show(server['id'])
    assert shown['addresses'] == {'front': [
        {'version': 4, 'addr': port['fixed_ips'][0]['ip_address'], 'OS-EXT-IPS:type': 'fixed',
         'OS-EXT-IPS-MAC:mac_addr': port['mac_address']},
        {'version': 4, 'addr': '203.0.113.7', 'OS-EXT-IPS:type': 'floating',
         'OS-EXT-IPS-MAC:mac_addr': port['mac_address']}]}
    assert shown['security_groups'] == [{'name': 'web'}]
    cards = cloud.api('GET', f"/servers/{server['id']}/os-interface")['interfaceAttachments']
    assert [(card['port_id'], card['port_state']) for card in cards] == [(port['id'], 'ACTIVE')]
    assert len(neutron.server.seen) == before, 'a read asks nobody'
    cloud.api('DELETE', f"/servers/{server['id']}")
    cloud.wait_gone(server['id'])
    assert not neutron.ports


def test_the_event_starts_the_guest(cloud: Cloud, neutron: Neutron, monkeypatch: Any) -> None:
    """Through the API and the wire, to the conductor that waits; the next look would be in an hour."""
    monkeypatch.setattr(ports, 'LOOK_AGAIN', 3600.0)
    neutron.plugs_after = None
    uuid = cloud.boot(networks=[{'uuid': neutron.network()}])['id']
    engine = cloud.services['conductor1'].manager.engine     # type: ignore[attr-defined]
    cloud.until(lambda: engine.load()['waiting'] == 1, 'the flow to wait')
    assert cloud.show(uuid)['status'] == 'BUILD'
    neutron.plug(next(iter(neutron.ports)))
    cloud.wait(uuid)
    assert record(uuid).network_info[0].active


def test_a_guest_that_stays_off_waits_for_no_port(cloud: Cloud, neutron: Neutron) -> None:
    """From 2.95 on an evacuated server is left stopped: it has no tap that an agent could see."""
    uuid = boot(cloud, neutron.network())['id']
    lost = str(record(uuid).host)
    cloud.stop(lost)
    (service,) = cloud.api('GET', f'/os-services?binary=nova-compute&host={lost}')['services']
    cloud.api('PUT', f'/os-services/{service["id"]}', {'forced_down': True})
    neutron.plugs_after = None
    cloud.api('POST', f'/servers/{uuid}/action', {'evacuate': {}}, version='2.95', expect=200)
    cloud.wait(uuid, 'SHUTOFF')
    port, = neutron.ports.values()
    assert port[HOST] == record(uuid).host != lost


def test_a_port_goes_down_and_up(cloud: Cloud, neutron: Neutron) -> None:
    uuid = boot(cloud, neutron.network())['id']
    port = next(iter(neutron.ports))
    for name, state in (('network-vif-unplugged', 'DOWN'), ('network-vif-plugged', 'ACTIVE')):
        tell(cloud, name, uuid, port)
        shown = cloud.api('GET', f'/servers/{uuid}/os-interface/{port}')['interfaceAttachment']
        assert shown['port_state'] == state


def test_a_port_that_is_deleted_is_pulled(cloud: Cloud, neutron: Neutron) -> None:
    uuid = boot(cloud, neutron.network(), neutron.network(name='two'))['id']
    port = record(uuid).network_info[0].id
    del neutron.ports[port]
    tell(cloud, 'network-vif-deleted', uuid, port)
    cloud.until(lambda: len(record(uuid).network_info) == 1, 'the card to be gone')
    quiet(cloud)


# -- what is accepted ------------------------------------------------------------------------------------

def test_what_is_not_there(cloud: Cloud, neutron: Neutron) -> None:
    nowhere, other = str(uuidlib.uuid4()), neutron.network('other')
    assert 'could not be found' in refused(cloud, [{'uuid': nowhere}], 400)
    assert 'could not be found' in refused(cloud, [{'uuid': other}], 400)
    assert 'could not be found' in refused(cloud, [{'port': nowhere}], 400)
    assert 'could not be found' in refused(cloud, [{'port': neutron.port(other, 'other')}], 400)
    assert 'requires a subnet' in refused(cloud, [{'uuid': neutron.network(subnet=False)}], 400)
    assert "'no-such'" in refused(cloud, [{'uuid': neutron.network()}], 400, security_groups=[{'name': 'no-such'}])


def test_what_is_taken(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    used = neutron.port(net, device_id='somebody', fixed_ips=[{'ip_address': '10.10.0.50'}])
    assert 'still in use' in refused(cloud, [{'port': used}], 409)
    assert 'already in use' in refused(cloud, [{'uuid': net, 'fixed_ip': '10.10.0.50'}], 400)
    assert 'requires a FixedIP' in refused(cloud, [{'port': neutron.port(net, fixed_ips=[])}], 400)
    assert 'more than once' in refused(cloud, [{'port': (own := neutron.port(net))}, {'port': own}], 400)


def test_an_external_network_is_for_operators(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network('other', external=True)
    assert 'external network' in refused(cloud, [{'uuid': net}], 403)
    boot(cloud, net)


def test_two_groups_of_one_name(cloud: Cloud, neutron: Neutron) -> None:
    first, _ = neutron.group('web'), neutron.group('web')
    net = neutron.network()
    assert 'Use an ID' in refused(cloud, [{'uuid': net}], 409, security_groups=[{'name': 'web'}])
    boot(cloud, net, security_groups=[{'name': first}])
    assert [port['security_groups'] for port in neutron.ports.values()] == [[first]]


def test_the_quota_of_ports(cloud: Cloud, neutron: Neutron) -> None:
    net, neutron.quota = neutron.network(), 2
    assert 'ports' in refused(cloud, [{'uuid': net}] * 3, 403)
    cloud.boot(networks=[{'uuid': net}], min_count=1, max_count=5)
    cloud.until(lambda: len(neutron.ports) == 2, 'as many servers as there are ports')
    quiet(cloud)
    assert len(cloud.api('GET', '/servers')['servers']) == 2


def test_the_only_network(cloud: Cloud, neutron: Neutron) -> None:
    none = cloud.wait(cloud.boot(networks='none')['id'])
    assert none['addresses'] == {} and not neutron.ports
    refused(cloud, 'auto', 400)
    neutron.topology = str(uuidlib.uuid4())
    auto = cloud.wait(cloud.boot(networks='auto')['id'])
    assert list(auto['addresses']) == ['auto_allocated_network']
    assert list(cloud.wait(cloud.boot(networks='auto')['id'])['addresses']) == ['auto_allocated_network']
    neutron.network(shared=True)
    assert 'Multiple possible networks' in refused(cloud, 'auto', 409)


def test_neutron_is_away(cloud: Cloud, neutron: Neutron) -> None:
    """The request is refused, nothing is begun, and what needs no Neutron goes on."""
    net = neutron.network()
    server = boot(cloud, net)['id']
    neutron.faults.append(Fault('*', '/', 503, times=None))
    assert 'Network service is not available' in refused(cloud, [{'uuid': net}], 503)
    assert cloud.show(server)['addresses']
    assert len(cloud.api('GET', '/servers')['servers']) == 1
    cloud.api('POST', f'/servers/{server}/action', {'os-stop': None}, expect=202)
    cloud.wait(server, 'SHUTOFF')
    cloud.api('DELETE', f'/servers/{server}')
    quiet_delete = cloud.show(server)
    assert quiet_delete['OS-EXT-STS:task_state'] == 'deleting'
    newest = cloud.api('GET', f'/servers/{server}/os-instance-actions')['instanceActions'][0]
    path = f"/servers/{server}/os-instance-actions/{newest['request_id']}"
    cloud.until(lambda: any('waits: The Network service' in str(event.get('details'))
                            for event in cloud.api('GET', path)['instanceAction']['events']), 'it to say why it waits')
    neutron.faults.clear()
    cloud.wait_gone(server)
    assert not neutron.ports


# -- cards ------------------------------------------------------------------------------------------------

def attach(cloud: Cloud, uuid: str, expect: int = 200, **body: Any) -> Any:
    answer = cloud.api('POST', f'/servers/{uuid}/os-interface', {'interfaceAttachment': body}, expect=expect)
    return answer['interfaceAttachment'] if expect == 200 else str(next(iter(answer.values()))['message'])


def test_a_card_comes_and_goes(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    uuid = boot(cloud, net)['id']
    card = attach(cloud, uuid, net_id=net, fixed_ips=[{'ip_address': '10.10.0.77'}], tag='blue')
    assert (card['net_id'], card['tag'], card['fixed_ips'][0]['ip_address']) == (net, 'blue', '10.10.0.77')
    port = neutron.ports[card['port_id']]
    assert port['device_id'] == uuid and port[HOST] == record(uuid).host
    quiet(cloud)
    assert [one.tag for one in record(uuid).network_info] == [None, 'blue']
    cloud.api('DELETE', f"/servers/{uuid}/os-interface/{card['port_id']}", expect=202)
    cloud.until(lambda: card['port_id'] not in neutron.ports, 'the port to be gone')
    quiet(cloud)
    assert len(record(uuid).network_info) == 1


@pytest.mark.parametrize('by_hand', [False, True])
def test_a_port_that_nobody_heard_of_goes_by_itself(cloud: Cloud, neutron: Neutron, monkeypatch: Any,
                                                    by_hand: bool) -> None:
    """The answer that told of it was lost, and Neutron is silent since: what the record does not know is not the
    server's, and a port that a user made stays, without the server."""
    steps = tuple(dataclasses.replace(step, deadline=lambda: 2) for step in Flow.registry['attach_interface'].steps)
    monkeypatch.setattr(Flow.registry['attach_interface'], 'steps', steps)
    net = neutron.network()
    uuid = boot(cloud, net)['id']
    quiet(cloud)
    strange = neutron.port(neutron.network(), device_id=uuid)       # its user has given it the server's name
    before = set(neutron.ports)
    own = neutron.port(net) if by_hand else None

    class Lost(Fault):
        def hits(self, method: str, path: str) -> bool:
            hit = super().hits(method, path)
            if hit:
                neutron.faults.append(Fault('*', '/', 503, times=None))
            return hit
    neutron.faults.append(Lost('PUT' if by_hand else 'POST', '/ports', 'drop', after=True))
    answer = cloud.request('POST', f'/servers/{uuid}/os-interface', {
        'interfaceAttachment': {'port_id': own} if by_hand else {'net_id': net}})
    quiet(cloud)
    assert answer.status_int >= 400 and len(neutron.ports) == len(before) + 1
    neutron.faults.clear()
    debts.pay()
    assert set(neutron.ports) == before | ({own} if by_hand else set())
    assert {port['id'] for port in neutron.ports.values() if port['device_id'] == uuid} == before
    assert {card.id for card in record(uuid).network_info} == before - {strange}
    with session.read() as conn:
        assert not owed.of_neighbours(conn, 10)


def test_a_users_port_comes_and_stays(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    uuid, own = boot(cloud, net)['id'], neutron.port(net)
    assert attach(cloud, uuid, port_id=own)['port_id'] == own
    quiet(cloud)
    assert 'still in use' in attach(cloud, uuid, 409, port_id=own)
    cloud.api('DELETE', f'/servers/{uuid}/os-interface/{own}', expect=202)
    cloud.until(lambda: neutron.ports[own]['device_id'] == '', 'the port to be free')
    quiet(cloud)
    assert neutron.ports[own][HOST] == ''


def test_two_cards_at_once_are_two(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    uuid = boot(cloud, net)['id']
    first, second = attach(cloud, uuid, net_id=net), attach(cloud, uuid, net_id=net)
    assert first['port_id'] != second['port_id']
    quiet(cloud)
    assert len(record(uuid).network_info) == 3 == len(neutron.held())


@pytest.mark.parametrize('by_hand', [False, True])
def test_what_is_refused_in_the_queue_takes_no_port_of_another(cloud: Cloud, neutron: Neutron, monkeypatch: Any,
                                                               by_hand: bool) -> None:
    """The first has its port, and its host falls silent while it plugs that in. The second has made none yet."""
    heard = servicegroup.down_hosts
    unheard: set[str] = set()

    def down_hosts(conn: Any, hosts: set[str], **kwargs: Any) -> Any:
        return {**heard(conn, hosts, **kwargs), **dict.fromkeys(unheard & set(hosts))}
    monkeypatch.setattr(servicegroup, 'down_hosts', down_hosts)
    conductor: Any = cloud.services['conductor1'].manager
    # The queue is looked at before what holds the server, as happens on a machine with several conductors.
    conductor.engine._steady, conductor.wire.steady = lambda: False, lambda: True
    net = neutron.network()
    uuid = boot(cloud, net)['id']
    quiet(cloud)
    before = set(neutron.ports)
    first = {'port_id': neutron.port(net)} if by_hand else {'net_id': net}
    answers: dict[str, Any] = {}

    def ask(name: str, body: dict[str, Any]) -> threading.Thread:
        def run() -> None:
            answers[name] = cloud.request('POST', f'/servers/{uuid}/os-interface', {'interfaceAttachment': body})
        made = threading.Thread(target=run)
        made.start()
        return made
    with held('attach_interface') as there:
        asked = [ask('first', first)]
        assert there.wait(60)
        (port,) = set(neutron.held()) - before
        asked.append(ask('second', {'net_id': net}))
        cloud.until(lambda: len(attachments_of(uuid)) == 2, 'the second to stand in the queue')
        unheard.add(str(record(uuid).host))
        cloud.until(lambda: 'failed' in attachments_of(uuid), 'the second to be refused')
        assert neutron.held().get(port) == uuid
        conductor.engine._steady = lambda: True
        quiet(cloud)
    for each in asked:
        each.join()
    assert answers['second'].status_int == 409 and neutron.held().get(port) == uuid
    assert port in {card.id for card in record(uuid).network_info}, 'nobody could say whether the guest has it'


def attachments_of(uuid: str) -> list[str]:
    """The states of its attachments of cards, the oldest first."""
    with session.read() as conn:
        return list(conn.scalars(sa.select(instance_actions.c.state).where(
            instance_actions.c.instance_uuid == uuid, instance_actions.c.flow == 'attach_interface').order_by(
            instance_actions.c.id)))


def test_what_a_flow_finds_wrong_is_the_answer(cloud: Cloud, neutron: Neutron) -> None:
    net = neutron.network()
    uuid = boot(cloud, net)['id']
    neutron.quota = 1
    assert 'Quota exceeded' in attach(cloud, uuid, 403, net_id=net)
    quiet(cloud)
    assert len(neutron.ports) == 1


# -- security groups ----------------------------------------------------------------------------------------

def test_groups_come_and_go(cloud: Cloud, neutron: Neutron) -> None:
    web, net = neutron.group('web'), neutron.network()
    uuid = boot(cloud, net)['id']

    def act(name: str, group: str, expect: int = 202) -> None:
        cloud.api('POST', f'/servers/{uuid}/action', {name: {'name': group}}, expect=expect)
    act('addSecurityGroup', 'web')
    act('addSecurityGroup', web)
    assert [port['security_groups'] for port in neutron.ports.values()] == [[web]]
    assert cloud.show(uuid)['security_groups'] == [{'name': 'web'}]
    shown = cloud.api('GET', f'/servers/{uuid}/os-security-groups')['security_groups']
    assert [one['name'] for one in shown] == ['web']
    act('removeSecurityGroup', 'web')
    assert [port['security_groups'] for port in neutron.ports.values()] == [[]]
    act('removeSecurityGroup', 'web', 404)
    act('addSecurityGroup', 'no-such', 404)
    neutron.group('web')
    act('addSecurityGroup', 'web', 409)


# -- what older versions do for users ---------------------------------------------------------------------------

def old(cloud: Cloud, method: str, path: str, body: Any = None, expect: int = 200) -> Any:
    return cloud.api(method, path, body, expect=expect, version='2.35')


def test_floating_addresses(cloud: Cloud, neutron: Neutron) -> None:
    neutron.network('other', external=True, name='public')
    uuid = boot(cloud, neutron.network())['id']
    port = next(iter(neutron.ports.values()))
    assert old(cloud, 'GET', '/os-floating-ip-pools') == {'floating_ip_pools': [{'name': 'public'}]}
    old(cloud, 'POST', '/os-floating-ips', {'pool': 'no-such'}, 404)
    made = old(cloud, 'POST', '/os-floating-ips', {'pool': 'public'})['floating_ip']
    assert made['fixed_ip'] is None and made['pool'] == 'public'
    add = {'addFloatingIp': {'address': made['ip']}}
    old(cloud, 'POST', f'/servers/{uuid}/action', add, 202)
    shown = old(cloud, 'GET', f"/os-floating-ips/{made['id']}")['floating_ip']
    assert shown == {**made, 'fixed_ip': port['fixed_ips'][0]['ip_address'], 'instance_id': uuid}
    assert old(cloud, 'GET', '/os-floating-ips') == {'floating_ips': [shown]}
    assert made['ip'] in [one['addr'] for one in cloud.show(uuid)['addresses']['net']]
    remove = {'removeFloatingIp': {'address': made['ip']}}
    old(cloud, 'POST', f'/servers/{uuid}/action', remove, 202)
    old(cloud, 'POST', f'/servers/{uuid}/action', remove, 409)
    assert made['ip'] not in [one['addr'] for one in cloud.show(uuid)['addresses']['net']]
    old(cloud, 'DELETE', f"/os-floating-ips/{made['id']}", expect=202)
    old(cloud, 'GET', f"/os-floating-ips/{made['id']}", expect=404)


def test_security_groups_and_rules(cloud: Cloud, neutron: Neutron) -> None:
    body = {'security_group': {'name': 'web', 'description': 'of the web'}}
    made = old(cloud, 'POST', '/os-security-groups', body)['security_group']
    rule = {'parent_group_id': made['id'], 'ip_protocol': 'TCP', 'from_port': 80, 'to_port': 80, 'cidr': '10.0.0.0/8'}
    ruled = old(cloud, 'POST', '/os-security-group-rules', {'security_group_rule': rule})['security_group_rule']
    assert ruled['ip_range'] == {'cidr': '10.0.0.0/8'} and (ruled['from_port'], ruled['ip_protocol']) == (80, 'tcp')
    ping = {'parent_group_id': made['id'], 'ip_protocol': 'icmp', 'from_port': -1, 'to_port': -1}
    assert old(cloud, 'POST', '/os-security-group-rules', {'security_group_rule': ping})['security_group_rule'][
        'from_port'] == -1
    assert [len(one['rules']) for one in old(cloud, 'GET', '/os-security-groups')['security_groups']] == [2]
    changed = old(cloud, 'PUT', f"/os-security-groups/{made['id']}", {
        'security_group': {'name': 'www', 'description': ''}})['security_group']
    assert changed['name'] == 'www'
    old(cloud, 'DELETE', f"/os-security-group-rules/{ruled['id']}", expect=202)
    old(cloud, 'DELETE', f"/os-security-group-rules/{ruled['id']}", expect=404)
    old(cloud, 'DELETE', f"/os-security-groups/{made['id']}", expect=202)
    old(cloud, 'GET', f"/os-security-groups/{made['id']}", expect=404)


def test_networks_of_the_project(cloud: Cloud, neutron: Neutron) -> None:
    mine, shared = neutron.network(name='mine'), neutron.network('other', shared=True, name='shared')
    neutron.network('other')
    assert {one['id'] for one in old(cloud, 'GET', '/os-networks')['networks']} == {mine, shared}
    assert old(cloud, 'GET', f'/os-networks/{mine}')['network']['label'] == 'mine'
    old(cloud, 'GET', '/os-networks/' + str(uuidlib.uuid4()), expect=404)


def test_an_administrator_attaches_what_is_the_servers_projects(cloud: Cloud, neutron: Neutron) -> None:
    """Not what his own project has, whose quota is none of it either."""
    theirs, mine = neutron.network('demo'), neutron.network('admin')
    uuid = boot(cloud, theirs)['id']
    before = len(neutron.server.seen)
    card = cloud.api('POST', f'/servers/{uuid}/os-interface', {'interfaceAttachment': {}}, expect=200,
                     user='admin', project='admin')['interfaceAttachment']
    assert card['net_id'] == theirs != mine
    asked = [path for _, path, _, _ in neutron.server.seen[before:] if 'quotas' in path]
    assert asked and all('/quotas/demo' in path for path in asked)
    quiet(cloud)


def test_lists_have_pages(cloud: Cloud, neutron: Neutron) -> None:
    """As many as its operator says."""
    neutron.page = 1
    nets = [neutron.network(name=f'n{number}') for number in range(3)]
    assert {one['id'] for one in old(cloud, 'GET', '/os-networks')['networks']} == set(nets)
    server = boot(cloud, *nets)
    assert list(server['addresses']) == ['n0', 'n1', 'n2']
    assert len(record(server['id']).network_info) == 3
    cloud.api('DELETE', f"/servers/{server['id']}")
    cloud.wait_gone(server['id'])
    assert not neutron.ports


def test_an_id_is_one_part_of_a_path(cloud: Cloud, neutron: Neutron) -> None:
    floating, net = str(uuidlib.uuid4()), neutron.network()
    neutron.tables['floatingips'][floating] = {'id': floating}
    for kind, one in (('os-floating-ips', floating), ('os-networks', net)):
        for id_ in (f'{one}%3Ffields=id', f'{one}%23x', '%2E%2E', '%2E'):
            old(cloud, 'GET', f'/{kind}/{id_}', expect=404)
    old(cloud, 'DELETE', f'/os-floating-ips/{floating}%3Fforce', expect=404)
    assert floating in neutron.tables['floatingips']


def test_only_groups_that_rules_name_are_asked_for(cloud: Cloud, neutron: Neutron) -> None:
    """And not the thousands that there are, for an administrator of all projects."""
    web, db = neutron.group('web'), neutron.group('db')
    foreign = neutron.group('secret', 'other')
    for source in (db, foreign):
        neutron.tables['security_groups'][web]['security_group_rules'].append({
            'id': str(uuidlib.uuid4()), 'direction': 'ingress', 'security_group_id': web, 'protocol': 'tcp',
            'port_range_min': 80, 'port_range_max': 80, 'remote_group_id': source, 'remote_ip_prefix': None})
    uuid = boot(cloud, neutron.network(), security_groups=[{'name': web}])['id']

    def sources(**who: str) -> set[str]:
        found = cloud.api('GET', f'/servers/{uuid}/os-security-groups', **who)['security_groups']
        return {rule['group']['name'] for rule in found[0]['rules']}
    before = len(neutron.server.seen)
    assert sources() == {'db', 'secret'} and sources(user='alice') == {'db'}
    asked = [path for _, path, _, _ in neutron.server.seen[before:] if '/security-groups' in path]
    assert asked and all('id=' in path.replace('tenant_id=', '') for path in asked), asked
