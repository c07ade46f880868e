"""Locks, resets of the state, diagnostics, security groups: what owners and operators do besides running servers."""
from __future__ import annotations

import threading
from typing import Any

import pytest

from minicompute.db import session
from minicompute.db.api import actions, migrations
from minicompute.objects import Action, Migration
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud

ANN = {'user': 'ann', 'project': 'p'}


def act(cloud: Cloud, uuid: str, action: str, argument: Any = None, **kwargs: Any) -> Any:
    return cloud.api('POST', f'/servers/{uuid}/action', {action: argument}, **{'expect': 202, **kwargs})


def newest(cloud: Cloud, uuid: str) -> list[tuple[str, Any]]:
    found = cloud.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions']
    return [(one['action'], one['message']) for one in found]


@pytest.fixture
def server(cloud: Cloud) -> str:
    """Ann's."""
    return str(cloud.wait(cloud.boot(**ANN)['id'])['id'])


# -- locks -------------------------------------------------------------------------

def test_a_lock_keeps_out_all_but_administrators(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'lock', {'locked_reason': 'mine'}, **ANN)
    shown = cloud.show(server)
    assert shown['locked'] is True and shown['locked_reason'] == 'mine'
    refused = act(cloud, server, 'os-stop', expect=409, **ANN)
    assert refused['conflictingRequest']['message'] == f'Instance {server} is locked'
    cloud.api('POST', f'/servers/{server}/metadata', {'metadata': {'a': 'b'}}, expect=409, **ANN)
    cloud.api('PUT', f'/servers/{server}/tags/a', expect=201, **ANN)      # as in Nova
    act(cloud, server, 'os-stop')
    cloud.wait(server, 'SHUTOFF')
    act(cloud, server, 'unlock', **ANN)
    shown = cloud.show(server)
    assert shown['locked'] is False and shown['locked_reason'] is None
    act(cloud, server, 'os-start', **ANN)
    cloud.wait(server)
    assert [name for name, _ in newest(cloud, server)] == ['start', 'unlock', 'stop', 'lock', 'create']
    events = cloud.api('GET', f'/servers/{server}/os-instance-actions')['instanceActions'][1]['request_id']
    (event,) = cloud.api('GET', f'/servers/{server}/os-instance-actions/{events}')['instanceAction']['events']
    assert (event['event'], event['result']) == ('api_unlock', 'Success')


def test_the_lock_of_an_administrator_is_his(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'lock')
    refused = act(cloud, server, 'unlock', expect=403, **ANN)
    assert 'os-lock-server:unlock:unlock_override' in refused['forbidden']['message']
    act(cloud, server, 'lock', {'locked_reason': 'no'}, **ANN)      # changes nothing
    assert cloud.show(server)['locked_reason'] is None
    act(cloud, server, 'unlock')
    assert cloud.show(server)['locked'] is False


def test_an_administrator_takes_over_the_lock_of_an_owner(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'lock', {'locked_reason': 'mine'}, **ANN)
    act(cloud, server, 'lock')
    assert cloud.show(server)['locked_reason'] == 'mine'
    act(cloud, server, 'unlock', expect=403, **ANN)


def test_what_a_lock_may_say(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'lock', {'locked_reason': 'no'}, version='2.72')
    assert cloud.show(server)['locked_reason'] is None
    for argument in ({'locked_reason': ''}, {'locked_reason': 'x' * 256}, {'reason': 'x'}, 'x', {'locked_reason': 1}):
        refused = act(cloud, server, 'lock', argument, expect=400)
        assert 'lock' in refused['badRequest']['message'], argument
    act(cloud, server, 'lock', expect=404, user='eve', project='q')
    listed = cloud.api('GET', '/servers?locked=true', **ANN)['servers']
    assert [one['id'] for one in listed] == [server]


# -- resets ------------------------------------------------------------------------

def test_the_state_is_reset_at_once_when_nothing_runs(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'os-resetState', {'state': 'error'})
    assert cloud.show(server)['status'] == 'ERROR'
    act(cloud, server, 'lock')
    act(cloud, server, 'os-resetState', {'state': 'active'})
    assert cloud.show(server)['status'] == 'ACTIVE'
    assert [name for name, _ in newest(cloud, server)][0] == 'resetState'
    act(cloud, server, 'os-resetState', {'state': 'paused'}, expect=400)
    act(cloud, server, 'os-resetState', {'state': 'active'}, expect=403, **ANN)


def test_a_reset_cancels_what_runs(cloud: Cloud, server: str) -> None:
    gate, stopping = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        stopping.set()
        gate.wait(60)
    FakeDriver.faults['power_off'] = hold
    act(cloud, server, 'os-stop')
    assert stopping.wait(60)
    act(cloud, server, 'os-resetState', {'state': 'active'})
    try:
        cloud.wait(server)
        ended = newest(cloud, server)[:2]
        assert ended[0] == ('resetState', None) and ended[1][0] == 'stop'
        assert 'cancelled' in str(ended[1][1])
    finally:
        gate.set()
    act(cloud, server, 'reboot', {'type': 'HARD'})      # the newer fence goes behind the stop, and wins
    cloud.until(lambda: newest(cloud, server)[0] == ('reboot', None) and
                cloud.show(server)['OS-EXT-STS:task_state'] is None, 'the reboot to end')
    assert cloud.show(server)['status'] == 'ACTIVE'
    assert not cloud.leaks()


def test_a_reset_puts_aside_what_is_stuck(cloud: Cloud, server: str) -> None:
    def write(conn: Any) -> int:
        action = Action(action='resize', flow='resize', step='finish', instance_uuid=server, busy=server,
                        request_id='req-1', state='stuck', message='It is stuck.')
        return actions.begin(conn, [action])[0]
    stuck = session.write(write)
    act(cloud, server, 'os-stop', expect=409, **ANN)
    act(cloud, server, 'os-resetState', {'state': 'active'})
    with session.read() as conn:
        (found,) = actions.load(conn, [stuck])
    assert found.state == 'failed' and found.busy is None
    assert found.message == 'It is stuck. The state of the server was reset to active.'
    act(cloud, server, 'os-stop', **ANN)
    cloud.wait(server, 'SHUTOFF')


def test_a_delete_goes_on_whatever_the_state(cloud: Cloud, server: str) -> None:
    gate, going = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        going.set()
        gate.wait(60)
    FakeDriver.faults['destroy'] = hold
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    assert going.wait(60)
    act(cloud, server, 'os-resetState', {'state': 'active'})
    gate.set()
    cloud.wait_gone(server)
    assert not cloud.leaks()


def test_a_server_whose_move_was_abandoned_leaves_nothing(cloud: Cloud, server: str) -> None:
    """An operator ended a stuck move: the other host has something of the server, too."""
    here = cloud.show(server)['OS-EXT-SRV-ATTR:host']
    other = ({'compute1', 'compute2'} - {here}).pop()
    FakeDriver(other)._write(server, 'instance-copy', 4)

    def write(conn: Any) -> None:
        migrations.create(conn, Migration(uuid='5d1f7a6e-0000-4000-8000-000000000001', instance_uuid=server,
                                          migration_type='migration', status='migrating', source_compute=here,
                                          dest_compute=other))
    session.write(write)
    act(cloud, server, 'os-resetState', {'state': 'error'})
    cloud.api('DELETE', f'/servers/{server}', expect=204)
    cloud.wait_gone(server)
    assert not cloud.domains()
    (move,) = cloud.api('GET', '/os-migrations')['migrations']
    assert move['status'] == 'error'


# -- networks of the host ------------------------------------------------------------

def test_network_info_is_injected(cloud: Cloud, server: str) -> None:
    asked: list[str] = []
    FakeDriver.faults['inject_network_info'] = lambda driver, uuid: asked.append(uuid)
    act(cloud, server, 'injectNetworkInfo')
    cloud.until(lambda: newest(cloud, server)[0] == ('inject_network_info', None) and not cloud.leaks(), 'its end')
    assert asked == [server]
    act(cloud, server, 'injectNetworkInfo', expect=403, **ANN)


def test_an_injection_that_fails_changes_nothing(cloud: Cloud, server: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    FakeDriver.faults['inject_network_info'] = refuse
    act(cloud, server, 'injectNetworkInfo')
    cloud.until(lambda: newest(cloud, server)[0][1], 'it to fail')
    assert cloud.show(server)['status'] == 'ACTIVE' and not cloud.leaks()


# -- looking in ----------------------------------------------------------------------

def test_diagnostics_in_both_forms(cloud: Cloud) -> None:
    server = cloud.wait(cloud.boot(networks='auto', flavorRef=cloud.flavor(vcpus=2, disk=1))['id'])
    found = cloud.api('GET', f'/servers/{server["id"]}/diagnostics')
    assert found['state'] == 'running' and found['num_cpus'] == 2 and len(found['cpu_details']) == 2
    (card,) = next(iter(server['addresses'].values()))
    assert [one['mac_address'] for one in found['nic_details']] == [card['OS-EXT-IPS-MAC:mac_addr']]
    old = cloud.api('GET', f'/servers/{server["id"]}/diagnostics', version='2.47')
    assert old == {'memory': 64 * 1024}
    cloud.api('GET', f'/servers/{server["id"]}/diagnostics', expect=403, user='bob', project='demo')


def test_diagnostics_of_what_does_not_run(cloud: Cloud, server: str) -> None:
    act(cloud, server, 'os-stop')
    cloud.wait(server, 'SHUTOFF')
    refused = cloud.api('GET', f'/servers/{server}/diagnostics', expect=409)
    assert refused['conflictingRequest']['message'] == (
        f"Cannot 'get_diagnostics' instance {server} while it is in power state shutdown")
    FakeDriver.faults['spawn'] = lambda driver, uuid: 1 / 0
    failed = cloud.boot()['id']
    cloud.wait(failed, 'ERROR')
    cloud.api('GET', f'/servers/{failed}/diagnostics', expect=409)


def test_topology(cloud: Cloud, server: str) -> None:
    assert cloud.api('GET', f'/servers/{server}/topology') == {'nodes': [], 'pagesize_kb': None}
    cloud.api('GET', f'/servers/{server}/topology', version='2.77', expect=404)
    cloud.api('GET', f'/servers/{server}/topology', expect=404, user='eve', project='q')


def test_security_groups(cloud: Cloud) -> None:
    uuid = cloud.wait(cloud.boot(networks='auto', **ANN)['id'])['id']
    (group,) = cloud.api('GET', f'/servers/{uuid}/os-security-groups', **ANN)['security_groups']
    assert group['name'] == 'default' and group['tenant_id'] == 'p'
    assert [rule['ip_range'] for rule in group['rules']] == [{'cidr': '0.0.0.0/0'}]
    for name in ('default', group['id']):
        act(cloud, uuid, 'addSecurityGroup', {'name': name}, **ANN)
    for name in ('default', group['id']):
        act(cloud, uuid, 'removeSecurityGroup', {'name': name}, expect=202 if name == 'default' else 404, **ANN)
    assert cloud.api('GET', f'/servers/{uuid}/os-security-groups', **ANN)['security_groups'] == []
    refused = act(cloud, uuid, 'addSecurityGroup', {'name': 'web'}, expect=404, **ANN)
    assert 'Security group web is not found for project p' in refused['itemNotFound']['message']
    act(cloud, uuid, 'removeSecurityGroup', {'name': 'web'}, expect=404, **ANN)
    for argument in (None, {}, {'name': ''}, {'name': ' '}, {'name': 1}, {'name': 'a', 'b': 1}):
        act(cloud, uuid, 'addSecurityGroup', argument, expect=400, **ANN)
    bare = cloud.wait(cloud.boot(**ANN)['id'])['id']
    assert cloud.api('GET', f'/servers/{bare}/os-security-groups')['security_groups'] == []
    act(cloud, bare, 'addSecurityGroup', {'name': 'default'}, expect=404, **ANN)


def test_a_build_that_is_cancelled_by_a_reset_unwinds(cloud: Cloud) -> None:
    """Of a build nothing is left: no claim, no address."""
    gate, spawning = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        spawning.set()
        gate.wait(60)
    FakeDriver.faults['spawn'] = hold
    uuid = cloud.boot(networks='auto')['id']
    assert spawning.wait(60)
    act(cloud, uuid, 'os-resetState', {'state': 'error'})
    gate.set()
    cloud.wait(uuid, 'ERROR')
    cloud.until(lambda: not cloud.leaks(), 'nothing to be held')
    assert cloud.show(uuid)['OS-EXT-SRV-ATTR:host'] is None
