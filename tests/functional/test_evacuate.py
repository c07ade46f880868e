"""A host is lost: its servers are made anew elsewhere, and it removes what it has when it is back."""
from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from minicompute import exception
from minicompute.db import session
from minicompute.db.api import owed
from minicompute.db.models import images
from minicompute.objects import PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.test_live_migration import die_once
from tests.functional.test_resize import act, actions, booted, claims, homes, status

HOST = 'OS-EXT-SRV-ATTR:host'


@pytest.fixture(autouse=True)
def _quick(conf: Any) -> None:
    conf.set_override('report_interval', 1)
    conf.set_override('service_down_time', 10)


def force_down(cloud: Cloud, host: str, down: bool = True, **kwargs: Any) -> Any:
    found = cloud.api('GET', f'/os-services?host={host}&binary=nova-compute')['services'][0]
    return cloud.api('PUT', f'/os-services/{found["id"]}', {'forced_down': down}, **kwargs)


def lose(cloud: Cloud, host: str) -> None:
    """Its daemon is gone, its guests run on, and an operator says that it is down."""
    cloud.stop(host)
    force_down(cloud, host)


def domains_of(cloud: Cloud, host: str) -> set[str]:
    """Also of a host whose daemon is gone."""
    return {domain.uuid for domain in FakeDriver(host).domains()}


def evacuate(cloud: Cloud, uuid: str, **kwargs: Any) -> Any:
    body = {name: kwargs.pop(name) for name in ('host', 'adminPass', 'onSharedStorage', 'force') if name in kwargs}
    return act(cloud, uuid, 'evacuate', body, **kwargs)


def other(host: str) -> str:
    return 'compute2' if host == 'compute1' else 'compute1'


# -- the good ends ---------------------------------------------------------------

@pytest.mark.parametrize('network', ['none', 'auto'])
def test_lost_and_back(cloud: Cloud, network: str) -> None:
    before = booted(cloud, networks=network)
    uuid, source = before['id'], before[HOST]
    lose(cloud, source)
    evacuate(cloud, uuid, version='2.94', expect=200)
    after = cloud.wait(uuid)
    assert after[HOST] == other(source) and after['addresses'] == before['addresses']
    assert claims(uuid) == [(other(source), 64)] and status(uuid) == ['done']
    assert domains_of(cloud, source) == {uuid}      # it cannot be reached
    assert 'restarted' in force_down(cloud, source, False, expect=400)['badRequest']['message']

    cloud.start_compute(source)
    assert domains_of(cloud, source) == set() and status(uuid) == ['completed']
    assert homes(cloud, uuid) == {other(source): PowerState.RUNNING}
    events = cloud.api('GET', f'/servers/{uuid}/os-instance-actions/{actions(cloud, uuid)[0]["request_id"]}')
    last = events['instanceAction']['events'][0]
    assert (last['event'], last['host']) == ('clean_source', source) and 'is back' in last['details']
    force_down(cloud, source, False)
    assert not cloud.leaks()


def test_a_host_that_was_only_cut_off(cloud: Cloud) -> None:
    """Its daemon never stopped: a reminder is enough."""
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    manager: Any = cloud.services[source].manager
    admit, manager.guard.admit = manager.guard.admit, lambda request: None
    force_down(cloud, source)
    evacuate(cloud, uuid)
    cloud.wait(uuid, 'SHUTOFF')
    assert domains_of(cloud, source) == {uuid} and status(uuid) == ['done']
    manager.guard.admit = admit
    conductor: Any = cloud.services['conductor1'].manager
    conductor.remind()
    cloud.until(lambda: status(uuid) == ['completed'], 'the debt to be paid')
    assert domains_of(cloud, source) == set()
    with session.read() as conn:
        assert owed.debts(conn) == {}
    assert not cloud.leaks()


@pytest.mark.parametrize(('version', 'was', 'ends'), [
    ('2.94', 'ACTIVE', 'ACTIVE'), ('2.94', 'SHUTOFF', 'SHUTOFF'), ('2.95', 'ACTIVE', 'SHUTOFF'),
    ('2.104', 'SHUTOFF', 'SHUTOFF'), ('2.1', 'ACTIVE', 'ACTIVE')])
def test_what_state_it_ends_in(cloud: Cloud, version: str, was: str, ends: str) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    if was == 'SHUTOFF':
        act(cloud, uuid, 'os-stop')
        cloud.wait(uuid, 'SHUTOFF')
    lose(cloud, source)
    extra = {'onSharedStorage': False} if version == '2.1' else {}
    evacuate(cloud, uuid, version=version, **extra)
    assert cloud.wait(uuid, ends)[HOST] == other(source)
    state = PowerState.RUNNING if ends == 'ACTIVE' else PowerState.SHUTDOWN
    assert homes(cloud, uuid) == {other(source): state}


def test_passwords_up_to_2_13(cloud: Cloud) -> None:
    before = booted(cloud)
    lose(cloud, before[HOST])
    uuid = before['id']
    evacuate(cloud, uuid, version='2.13', onSharedStorage=True, adminPass='new', expect=400)
    evacuate(cloud, uuid, version='2.13', expect=400)
    evacuate(cloud, uuid, version='2.14', onSharedStorage=False, expect=400)
    answer = evacuate(cloud, uuid, version='2.13', onSharedStorage=False, adminPass='new')
    assert answer == {'adminPass': 'new'}
    cloud.wait(uuid)


def test_no_password_is_told_since_2_14(cloud: Cloud) -> None:
    before = booted(cloud)
    lose(cloud, before[HOST])
    assert evacuate(cloud, before['id'], version='2.14', adminPass='new') is None
    cloud.wait(before['id'])


def test_shared_disks_are_kept(cloud: Cloud, monkeypatch: Any) -> None:
    heard: list[bool] = []
    monkeypatch.setattr(FakeDriver, 'sees_disks_of', lambda self, instance, host, said: heard.append(said) or True)
    done: list[str] = []
    for verb in ('adopt', 'take_over', 'spawn', 'power_off'):
        FakeDriver.faults[verb] = lambda driver, uuid, verb=verb: done.append(verb)
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    done.clear()
    lose(cloud, source)
    evacuate(cloud, uuid, version='2.13', onSharedStorage=True)
    cloud.wait(uuid)
    assert done == ['adopt', 'take_over'] and heard == [True], 'the word of the operator'


def test_what_is_said_of_the_disks_must_be_right(cloud: Cloud) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    lose(cloud, source)
    evacuate(cloud, uuid, version='2.13', onSharedStorage=True)
    after = cloud.wait(uuid, 'ERROR')
    assert after[HOST] == source and 'shared storage' in after['fault']['message'] and status(uuid) == ['error']
    evacuate(cloud, uuid, version='2.14')      # an ERROR is no reason to leave it there
    assert cloud.wait(uuid)[HOST] == other(source)


# -- never while the host is there -----------------------------------------------

def test_not_while_it_reports(cloud: Cloud) -> None:
    before = booted(cloud)
    answer = evacuate(cloud, before['id'], expect=400)
    assert before[HOST] in answer['badRequest']['message'] and 'in use' in answer['badRequest']['message']
    assert cloud.wait(before['id'])[HOST] == before[HOST] and status(before['id']) == []


def test_a_host_that_is_back_before_the_rebuild(cloud: Cloud, monkeypatch: Any) -> None:
    """Between the acceptance and the first step at the new host its own is back: the guest stays."""
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]

    def look(driver: Any, instance: Any, host: str, said: bool) -> bool:
        force_down(cloud, source, False)
        return False
    monkeypatch.setattr(FakeDriver, 'sees_disks_of', look)
    force_down(cloud, source)
    evacuate(cloud, uuid)
    after = cloud.wait(uuid, 'ERROR')
    assert 'still in use' in after['fault']['message'] and status(uuid) == ['error']
    assert homes(cloud, uuid) == {source: PowerState.RUNNING} and claims(uuid) == [(source, 64)]


def test_after_silence_nobody_need_say_so(cloud: Cloud) -> None:
    before = booted(cloud)
    cloud.stop(before[HOST])
    uuid = before['id']
    cloud.until(lambda: cloud.request('POST', f'/servers/{uuid}/action', {'evacuate': {}}).status_int == 200,
                'the host to be down')
    assert cloud.wait(uuid, 'SHUTOFF')[HOST] != before[HOST]


# -- refused, failed -------------------------------------------------------------

def test_what_is_refused_at_once(cloud: Cloud) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    lose(cloud, source)
    assert 'nowhere not found' in evacuate(cloud, uuid, host='nowhere', expect=404)['itemNotFound']['message']
    assert "can't be the same" in evacuate(cloud, uuid, host=source, expect=400)['badRequest']['message']
    evacuate(cloud, uuid, force=True, version='2.29', expect=400)
    evacuate(cloud, uuid, force=True, host=other(source), version='2.68', expect=400)
    evacuate(cloud, uuid, user='joe', expect=403)
    evacuate(cloud, uuid, host=other(source), force=True, version='2.67')
    cloud.wait(uuid)


def test_no_room_anywhere(make_cloud: Any) -> None:
    cloud = make_cloud(computes=1)
    before = booted(cloud)
    uuid = before['id']
    lose(cloud, 'compute1')
    evacuate(cloud, uuid)
    after = cloud.wait(uuid, 'ERROR')
    assert 'No valid host' in after['fault']['message'] and after[HOST] == 'compute1'
    assert status(uuid) == ['error'] and claims(uuid) == [('compute1', 64)]


def test_an_image_that_is_gone(cloud: Cloud) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    session.write(lambda conn: conn.execute(images.delete()))
    lose(cloud, source)
    evacuate(cloud, uuid)
    after = cloud.wait(uuid, 'ERROR')
    assert before['image']['id'] in after['fault']['message']
    assert domains_of(cloud, source) == {uuid} and domains_of(cloud, other(source)) == set()
    assert claims(uuid) == [(source, 64)]


@pytest.mark.parametrize('verb', ['spawn', 'spawn.after'])
def test_a_failed_rebuild_leaves_nothing_there(cloud: Cloud, verb: str) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]

    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    FakeDriver.faults[verb] = refuse
    lose(cloud, source)
    evacuate(cloud, uuid)
    assert cloud.wait(uuid, 'ERROR')[HOST] == source
    assert domains_of(cloud, other(source)) == set() and claims(uuid) == [(source, 64)]
    FakeDriver.faults.clear()
    evacuate(cloud, uuid)
    assert cloud.wait(uuid, 'SHUTOFF')[HOST] == other(source)
    cloud.start_compute(source)
    assert homes(cloud, uuid) == {other(source): PowerState.SHUTDOWN} and not cloud.leaks()


def test_disks_that_are_another_hosts_are_no_reason_to_hang(cloud: Cloud) -> None:
    """What the driver says when it finds, half way, that it would make disks over those of somebody else."""
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]

    def refuse(driver: Any, uuid: str) -> None:
        raise exception.Conflict(f'The disks of instance {uuid} belong to host third.')
    FakeDriver.faults['spawn'] = refuse
    lose(cloud, source)
    evacuate(cloud, uuid)
    after = cloud.wait(uuid, 'ERROR')
    assert after[HOST] == source and 'belong to host third' in after['fault']['message']
    assert domains_of(cloud, other(source)) == set() and claims(uuid) == [(source, 64)] and status(uuid) == ['error']
    FakeDriver.faults.clear()
    cloud.start_compute(source)
    assert domains_of(cloud, source) == {uuid} and not cloud.leaks()


def test_a_stale_reminder_finds_a_server_that_came_back(make_cloud: Any) -> None:
    """A conductor was stopped between its look at the debts and its reminder."""
    cloud = make_cloud(computes=2)
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    lose(cloud, source)
    evacuate(cloud, uuid, version='2.94')
    cloud.wait(uuid)
    with session.read() as conn:
        debts = owed.debts(conn)
    assert debts == {source: [uuid]}
    cloud.start_compute(source)
    force_down(cloud, source, False)
    act(cloud, uuid, 'os-migrateLive', {'host': source, 'block_migration': 'auto'})
    assert cloud.wait(uuid)[HOST] == source
    cloud.services[source].manager.housekeeping.pay(debts[source])
    assert homes(cloud, uuid) == {source: PowerState.RUNNING} and not cloud.leaks()


def test_the_new_host_dies_while_it_rebuilds(cloud: Cloud) -> None:
    died = die_once('power_off')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    lose(cloud, source)
    evacuate(cloud, uuid)
    assert died.wait(60)
    cloud.stop(other(source))
    cloud.start_compute(other(source))
    assert cloud.wait(uuid, 'SHUTOFF')[HOST] == other(source)
    cloud.start_compute(source)
    assert homes(cloud, uuid) == {other(source): PowerState.SHUTDOWN} and not cloud.leaks()


def test_deleted_after_it_was_evacuated(cloud: Cloud) -> None:
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    lose(cloud, source)
    evacuate(cloud, uuid)
    cloud.wait(uuid, 'SHUTOFF')
    cloud.api('DELETE', f'/servers/{uuid}')
    cloud.wait_gone(uuid)
    cloud.start_compute(source)
    assert domains_of(cloud, source) == set() and not cloud.leaks()
    with session.read() as conn:
        assert conn.execute(sa.text('SELECT count(*) FROM owed')).scalar_one() == 0
