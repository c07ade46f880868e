"""Resize and cold migration through the whole cloud: there, confirmed, back, and whatever goes wrong on the way."""
from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.models import allocations, compute_nodes, migrations
from minicompute.objects import PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud

HOST = 'OS-EXT-SRV-ATTR:host'


def homes(cloud: Cloud, uuid: str) -> dict[str, int]:
    """{host: power state} of the server's domains"""
    return {name: domain.power_state for name, service in cloud.services.items() if name.startswith('compute')
            for domain in service.manager.driver.domains() if domain.uuid == uuid}   # type: ignore[attr-defined]


def claims(uuid: str) -> list[tuple[str, int]]:
    """(host, MiB) of all that is held for the server"""
    with session.read() as conn:
        rows = conn.execute(sa.select(compute_nodes.c.host, allocations.c.memory_mb).join(
            compute_nodes, compute_nodes.c.id == allocations.c.node_id).where(allocations.c.instance_uuid == uuid))
        return sorted((row[0], row[1]) for row in rows)


def status(uuid: str) -> list[str]:
    with session.read() as conn:
        return list(conn.execute(sa.select(migrations.c.status).where(
            migrations.c.instance_uuid == uuid).order_by(migrations.c.id)).scalars())


def act(cloud: Cloud, uuid: str, name: str, argument: Any = None, **kwargs: Any) -> Any:
    return cloud.api('POST', f'/servers/{uuid}/action', {name: argument}, **kwargs)


def actions(cloud: Cloud, uuid: str) -> list[Any]:
    return list(cloud.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions'])


def booted(cloud: Cloud, **changes: Any) -> Any:
    server = cloud.boot(**changes)
    return cloud.wait(server['id'])


def to_larger(cloud: Cloud, uuid: str, **changes: Any) -> str:
    flavor = cloud.flavor(ram=128, vcpus=2, disk=2, **changes)
    act(cloud, uuid, 'resize', {'flavorRef': flavor}, expect=202)
    return flavor


def resized(cloud: Cloud, uuid: str) -> Any:
    to_larger(cloud, uuid)
    return cloud.wait(uuid, 'VERIFY_RESIZE')


# -- the good ends ---------------------------------------------------------------------

def test_resize_and_confirm(cloud: Cloud) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    after = resized(cloud, uuid)
    dest = after[HOST]
    assert dest != source and after['flavor']['ram'] == 128
    assert homes(cloud, uuid) == {source: PowerState.SHUTDOWN, dest: PowerState.RUNNING}
    assert claims(uuid) == sorted([(source, 64), (dest, 128)])
    assert status(uuid) == ['finished']

    act(cloud, uuid, 'confirmResize', expect=204)
    cloud.wait(uuid)
    assert homes(cloud, uuid) == {dest: PowerState.RUNNING}
    assert claims(uuid) == [(dest, 128)] and status(uuid) == ['confirmed']
    assert [a['action'] for a in actions(cloud, uuid)] == ['confirmResize', 'resize', 'create']
    assert not cloud.leaks()
    act(cloud, uuid, 'revertResize', expect=409)


def test_resize_and_revert(cloud: Cloud) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    resized(cloud, uuid)
    act(cloud, uuid, 'revertResize', expect=202)
    after = cloud.wait(uuid)
    assert after[HOST] == source and after['flavor'] == before['flavor']
    assert homes(cloud, uuid) == {source: PowerState.RUNNING}
    assert claims(uuid) == [(source, 64)] and status(uuid) == ['reverted']
    assert not cloud.leaks()
    act(cloud, uuid, 'confirmResize', expect=409)
    resized(cloud, uuid)     # and it can be resized again


def test_a_stopped_server_stays_stopped(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    act(cloud, uuid, 'os-stop')
    cloud.wait(uuid, 'SHUTOFF')
    dest = resized(cloud, uuid)[HOST]
    assert homes(cloud, uuid)[dest] == PowerState.SHUTDOWN
    act(cloud, uuid, 'confirmResize')
    cloud.wait(uuid, 'SHUTOFF')
    assert homes(cloud, uuid) == {dest: PowerState.SHUTDOWN}


def test_a_stopped_server_comes_back_stopped(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    act(cloud, uuid, 'os-stop')
    source = cloud.wait(uuid, 'SHUTOFF')[HOST]
    resized(cloud, uuid)
    act(cloud, uuid, 'revertResize')
    cloud.wait(uuid, 'SHUTOFF')
    assert homes(cloud, uuid) == {source: PowerState.SHUTDOWN}


def test_migrate_keeps_the_flavor(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3)
    before = booted(cloud)
    uuid = before['id']
    wanted = next(name for name in ('compute1', 'compute2', 'compute3') if name != before[HOST])
    act(cloud, uuid, 'migrate', {'host': wanted}, expect=202)
    after = cloud.wait(uuid, 'VERIFY_RESIZE')
    assert after[HOST] == wanted and after['flavor'] == before['flavor']
    act(cloud, uuid, 'confirmResize')
    cloud.wait(uuid)
    act(cloud, uuid, 'migrate', version='2.55')
    assert cloud.wait(uuid, 'VERIFY_RESIZE')[HOST] != wanted
    assert [a['action'] for a in actions(cloud, uuid)][0] == 'migrate'


def test_the_one_host_may_keep_it(make_cloud: Any, conf: Any) -> None:
    conf.set_override('allow_resize_to_same_host', True)
    cloud = make_cloud(computes=1)
    before = booted(cloud)
    uuid, host = before['id'], before[HOST]
    assert resized(cloud, uuid)[HOST] == host
    assert homes(cloud, uuid) == {host: PowerState.RUNNING}
    assert claims(uuid) == [(host, 64), (host, 128)]
    act(cloud, uuid, 'revertResize')
    assert cloud.wait(uuid)['flavor'] == before['flavor']
    resized(cloud, uuid)
    act(cloud, uuid, 'confirmResize')
    cloud.wait(uuid)
    assert homes(cloud, uuid) == {host: PowerState.RUNNING} and claims(uuid) == [(host, 128)]
    assert not cloud.leaks()


def test_what_nobody_ends_is_confirmed(cloud: Cloud, conf: Any) -> None:
    conf.set_override('resize_confirm_window', 1)
    uuid = booted(cloud)['id']
    to_larger(cloud, uuid)
    cloud.until(lambda: status(uuid) == ['confirmed'], 'the confirmation')
    assert cloud.wait(uuid)['flavor']['ram'] == 128
    assert actions(cloud, uuid)[0]['action'] == 'confirmResize' and not cloud.leaks()


# -- what goes wrong -------------------------------------------------------------------

def broken(verb: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        FakeDriver.faults.pop(verb, None)
        raise RuntimeError('planned')
    FakeDriver.faults[verb] = refuse


@pytest.mark.parametrize('verb', [
    f'{verb}{when}' for verb in ('prepare_move', 'leave', 'open_move', 'send_disks', 'arrive', 'check_move')
    for when in ('', '.after')])
def test_it_runs_on_where_it_was(cloud: Cloud, verb: str) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    broken(verb)
    to_larger(cloud, uuid)
    after = cloud.wait(uuid)
    assert after[HOST] == source and after['flavor'] == before['flavor']
    assert homes(cloud, uuid) == {source: PowerState.RUNNING}
    assert claims(uuid) == [(source, 64)] and status(uuid) == ['error']
    assert actions(cloud, uuid)[0]['message'] and not cloud.leaks()
    resized(cloud, uuid)     # the next one works


def test_a_destination_that_cannot_is_one_of_several(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3)
    uuid = booted(cloud)['id']
    refused: list[str] = []

    def refuse(driver: Any, which: str) -> None:
        refused.append(driver.host)
        FakeDriver.faults.pop('prepare_move')
        raise RuntimeError('planned')
    FakeDriver.faults['prepare_move'] = refuse
    dest = resized(cloud, uuid)[HOST]
    assert dest not in refused and status(uuid) == ['finished'] and len(claims(uuid)) == 2


@pytest.mark.parametrize('verb', ['power_off.after', 'arrive', 'arrive.after', 'check_move.after'])
def test_a_revert_that_fails_leaves_it_resized(cloud: Cloud, verb: str) -> None:
    uuid = booted(cloud)['id']
    dest = resized(cloud, uuid)[HOST]
    broken(verb)
    act(cloud, uuid, 'revertResize')
    cloud.until(lambda: actions(cloud, uuid)[0]['message'], 'the failure')
    assert cloud.wait(uuid, 'VERIFY_RESIZE')[HOST] == dest
    assert homes(cloud, uuid)[dest] == PowerState.RUNNING
    assert sorted(homes(cloud, uuid).values()).count(PowerState.RUNNING) == 1
    assert status(uuid) == ['finished']
    act(cloud, uuid, 'revertResize')
    cloud.wait(uuid)
    assert not cloud.leaks() and len(homes(cloud, uuid)) == 1


def test_no_room_anywhere(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    huge = cloud.flavor(ram=40000, vcpus=1, disk=700000)
    act(cloud, uuid, 'resize', {'flavorRef': huge}, expect=202)
    cloud.wait(uuid)
    assert 'No valid host' in actions(cloud, uuid)[0]['message'] and status(uuid) == ['error']
    assert len(claims(uuid)) == 1


def test_a_delete_ends_both_ends(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    resized(cloud, uuid)
    cloud.api('DELETE', f'/servers/{uuid}')
    cloud.wait_gone(uuid)
    assert homes(cloud, uuid) == {} and claims(uuid) == [] and status(uuid) == ['confirmed']
    assert not cloud.leaks()


@pytest.mark.parametrize('verb', ['prepare_move', 'send_disks', 'arrive.after'])
def test_a_delete_wins_in_the_middle(cloud: Cloud, verb: str) -> None:
    uuid = booted(cloud)['id']
    here, go = threading.Event(), threading.Event()

    def wait(driver: Any, which: str) -> None:
        FakeDriver.faults.pop(verb, None)
        here.set()
        assert go.wait(60)
    FakeDriver.faults[verb] = wait
    to_larger(cloud, uuid)
    assert here.wait(60)
    cloud.api('DELETE', f'/servers/{uuid}')
    go.set()
    cloud.wait_gone(uuid)
    cloud.until(lambda: not cloud.leaks() and not homes(cloud, uuid), 'nothing to be left')
    assert claims(uuid) == []


def test_both_ends_survive_their_daemons(cloud: Cloud) -> None:
    """What may go back is nobody's leftover when the old host starts again."""
    source = booted(cloud)
    uuid = source['id']
    dest = resized(cloud, uuid)[HOST]
    before = homes(cloud, uuid)
    for name in (source[HOST], dest):
        cloud.stop(name)
        cloud.start_compute(name)
        cloud.services[name].manager.housekeeping.clean_up()   # type: ignore[attr-defined]
    assert homes(cloud, uuid) == before
    act(cloud, uuid, 'revertResize')
    assert cloud.wait(uuid)[HOST] == source[HOST]


def test_a_state_set_by_hand_leaves_no_claim(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    resized(cloud, uuid)
    act(cloud, uuid, 'os-resetState', {'state': 'active'})
    cloud.wait(uuid)
    act(cloud, uuid, 'migrate')
    cloud.wait(uuid, 'VERIFY_RESIZE')
    act(cloud, uuid, 'confirmResize')
    host = cloud.wait(uuid)[HOST]
    assert claims(uuid) == [(host, 128)] and status(uuid) == ['confirmed', 'confirmed']


# -- what is refused ---------------------------------------------------------------------

def test_flavors_that_do_not_fit(cloud: Cloud) -> None:
    server = booted(cloud, flavorRef=cloud.flavor(disk=2, ram=128))
    uuid = server['id']
    same = cloud.api('GET', f'/servers/{uuid}', version='2.46')['server']['flavor']['id']
    off = cloud.flavor(disk=4)
    cloud.api('DELETE', f'/flavors/{off}')
    for flavor, why in ((same, 'must change flavor'), (cloud.flavor(disk=1), 'grow and never shrink'),
                        (cloud.flavor(disk=0), 'zero disk'), (off, 'could not be found'), ('no-such', 'could not')):
        answer = cloud.request('POST', f'/servers/{uuid}/action', {'resize': {'flavorRef': flavor}})
        assert answer.status_int == 400 and why in answer.json['badRequest']['message'], (flavor, answer.text)
    assert status(uuid) == []
    for body in ({'resize': {}}, {'resize': None}, {'resize': {'flavorRef': same, 'host': 'x'}},
                 {'migrate': {'host': 'no/host'}}, {'migrate': {'host': server[HOST]}},
                 {'migrate': {'host': 'nobody'}}):
        cloud.api('POST', f'/servers/{uuid}/action', body, expect=400)


def test_more_than_the_quota(cloud: Cloud, conf: Any) -> None:
    uuid = booted(cloud)['id']
    conf.set_override('cores', 2, 'quota')
    act(cloud, uuid, 'resize', {'flavorRef': cloud.flavor(vcpus=3, disk=1)}, expect=403)
    assert status(uuid) == [] and cloud.show(uuid)['status'] == 'ACTIVE'
    to_larger(cloud, uuid)     # two cores are allowed
    cloud.wait(uuid, 'VERIFY_RESIZE')


def test_a_revert_may_be_over_quota(cloud: Cloud, conf: Any) -> None:
    uuid = booted(cloud, flavorRef=cloud.flavor(vcpus=3, disk=1))['id']
    act(cloud, uuid, 'resize', {'flavorRef': cloud.flavor(vcpus=1, disk=1)})
    cloud.wait(uuid, 'VERIFY_RESIZE')
    conf.set_override('cores', 2, 'quota')
    act(cloud, uuid, 'revertResize', expect=403)
    assert cloud.show(uuid)['status'] == 'VERIFY_RESIZE' and status(uuid) == ['finished']


def test_states_and_locks(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    act(cloud, uuid, 'confirmResize', expect=409)
    act(cloud, uuid, 'revertResize', expect=409)
    act(cloud, uuid, 'pause')
    cloud.wait(uuid, 'PAUSED')
    act(cloud, uuid, 'migrate', expect=409)
    act(cloud, uuid, 'resize', {'flavorRef': cloud.flavor(disk=1)}, expect=409)


def test_a_host_that_is_down(cloud: Cloud) -> None:
    server = booted(cloud)
    uuid, source = server['id'], server[HOST]
    service = next(s for s in cloud.api('GET', '/os-services')['services'] if s['host'] == source)
    cloud.api('PUT', f"/os-services/{service['id']}", {'forced_down': True})
    act(cloud, uuid, 'migrate', expect=409)
    cloud.api('PUT', f"/os-services/{service['id']}", {'forced_down': False})
    resized(cloud, uuid)
    cloud.api('PUT', f"/os-services/{service['id']}", {'forced_down': True})
    act(cloud, uuid, 'confirmResize', expect=409)
    act(cloud, uuid, 'revertResize', expect=409)
    assert cloud.show(uuid)['status'] == 'VERIFY_RESIZE'


def test_a_group_holds_on_the_way(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3)
    group = cloud.api('POST', '/os-server-groups', {'server_group': {
        'name': 'apart', 'policy': 'anti-affinity'}})['server_group']['id']
    servers = [booted(cloud, hints={'group': group}) for _ in range(2)]
    free = {'compute1', 'compute2', 'compute3'} - {server[HOST] for server in servers}
    assert resized(cloud, servers[0]['id'])[HOST] in free
    # Now the one that may go back holds its old place too: there is none left for the other.
    act(cloud, servers[1]['id'], 'migrate')
    cloud.wait(servers[1]['id'])
    assert 'No valid host' in actions(cloud, servers[1]['id'])[0]['message']
