"""A delete that may be taken back for a while."""
from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest

from minicompute.conductor import due
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud


@pytest.fixture
def keeps(conf: Any, cloud: Cloud) -> Cloud:
    conf.set_override('reclaim_instance_interval', 3600)
    return cloud


def act(cloud: Cloud, uuid: str, action: str, argument: Any = None, **kwargs: Any) -> Any:
    return cloud.api('POST', f'/servers/{uuid}/action', {action: argument}, **{'expect': 202, **kwargs})


def deleted(cloud: Cloud, **changes: Any) -> str:
    uuid: str = cloud.wait(cloud.boot(**changes)['id'])['id']
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    cloud.wait(uuid, 'SOFT_DELETED')
    return uuid


def time_is_up(uuid: str) -> None:
    past = session.utcnow() - datetime.timedelta(seconds=1)
    session.write(instances.update, uuid, {'due_at': past})


def due_at(uuid: str) -> datetime.datetime | None:
    with session.read() as conn:
        return instances.get(conn, uuid).due_at


def test_a_deleted_server_is_off_and_hidden_and_comes_back(keeps: Cloud) -> None:
    uuid = deleted(keeps, name='mine')
    server = keeps.show(uuid)
    assert server['OS-EXT-STS:vm_state'] == 'soft-delete' and server['OS-EXT-STS:power_state'] == 4
    assert uuid in keeps.domains() and due_at(uuid) is not None
    listed = [one['id'] for one in keeps.api('GET', '/servers')['servers']]
    assert uuid not in listed
    for query, found in (('deleted=True', [uuid]), ('soft_deleted=True', [uuid]), ('status=SOFT_DELETED', []),
                         ('vm_state=soft-delete', []), ('status=SOFT_DELETED&soft_deleted=1', [uuid]),
                         ('status=SOFT_DELETED&deleted=1', [uuid])):
        assert [one['id'] for one in keeps.api('GET', f'/servers?{query}')['servers']] == found, query
    act(keeps, uuid, 'os-start', expect=409)
    act(keeps, uuid, 'restore')
    server = keeps.wait(uuid)
    assert server['OS-EXT-STS:power_state'] == 1 and due_at(uuid) is None
    assert [one['id'] for one in keeps.api('GET', '/servers')['servers']] == [uuid]
    names = [one['action'] for one in keeps.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions']]
    assert names == ['restore', 'delete', 'create']
    act(keeps, uuid, 'restore', expect=409)


def test_its_time_is_up(keeps: Cloud) -> None:
    uuid = deleted(keeps)
    other = deleted(keeps)
    time_is_up(uuid)
    keeps.wait_gone(uuid)
    assert keeps.show(other)['status'] == 'SOFT_DELETED'
    act(keeps, other, 'forceDelete')
    keeps.wait_gone(other)
    assert not keeps.leaks()


def test_a_second_delete_changes_nothing(keeps: Cloud) -> None:
    uuid = deleted(keeps)
    before = due_at(uuid)
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    assert keeps.show(uuid)['OS-EXT-STS:task_state'] is None and due_at(uuid) == before


def test_without_the_option_a_delete_is_for_good(cloud: Cloud) -> None:
    uuid = cloud.wait(cloud.boot()['id'])['id']
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    cloud.wait_gone(uuid)
    assert not cloud.leaks()


def test_what_never_ran_is_deleted_for_good(keeps: Cloud) -> None:
    gate, spawning = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        spawning.set()
        gate.wait(60)
    FakeDriver.faults['spawn'] = hold
    uuid = keeps.boot()['id']
    assert spawning.wait(60)
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    gate.set()
    keeps.wait_gone(uuid)
    assert not keeps.leaks()


def test_it_waits_for_what_runs(keeps: Cloud) -> None:
    """A half-done server would not be worth restoring."""
    uuid = keeps.wait(keeps.boot()['id'])['id']
    gate, rebooting = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        rebooting.set()
        gate.wait(60)
    FakeDriver.faults['reboot'] = hold
    act(keeps, uuid, 'reboot', {'type': 'HARD'})
    assert rebooting.wait(60)
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    gate.set()
    keeps.wait(uuid, 'SOFT_DELETED')
    found = keeps.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions']
    assert [(one['action'], one['message']) for one in found[:2]] == [('delete', None), ('reboot', None)]


def test_a_delete_for_good_ends_one_that_waits(keeps: Cloud) -> None:
    uuid = keeps.wait(keeps.boot()['id'])['id']
    gate, rebooting = threading.Event(), threading.Event()

    def hold(driver: Any, uuid: str) -> None:
        rebooting.set()
        gate.wait(60)
    FakeDriver.faults['reboot'] = hold
    act(keeps, uuid, 'reboot', {'type': 'HARD'})
    assert rebooting.wait(60)
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    act(keeps, uuid, 'forceDelete')
    gate.set()
    keeps.wait_gone(uuid)
    keeps.until(lambda: not keeps.leaks(), 'nothing to be held')


def test_a_server_whose_delete_has_waited_shows_it(cloud: Cloud) -> None:
    """What it waits for ends without a task; nobody may begin something with the server then."""
    uuid = cloud.wait(cloud.boot()['id'])['id']
    rebooting, may_reboot, destroying, may_destroy = (threading.Event() for _ in range(4))

    def hold(reached: threading.Event, gate: threading.Event) -> Any:
        def fault(driver: Any, uuid: str) -> None:
            reached.set()
            gate.wait(60)
        return fault
    FakeDriver.faults['reboot'] = hold(rebooting, may_reboot)
    FakeDriver.faults['destroy'] = hold(destroying, may_destroy)
    act(cloud, uuid, 'reboot', {'type': 'HARD'})
    assert rebooting.wait(60)
    act(cloud, uuid, 'forceDelete')
    may_reboot.set()
    assert destroying.wait(60)
    assert cloud.api('GET', f'/servers/{uuid}')['server']['OS-EXT-STS:task_state'] == 'deleting'
    act(cloud, uuid, 'os-stop', expect=409)
    may_destroy.set()
    cloud.wait_gone(uuid)


def test_a_restore_needs_room_in_the_quota(conf: Any, keeps: Cloud) -> None:
    conf.set_override('instances', 1, 'quota')
    uuid = deleted(keeps)
    assert keeps.api('GET', '/limits')['limits']['absolute']['totalInstancesUsed'] == 0
    second = keeps.wait(keeps.boot()['id'])['id']
    refused = act(keeps, uuid, 'restore', expect=403)
    assert 'Quota exceeded for instances' in refused['forbidden']['message']
    assert keeps.show(uuid)['OS-EXT-STS:task_state'] is None
    act(keeps, second, 'forceDelete')
    keeps.wait_gone(second)
    act(keeps, uuid, 'restore')
    keeps.wait(uuid)
    assert keeps.api('GET', '/limits')['limits']['absolute']['totalInstancesUsed'] == 1
    assert keeps.boot(expect=403)


def test_a_restore_that_fails_leaves_it_deleted(keeps: Cloud) -> None:
    uuid = deleted(keeps)

    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    FakeDriver.faults['power_on'] = refuse
    act(keeps, uuid, 'restore')

    def ended() -> Any:
        newest = keeps.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions'][0]
        return newest['message']
    keeps.until(ended, 'the restore to fail')
    assert keeps.show(uuid)['status'] == 'SOFT_DELETED' and due_at(uuid) is not None
    FakeDriver.faults.clear()
    act(keeps, uuid, 'restore')
    keeps.wait(uuid)


def test_a_guest_that_could_not_be_stopped_is_deleted_and_stopped_later(keeps: Cloud) -> None:
    uuid = keeps.wait(keeps.boot()['id'])['id']

    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    FakeDriver.faults['power_off'] = refuse
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    keeps.wait(uuid, 'SOFT_DELETED')
    FakeDriver.faults.clear()
    until = due_at(uuid)
    host = keeps.show(uuid)['OS-EXT-SRV-ATTR:host']
    keeps.services[host].manager.housekeeping.sync_power_states()   # type: ignore[attr-defined]
    keeps.until(lambda: keeps.show(uuid)['OS-EXT-STS:power_state'] == 4, 'the guest to be off')
    assert keeps.wait(uuid, 'SOFT_DELETED') and due_at(uuid) == until


def test_a_host_that_is_down_deletes_for_good(keeps: Cloud) -> None:
    """There is nobody who could switch it off."""
    uuid = keeps.wait(keeps.boot()['id'])['id']
    host = keeps.show(uuid)['OS-EXT-SRV-ATTR:host']
    (service,) = keeps.api('GET', f'/os-services?host={host}&binary=nova-compute')['services']
    keeps.api('PUT', f'/os-services/{service["id"]}', {'forced_down': True})
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    keeps.wait_gone(uuid)


def test_a_resized_server_is_confirmed_first(keeps: Cloud) -> None:
    uuid = keeps.wait(keeps.boot(flavorRef=keeps.flavor(disk=1))['id'])['id']
    act(keeps, uuid, 'resize', {'flavorRef': keeps.flavor(disk=1, vcpus=2)})
    keeps.wait(uuid, 'VERIFY_RESIZE')
    keeps.api('DELETE', f'/servers/{uuid}', expect=204)
    keeps.wait(uuid, 'SOFT_DELETED')
    with session.read() as conn:
        assert instances.get(conn, uuid).old_flavor is None
    act(keeps, uuid, 'restore')
    assert keeps.wait(uuid)['flavor']['vcpus'] == 2
    act(keeps, uuid, 'forceDelete')
    keeps.wait_gone(uuid)
    assert not keeps.leaks()


def test_a_resized_server_leaves_nothing_on_either_host(cloud: Cloud) -> None:
    uuid = cloud.wait(cloud.boot(flavorRef=cloud.flavor(disk=1))['id'])['id']
    act(cloud, uuid, 'resize', {'flavorRef': cloud.flavor(disk=1, vcpus=2)})
    cloud.wait(uuid, 'VERIFY_RESIZE')
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    cloud.wait_gone(uuid)
    assert not cloud.leaks()
    (move,) = cloud.api('GET', '/os-migrations')['migrations']
    assert move['status'] == 'confirmed'


def test_a_locked_server_is_not_deleted_by_its_owner(keeps: Cloud) -> None:
    uuid = keeps.wait(keeps.boot(user='ann', project='p')['id'])['id']
    act(keeps, uuid, 'lock', user='ann', project='p')
    keeps.api('DELETE', f'/servers/{uuid}', user='ann', project='p', expect=409)


def test_what_waits_for_nothing_is_not_looked_at_again(cloud: Cloud) -> None:
    uuid = cloud.wait(cloud.boot()['id'])['id']
    time_is_up(uuid)
    cloud.until(lambda: due_at(uuid) is None, 'the sweep to find nothing to do')
    assert cloud.show(uuid)['status'] == 'ACTIVE'


def test_two_conductors_begin_it_once(make_cloud: Any, conf: Any) -> None:
    conf.set_override('reclaim_instance_interval', 3600)
    cloud = make_cloud(conductors=2)
    uuids = [deleted(cloud, name=f'vm{number}') for number in range(4)]
    for uuid in uuids:
        time_is_up(uuid)
    for uuid in uuids:
        cloud.wait_gone(uuid)
    assert not cloud.leaks()
    for uuid in uuids:
        found = cloud.api('GET', f'/servers/{uuid}/os-instance-actions')['instanceActions']
        assert [one['action'] for one in found] == ['delete', 'delete', 'create']


def test_what_cannot_begin_lets_others_go_first(keeps: Cloud, monkeypatch: Any) -> None:
    first, second = deleted(keeps), deleted(keeps)
    usual = due.BY_STATE['soft-delete']

    def refuse(conn: Any, instance: Any) -> Any:
        if instance.uuid == first:
            raise RuntimeError('planned')
        return usual(conn, instance)
    monkeypatch.setitem(due.BY_STATE, 'soft-delete', refuse)
    for uuid in (first, second):
        time_is_up(uuid)
    keeps.wait_gone(second)
    keeps.until(lambda: (at := due_at(first)) and at > session.utcnow(), 'the first to be put off')
    monkeypatch.setitem(due.BY_STATE, 'soft-delete', lambda conn, instance: None)
    time_is_up(first)
    keeps.until(lambda: due_at(first) is None, 'it to wait for nothing')
    assert keeps.show(first)['status'] == 'SOFT_DELETED'
