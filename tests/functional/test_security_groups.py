"""Security groups of the local networks: the Network API, servers, and what the hosts are told."""
from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from webob import Request

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import security_groups
from tests.functional.cloud import Cloud

ANN = {'user': 'ann', 'project': 'p'}
NOBODY = '00000000-0000-4000-8000-000000000000'


def net(cloud: Cloud, method: str, path: str, body: Any = None, expect: int = 0, **who: str) -> Any:
    """The Network API."""
    caller = {**ANN, **who}
    request = Request.blank(f'/network/v2.0{path}', method=method)
    request.headers['X-Auth-Token'] = f"{caller['user']}:{caller['project']}"
    if body is not None:
        request.body, request.content_type = json.dumps(body).encode(), 'application/json'
    answer = request.get_response(cloud.app)
    assert answer.status_int == expect if expect else answer.status_int < 300, answer.text
    return answer.json if answer.body else None


def group(cloud: Cloud, name: str, *rules: dict[str, Any]) -> str:
    made = net(cloud, 'POST', '/security-groups', {'security_group': {'name': name}})['security_group']['id']
    for rule in rules:
        add_rule(cloud, made, **rule)
    return str(made)


def add_rule(cloud: Cloud, group_id: str, **rule: Any) -> str:
    body = {'security_group_id': group_id, 'direction': 'ingress', **rule}
    return str(net(cloud, 'POST', '/security-group-rules', {'security_group_rule': body})['security_group_rule']['id'])


def boot(cloud: Cloud, *names: str, **more: Any) -> str:
    server = cloud.boot(networks='auto', **({'security_groups': [{'name': name} for name in names]} if names else {}),
                        **ANN, **more)
    return str(cloud.wait(server['id'])['id'])


def wall(cloud: Cloud, uuid: str) -> Any:
    """What the host of a server keeps for its card."""
    host = cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    kept = cloud.services[host].manager.driver.firewalls.get(uuid)
    return None if kept is None else list(kept.values())


def rules_of(cloud: Cloud, uuid: str) -> Any:
    kept = wall(cloud, uuid)
    return kept and [one and sorted(map(tuple, one['rules']), key=str) for one in kept]


OUT = ('egress', None, None, None, None)
#: what Neutron answers beyond a quota
QUOTA = 409
SSH = {'protocol': 'tcp', 'port_range_min': 22, 'port_range_max': 22}


def test_a_server_is_in_the_groups_that_it_asked_for(cloud: Cloud) -> None:
    ssh = group(cloud, 'ssh', SSH)
    uuid = boot(cloud, 'ssh')
    assert cloud.show(uuid)['security_groups'] == [{'name': 'ssh'}]
    net(cloud, 'PUT', f'/security-groups/{ssh}', {'security_group': {'name': ''}})
    assert cloud.show(uuid)['security_groups'] == [{'name': ssh}]
    wanted = sorted([OUT, ('ingress', 'tcp', 22, 22, None)], key=str)
    cloud.until(lambda: rules_of(cloud, uuid) == [wanted], 'the host to know the rules')
    port = net(cloud, 'GET', f'/ports?device_id={uuid}')['ports'][0]
    assert port['security_groups'] == [ssh]
    net(cloud, 'DELETE', f'/security-groups/{ssh}', expect=409)
    web = add_rule(cloud, ssh, protocol='tcp', port_range_min=80, port_range_max=81, remote_ip_prefix='10.1.0.5/16')
    more = sorted([*wanted, ('ingress', 'tcp', 80, 81, '10.1.0.0/16')], key=str)
    cloud.until(lambda: rules_of(cloud, uuid) == [more], 'the host to know the new rule')
    net(cloud, 'DELETE', f'/security-group-rules/{web}')
    cloud.until(lambda: rules_of(cloud, uuid) == [wanted], 'the host to forget it')
    (shown,) = cloud.api('GET', f'/servers/{uuid}/os-security-groups', **ANN)['security_groups']
    assert [rule['from_port'] for rule in shown['rules']] == [22]


def test_default_lets_everything_in_until_somebody_changes_it(cloud: Cloud) -> None:
    uuid = boot(cloud)
    assert cloud.show(uuid)['security_groups'] == [{'name': 'default'}]
    (default,) = net(cloud, 'GET', '/security-groups')['security_groups']
    (ingress,) = [rule['id'] for rule in default['security_group_rules'] if rule['direction'] == 'ingress']
    net(cloud, 'DELETE', f'/security-group-rules/{ingress}')
    egress = ('egress', None, None, None, None)
    cloud.until(lambda: rules_of(cloud, uuid) == [[egress]], 'nothing to be let in')
    assert net(cloud, 'GET', f"/security-groups/{default['id']}")['security_group']['created_at']
    add_rule(cloud, default['id'])
    cloud.until(lambda: wall(cloud, uuid) == [None], 'everything to be let in')


def test_groups_come_and_go_while_it_runs(cloud: Cloud) -> None:
    uuid = boot(cloud)
    group(cloud, 'ssh', SSH)
    for action, names in (('addSecurityGroup', ['default', 'ssh']), ('addSecurityGroup', ['default', 'ssh'])):
        cloud.api('POST', f'/servers/{uuid}/action', {action: {'name': 'ssh'}}, **ANN)
        assert [one['name'] for one in cloud.show(uuid)['security_groups']] == names
    cloud.api('POST', f'/servers/{uuid}/action', {'removeSecurityGroup': {'name': 'default'}}, **ANN)
    assert cloud.show(uuid)['security_groups'] == [{'name': 'ssh'}]
    cloud.until(lambda: (rules_of(cloud, uuid) or [[]])[0] and len(rules_of(cloud, uuid)[0]) == 2, 'the host to know')
    cloud.api('POST', f'/servers/{uuid}/action', {'removeSecurityGroup': {'name': 'default'}}, expect=404, **ANN)
    ports = net(cloud, 'GET', f'/ports?device_id={uuid}')['ports']
    net(cloud, 'PUT', f"/ports/{ports[0]['id']}", {'port': {'security_groups': []}})
    assert 'security_groups' not in cloud.show(uuid) or cloud.show(uuid)['security_groups'] == []
    cloud.until(lambda: rules_of(cloud, uuid) == [[]], 'nothing to pass')
    net(cloud, 'PUT', f"/ports/{ports[0]['id']}", {'port': {'security_groups': [NOBODY]}}, expect=404)
    net(cloud, 'PUT', f"/ports/{ports[0]['id']}", {'port': {'mac_address': 'fa:16:3e:00:00:01'}}, expect=400)


def test_who_is_in_a_group_may_be_let_in(cloud: Cloud) -> None:
    """The host of the first learns of the second, which came later."""
    web = group(cloud, 'web')
    add_rule(cloud, web, remote_group_id=web)
    first = boot(cloud, 'web')
    one = cloud.show(first)['addresses'].popitem()[1][0]['addr']
    second = boot(cloud, web)
    two = cloud.show(second)['addresses'].popitem()[1][0]['addr']
    wanted = sorted([OUT] + [('ingress', None, None, None, str(prefix)) for prefix in
                             ipaddress.collapse_addresses(map(ipaddress.ip_network, (one, two)))], key=str)
    for uuid in (first, second):
        cloud.until(lambda uuid=uuid: rules_of(cloud, uuid) == [wanted], 'both to be let in')
    (shown,) = [rule for rule in net(cloud, 'GET', f'/security-groups/{web}')['security_group']['security_group_rules']
                if rule['direction'] == 'ingress']
    assert shown['remote_group_id'] == web


def test_ports_and_what_rules_come_to_are_bounded(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    web, ssh = group(cloud, 'web'), group(cloud, 'ssh')
    uuid = boot(cloud, 'ssh')
    network = net(cloud, 'GET', f'/ports?device_id={uuid}')['ports'][0]['network_id']
    body = {'port': {'network_id': network, 'security_groups': [web], 'fixed_ips': []}}
    own = cloud.show(uuid)['addresses'].popitem()[1][0]['addr']     # any of the network's, by chance one of these
    for address in [f'10.77.0.{last}' for last in (20, 30, 40, 50) if own != f'10.77.0.{last}'][:3]:
        body['port']['fixed_ips'] = [{'ip_address': address}]
        net(cloud, 'POST', '/ports', body)
    monkeypatch.setattr(security_groups, 'MOST_ENTRIES', 6)
    rule = {'security_group_id': ssh, 'direction': 'ingress', 'remote_group_id': web}
    add_rule(cloud, ssh, remote_group_id=web, protocol='tcp')
    net(cloud, 'POST', '/security-group-rules', {'security_group_rule': {**rule, 'protocol': 'udp'}}, expect=QUOTA)
    cloud.until(lambda: rules_of(cloud, uuid) and len(rules_of(cloud, uuid)[0]) == 4, 'the host to know the first')
    CONF.set_override('max_ports', 4, 'local_networks')
    body['port']['fixed_ips'] = []
    answer = net(cloud, 'POST', '/ports', body, expect=QUOTA)
    assert 'port' in str(answer)


def test_a_lost_word_is_made_good(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was told nothing asks again by itself: it looks when the record of a server that it works on names a
    filter, and now and then."""
    uuid = boot(cloud)
    group(cloud, 'ssh', SSH)
    monkeypatch.setattr('minicompute.compute.rpcapi.refresh_security_rules', lambda host: None)
    cloud.api('POST', f'/servers/{uuid}/action', {'addSecurityGroup': {'name': 'ssh'}}, **ANN)
    cloud.api('POST', f'/servers/{uuid}/action', {'removeSecurityGroup': {'name': 'default'}}, **ANN)
    cloud.api('POST', f'/servers/{uuid}/action', {'reboot': {'type': 'HARD'}}, **ANN)
    cloud.until(lambda: rules_of(cloud, uuid) and rules_of(cloud, uuid)[0], 'the host to know the rules')


def test_a_move_takes_the_filter_along(cloud: Cloud) -> None:
    group(cloud, 'ssh', SSH)
    uuid = boot(cloud, 'ssh')
    before = cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    cloud.api('POST', f'/servers/{uuid}/action', {'os-migrateLive': {'host': None, 'block_migration': 'auto'}},
              version='2.30')
    cloud.until(lambda: cloud.show(uuid)['OS-EXT-SRV-ATTR:host'] != before, 'it to move')
    cloud.wait(uuid)
    cloud.until(lambda: rules_of(cloud, uuid) and rules_of(cloud, uuid)[0], 'the other host to know the rules')


def test_what_is_refused(cloud: Cloud) -> None:
    web = group(cloud, 'web', SSH)
    group(cloud, 'twice'), group(cloud, 'twice')
    body: dict[str, Any] = {'name': 'vm', 'flavorRef': cloud.flavor(disk=1), 'imageRef': cloud.image(),
                            'networks': 'auto'}
    for name, code in (('nowhere', 400), ('twice', 409)):
        cloud.api('POST', '/servers', {'server': {**body, 'security_groups': [{'name': name}]}}, expect=code, **ANN)
    for rule, code in (({**SSH}, 409), ({'protocol': 'carp'}, 400), ({'protocol': 'tcp', 'port_range_min': 5}, 400),
                       ({'protocol': 'icmp', 'port_range_min': 256}, 400), ({'protocol': 'esp', 'port_range_min': 1,
                                                                             'port_range_max': 2}, 400),
                       ({'protocol': 136, 'port_range_min': 5, 'port_range_max': 5}, 400),
                       ({'protocol': 'tcp', 'port_range_min': '1', 'port_range_max': '70000'}, 400),
                       ({'remote_ip_prefix': 'fe80::%' + 'x' * 40 + '/64', 'ethertype': 'IPv6'}, 400),
                       ({'remote_ip_prefix': 'x'}, 400), ({'remote_ip_prefix': 'fd00::/8'}, 400),
                       ({'remote_ip_prefix': '10.0.0.0/8', 'remote_group_id': web}, 400),
                       ({'remote_group_id': NOBODY}, 404), ({'direction': 'up'}, 400)):
        wanted = {'security_group_id': web, 'direction': 'ingress', **rule}
        net(cloud, 'POST', '/security-group-rules', {'security_group_rule': wanted}, expect=code)
    eve = {'user': 'eve', 'project': 'q'}
    for method, path in (('GET', ''), ('PUT', ''), ('DELETE', '')):
        net(cloud, method, f'/security-groups/{web}{path}', {'security_group': {}} if method == 'PUT' else None,
            expect=404, **eve)
    assert [one['name'] for one in net(cloud, 'GET', '/security-groups', **eve)['security_groups']] == ['default']
    assert net(cloud, 'GET', '/security-groups?name=web')['security_groups'][0]['id'] == web
    assert len(net(cloud, 'GET', f'/security-group-rules?security_group_id={web}')['security_group_rules']) == 3
    net(cloud, 'PUT', f'/security-groups/{web}', {'security_group': {'name': 'default'}}, expect=409)
    net(cloud, 'POST', '/security-groups', {'security_group': {'name': 'default'}}, expect=409)
    net(cloud, 'DELETE', f'/security-groups/{security_groups.default_id("p")}', expect=409)
    net(cloud, 'DELETE', f'/security-groups/{web}')
    with session.read() as conn:
        assert {one.name for one in security_groups.of_project(conn, 'p')} == {'default', 'twice'}


def test_a_group_that_goes_before_the_build_fails_it(cloud: Cloud) -> None:
    """Rather than a server that lets in what nobody meant to let in."""
    from minicompute.virt.fake import FakeDriver
    web = group(cloud, 'web', SSH)
    for name in list(cloud.services):
        if name.startswith('scheduler'):
            cloud.stop(name)
    uuid = cloud.boot(networks='auto', security_groups=[{'name': 'web'}], **ANN)['id']
    net(cloud, 'DELETE', f'/security-groups/{web}')
    from minicompute import rpc, servicegroup
    from minicompute.scheduler.manager import SchedulerManager
    from minicompute.service import Service
    cloud._start('scheduler2', Service(servicegroup.SCHEDULER, rpc.SCHEDULER, SchedulerManager(), host='scheduler2'))
    server = cloud.wait(uuid, 'ERROR')
    assert web in server['fault']['message'] and not FakeDriver.faults
