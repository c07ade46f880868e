"""Live migrations through the whole cloud: there, called off, hurried, and with daemons that die on the way."""
from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances, migrations, owed
from minicompute.objects import PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.test_resize import act, actions, booted, claims, homes, status

HOST = 'OS-EXT-SRV-ATTR:host'
#: longer than any test waits: such a copy ends only by an order
FOR_EVER = 300.0


@pytest.fixture(autouse=True)
def _quick(conf: Any) -> None:
    conf.set_override('report_interval', 1)
    conf.set_override('service_down_time', 10)


@pytest.fixture
def slow(conf: Any) -> Iterator[None]:
    conf.set_override('live_migration_seconds', FOR_EVER, 'fake')
    yield
    conf.clear_override('live_migration_seconds', 'fake')


def migrate(cloud: Cloud, uuid: str, host: str | None = None, block: Any = 'auto', **kwargs: Any) -> Any:
    return act(cloud, uuid, 'os-migrateLive', {'host': host, 'block_migration': block}, **kwargs)


def copying(cloud: Cloud, uuid: str) -> Any:
    """-> the migration, once its copy goes on"""
    def look() -> Any:
        found = cloud.api('GET', f'/servers/{uuid}/migrations')['migrations']
        return found[0] if found and found[0]['status'] == 'running' else None
    return cloud.until(look, f'{uuid} to be copied')


def said(cloud: Cloud, uuid: str) -> str:
    return str(actions(cloud, uuid)[0]['message'])


class Killed(BaseException):
    """What kill -9 looks like from inside."""


def die_once(verb: str) -> threading.Event:
    """The next time that a fake host comes to `verb` its daemon dies there."""
    died = threading.Event()

    def die(driver: Any, uuid: str) -> None:
        if not died.is_set():
            died.set()
            raise Killed
    FakeDriver.faults[verb] = die
    return died


# -- the good ends ---------------------------------------------------------------

@pytest.mark.parametrize('network', ['none', 'auto'])
def test_there(cloud: Cloud, network: str) -> None:
    before = booted(cloud, networks=network)
    uuid, source = before['id'], before[HOST]
    migrate(cloud, uuid, expect=202)
    after = cloud.wait(uuid)
    dest = after[HOST]
    assert dest != source and after['progress'] == 0
    assert homes(cloud, uuid) == {dest: PowerState.RUNNING}
    assert claims(uuid) == [(dest, 64)] and status(uuid) == ['completed']
    assert [a['action'] for a in actions(cloud, uuid)] == ['live-migration', 'create']
    assert after['addresses'] == before['addresses']
    assert not cloud.leaks()


def test_a_paused_guest_stays_paused(cloud: Cloud) -> None:
    before = booted(cloud)
    uuid = before['id']
    act(cloud, uuid, 'pause')
    cloud.wait(uuid, 'PAUSED')
    migrate(cloud, uuid)
    after = cloud.wait(uuid, 'PAUSED')
    assert after[HOST] != before[HOST] and homes(cloud, uuid) == {after[HOST]: PowerState.PAUSED}


def test_to_a_host(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3)
    for dest in ('compute1', 'compute2', 'compute3'):
        server = booted(cloud)
        if server[HOST] != dest:
            migrate(cloud, server['id'], dest)
            assert cloud.wait(server['id'])[HOST] == dest


def test_progress_is_told(cloud: Cloud, slow: None) -> None:
    uuid = booted(cloud)['id']
    migrate(cloud, uuid)
    copying(cloud, uuid)
    shown = cloud.until(lambda: next((m for m in cloud.api('GET', f'/servers/{uuid}/migrations')['migrations']
                                      if m['memory_total_bytes']), None), 'numbers')
    assert shown['memory_total_bytes'] == 64 << 20
    assert shown['memory_processed_bytes'] + shown['memory_remaining_bytes'] == 64 << 20
    assert cloud.show(uuid)['status'] == 'MIGRATING'
    cloud.api('DELETE', f'/servers/{uuid}/migrations/{shown["id"]}', expect=202)
    cloud.wait(uuid)


# -- called off, hurried ---------------------------------------------------------

def test_abort(cloud: Cloud, slow: None) -> None:
    before = booted(cloud)
    uuid = before['id']
    migrate(cloud, uuid)
    found = copying(cloud, uuid)
    assert migrate(cloud, uuid, expect=409)
    cloud.api('DELETE', f'/servers/{uuid}/migrations/{found["id"]}', version='2.24', expect=202)
    after = cloud.wait(uuid)
    assert after[HOST] == before[HOST] and status(uuid) == ['cancelled']
    assert homes(cloud, uuid) == {before[HOST]: PowerState.RUNNING} and claims(uuid) == [(before[HOST], 64)]
    assert {a['action'] for a in actions(cloud, uuid)} == {'live_migration_cancel', 'live-migration', 'create'}
    assert not cloud.leaks()


def test_an_order_that_no_message_brought_is_found(cloud: Cloud, slow: None, monkeypatch: Any) -> None:
    monkeypatch.setattr('minicompute.compute.rpcapi.live_order', lambda host, uuid, order: None)
    monkeypatch.setattr('minicompute.compute.manager.verbs.live.LOOK', 0.2)
    uuid = booted(cloud)['id']
    migrate(cloud, uuid)
    cloud.api('DELETE', f'/servers/{uuid}/migrations/{copying(cloud, uuid)["id"]}', expect=202)
    cloud.wait(uuid)
    assert status(uuid) == ['cancelled']


def test_force_complete(cloud: Cloud, slow: None) -> None:
    before = booted(cloud)
    uuid = before['id']
    migrate(cloud, uuid)
    found = copying(cloud, uuid)
    path = f'/servers/{uuid}/migrations/{found["id"]}/action'
    cloud.api('POST', path, {'force_complete': None}, version='2.22', expect=202)
    after = cloud.wait(uuid)
    assert after[HOST] != before[HOST] and status(uuid) == ['completed']
    cloud.api('POST', path, {'force_complete': None}, expect=409)      # it does not migrate any more
    cloud.api('DELETE', f'/servers/{uuid}/migrations/{found["id"]}', expect=409)


def test_orders_need_a_migration(cloud: Cloud, slow: None) -> None:
    uuid = booted(cloud)['id']
    migrate(cloud, uuid)
    found = copying(cloud, uuid)
    for wrong in ('999999', 'x'):
        cloud.api('DELETE', f'/servers/{uuid}/migrations/{wrong}', expect=404)
        cloud.api('POST', f'/servers/{uuid}/migrations/{wrong}/action', {'force_complete': None}, expect=400)
    cloud.api('POST', f'/servers/{uuid}/migrations/{found["id"]}/action', {'force_complete': {}}, expect=400)
    cloud.api('DELETE', f'/servers/{uuid}/migrations/{found["id"]}', version='2.23', expect=404)
    cloud.api('DELETE', f'/servers/{uuid}/migrations/{found["id"]}')
    cloud.wait(uuid)


def test_one_at_a_time_leaves_a_host(cloud: Cloud, slow: None) -> None:
    """The second is queued; it can be aborted there from 2.65 on, or has its turn when the first has ended."""
    cloud.set_service('compute2', 'disabled')
    first, second, third = (booted(cloud)['id'] for _ in range(3))
    cloud.set_service('compute2', 'enabled')
    migrate(cloud, first)
    running = copying(cloud, first)
    for uuid in (second, third):
        migrate(cloud, uuid)
        cloud.until(lambda uuid=uuid: status(uuid) == ['queued'], f'{uuid} to be queued')
    waiting = cloud.api('GET', f'/servers/{second}/migrations')['migrations'][0]
    cloud.api('DELETE', f'/servers/{second}/migrations/{waiting["id"]}', version='2.64', expect=400)
    cloud.api('DELETE', f'/servers/{second}/migrations/{waiting["id"]}', version='2.65', expect=202)
    cloud.wait(second)
    assert status(second) == ['cancelled'] and status(third) == ['queued']
    cloud.api('DELETE', f'/servers/{first}/migrations/{running["id"]}')
    next_one = copying(cloud, third)
    cloud.api('POST', f'/servers/{third}/migrations/{next_one["id"]}/action', {'force_complete': None})
    assert cloud.wait(third)[HOST] == 'compute2'
    cloud.wait(first)
    assert not cloud.leaks()


def test_a_delete_wins(cloud: Cloud, slow: None) -> None:
    uuid = booted(cloud)['id']
    migrate(cloud, uuid)
    copying(cloud, uuid)
    cloud.api('DELETE', f'/servers/{uuid}')
    cloud.wait_gone(uuid)
    assert homes(cloud, uuid) == {} and status(uuid) == ['cancelled']
    assert not cloud.leaks()


# -- refused ---------------------------------------------------------------------

def test_what_is_refused_at_once(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    migrate(cloud, uuid, 'nowhere', expect=400)
    migrate(cloud, uuid, block='perhaps', expect=400)
    migrate(cloud, uuid, block='auto', version='2.24', expect=400)
    force = {'host': None, 'block_migration': False, 'force': True}
    for version in ('2.29', '2.30', '2.68'):
        act(cloud, uuid, 'os-migrateLive', force, version=version, expect=400)
    act(cloud, uuid, 'os-migrateLive', {'host': 'compute1', 'block_migration': False}, user='joe', expect=403)
    act(cloud, uuid, 'os-stop')
    cloud.wait(uuid, 'SHUTOFF')
    answer = migrate(cloud, uuid, expect=409)
    assert 'os-migrateLive' in answer['conflictingRequest']['message']


@pytest.mark.parametrize(('version', 'expect'), [('2.25', 400), ('2.33', 400), ('2.34', 202)])
def test_checks_answer_the_caller_up_to_2_33(cloud: Cloud, version: str, expect: int) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        from minicompute import exception
        raise exception.InvalidSharedStorage(path='/x', reason='planned')
    FakeDriver.faults['live_accept'] = refuse
    before = booted(cloud)
    uuid = before['id']
    dest = 'compute2' if before[HOST] == 'compute1' else 'compute1'
    answer = migrate(cloud, uuid, dest, version=version, expect=expect)
    if expect == 400:
        assert 'planned' in answer['badRequest']['message']
    assert cloud.wait(uuid)[HOST] == before[HOST] and 'planned' in said(cloud, uuid)
    assert status(uuid) == ['error'] and claims(uuid) == [(before[HOST], 64)]
    assert not cloud.leaks()


def test_a_host_that_refuses_is_one_of_several(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3)
    refused: list[str] = []

    def refuse(driver: Any, uuid: str) -> None:
        if not refused:
            from minicompute import exception
            refused.append(driver.host)
            raise exception.InvalidCPUInfo(reason='planned')
    FakeDriver.faults['live_accept'] = refuse
    before = booted(cloud)
    migrate(cloud, before['id'])
    after = cloud.wait(before['id'])
    assert refused and after[HOST] not in (before[HOST], *refused)
    assert status(before['id']) == ['completed'] and not cloud.leaks()


def test_no_room_anywhere(make_cloud: Any) -> None:
    cloud = make_cloud(computes=1)
    uuid = booted(cloud)['id']
    migrate(cloud, uuid)
    cloud.wait(uuid)
    assert 'No valid host' in said(cloud, uuid) and status(uuid) == ['error']
    migrate(cloud, uuid, 'compute1')     # its own host, which the scheduler is not asked about
    cloud.until(lambda: status(uuid) == ['error', 'error'], 'the second to fail')
    cloud.wait(uuid)
    assert 'to current host' in said(cloud, uuid)


@pytest.mark.parametrize('verb', ['live_offer', 'live_prepare', 'live_prepare.after'])
def test_a_failure_before_the_copy_leaves_all_as_it_was(cloud: Cloud, verb: str) -> None:
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    before = booted(cloud)
    uuid = before['id']
    FakeDriver.faults[verb] = refuse
    migrate(cloud, uuid)
    cloud.until(lambda: status(uuid) == ['error'], 'it to fail')
    assert cloud.wait(uuid)[HOST] == before[HOST]
    assert homes(cloud, uuid) == {before[HOST]: PowerState.RUNNING} and claims(uuid) == [(before[HOST], 64)]
    FakeDriver.faults.clear()
    migrate(cloud, uuid)
    assert cloud.wait(uuid)[HOST] != before[HOST]
    assert not cloud.leaks()


@pytest.mark.parametrize('verb', ['live_migrate.after', 'live_finish', 'live_finish.after', 'live_leave',
                                  'live_leave.after'])
def test_a_failure_after_the_copy_stops_nothing(cloud: Cloud, verb: str) -> None:
    """The guest has moved, and the records follow it, whatever else goes wrong."""
    def refuse(driver: Any, uuid: str) -> None:
        raise RuntimeError('planned')
    before = booted(cloud)
    uuid = before['id']
    FakeDriver.faults[verb] = refuse
    migrate(cloud, uuid)
    after = cloud.wait(uuid)
    assert after[HOST] != before[HOST] and status(uuid) == ['completed']
    assert homes(cloud, uuid) == {after[HOST]: PowerState.RUNNING} and claims(uuid) == [(after[HOST], 64)]


# -- daemons that die ------------------------------------------------------------

@pytest.mark.parametrize('order', ['force_complete', 'abort', ''])
def test_the_source_dies_while_it_copies(cloud: Cloud, slow: None, order: str) -> None:
    """The hypervisor copies on; the daemon, back, joins it. Without an order the copy ends by itself meanwhile."""
    died = die_once('live_migrate.copying')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    dest = 'compute2' if source == 'compute1' else 'compute1'
    if not order:
        CONF.set_override('live_migration_seconds', 1.0, 'fake')
    migrate(cloud, uuid)
    assert died.wait(60)
    cloud.stop(source)
    if not order:
        cloud.until(lambda: cloud.services[dest].manager.driver.live_find(uuid) == 'running', 'the copy to end')
    cloud.start_compute(source)
    if order:
        found = copying(cloud, uuid)
        path = f'/servers/{uuid}/migrations/{found["id"]}'
        if order == 'abort':
            cloud.api('DELETE', path)
        else:
            cloud.api('POST', path + '/action', {order: None})
    after = cloud.wait(uuid)
    ends_at = source if order == 'abort' else dest
    assert after[HOST] == ends_at and homes(cloud, uuid) == {ends_at: PowerState.RUNNING}
    assert claims(uuid) == [(ends_at, 64)] and status(uuid) == ['cancelled' if order == 'abort' else 'completed']
    assert not cloud.leaks()


def test_the_source_dies_while_it_copies_and_stays_away(cloud: Cloud) -> None:
    """The destination says that the guest is there; the source, back one day, removes what it has."""
    CONF.set_override('live_migration_seconds', 2.0, 'fake')
    died = die_once('live_migrate.copying')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    migrate(cloud, uuid)
    assert died.wait(60)
    cloud.stop(source)
    after = cloud.wait(uuid)
    assert after[HOST] != source and status(uuid) == ['completed']
    cloud.start_compute(source)
    with session.read() as conn:
        assert uuid not in dict(owed.debts(conn)).get(source, [])
    assert homes(cloud, uuid) == {after[HOST]: PowerState.RUNNING}
    assert not cloud.leaks()


@pytest.mark.parametrize('source_is', ['away', 'back, gone', 'back, off'])
def test_a_guest_that_goes_off_before_anybody_asks_has_arrived(cloud: Cloud, source_is: str) -> None:
    """Its disks at the destination are the newest, and perhaps the only ones. A source that lost its power between the
    end of the copy and its own part has the domain still, and it is off."""
    CONF.set_override('live_migration_seconds', 1.0, 'fake')
    died = die_once('live_migrate.copying')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    dest = 'compute2' if source == 'compute1' else 'compute1'
    migrate(cloud, uuid)
    assert died.wait(60)
    cloud.stop(source)
    there = cloud.services[dest].manager.driver     # type: ignore[attr-defined]
    cloud.until(lambda: there.live_find(uuid) == 'running', 'the copy to end')
    there.change_by_itself(uuid, PowerState.SHUTDOWN)
    if source_is == 'back, off':
        FakeDriver(source)._write(uuid, 'instance-x', PowerState.SHUTDOWN)
    if source_is != 'away':
        cloud.start_compute(source)
    cloud.until(lambda: status(uuid) in (['completed'], ['error'], ['failed']), 'it to end')
    after = cloud.wait(uuid, 'SHUTOFF')
    assert after[HOST] == dest and status(uuid) == ['completed'] and claims(uuid) == [(dest, 64)]
    if source_is == 'away':
        cloud.start_compute(source)
    cloud.until(lambda: homes(cloud, uuid) == {dest: PowerState.SHUTDOWN}, 'one domain')
    assert not cloud.leaks()
    act(cloud, uuid, 'os-start')
    cloud.wait(uuid)


def test_a_guest_that_goes_off_while_it_is_copied_stays(cloud: Cloud, slow: None) -> None:
    """What the destination has of it is no guest."""
    died = die_once('live_migrate.copying')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    migrate(cloud, uuid)
    assert died.wait(60)
    cloud.stop(source)
    os.unlink(os.path.join(CONF.fake.state_dir, source, f'.live.{uuid}'))   # the hypervisor ends a copy of what is off
    FakeDriver(source).change_by_itself(uuid, PowerState.SHUTDOWN)
    cloud.start_compute(source)
    cloud.until(lambda: status(uuid) == ['failed'], 'it to end')
    assert cloud.show(uuid)[HOST] == source and claims(uuid) == [(source, 64)]
    assert homes(cloud, uuid) == {source: PowerState.SHUTDOWN} and not cloud.leaks()


def test_the_destination_dies_while_it_prepares(cloud: Cloud) -> None:
    died = die_once('live_prepare.after')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    dest = 'compute2' if source == 'compute1' else 'compute1'
    migrate(cloud, uuid)
    assert died.wait(60)
    cloud.stop(dest)
    cloud.start_compute(dest)
    after = cloud.wait(uuid)
    assert after[HOST] == dest and homes(cloud, uuid) == {dest: PowerState.RUNNING}
    assert not cloud.leaks()


def test_the_destination_dies_behind_the_switch(cloud: Cloud) -> None:
    """Nothing but the definition of the next start is missing there: the migration ends without it."""
    died = die_once('live_finish')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    dest = 'compute2' if source == 'compute1' else 'compute1'
    migrate(cloud, uuid)
    assert died.wait(60)
    cloud.stop(dest)
    cloud.until(lambda: status(uuid) == ['completed'], 'it to end')
    cloud.start_compute(dest)
    assert cloud.wait(uuid)[HOST] == dest and homes(cloud, uuid) == {dest: PowerState.RUNNING}
    assert not cloud.leaks()


def test_a_conductor_dies_while_it_copies(make_cloud: Any, slow: None) -> None:
    cloud = make_cloud(conductors=2)
    uuid = booted(cloud)['id']
    migrate(cloud, uuid)
    found = copying(cloud, uuid)
    with session.read() as conn:
        from minicompute.db.api import actions as journal
        held = journal.running(conn, uuid)
    assert held is not None and held.owner
    cloud.stop(held.owner)
    cloud.api('POST', f'/servers/{uuid}/migrations/{found["id"]}/action', {'force_complete': None})
    cloud.wait(uuid)
    assert status(uuid) == ['completed'] and not cloud.leaks()


def test_the_numbers_of_the_record(cloud: Cloud) -> None:
    uuid = booted(cloud)['id']
    migrate(cloud, uuid)
    server = cloud.wait(uuid)
    with session.read() as conn:
        record, move = instances.get(conn, uuid), migrations.of_instance(conn, uuid)[0]
    assert (record.host, record.node) == (server[HOST], move.dest_node)
    assert move.source_compute and move.source_compute != move.dest_compute == server[HOST]
