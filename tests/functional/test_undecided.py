"""A live migration whose hosts are both silent, and an operator who does not wait: the reset ends for him at once, and
the move when one of the hosts is back."""
from __future__ import annotations

import datetime
import threading
import uuid as uuidlib
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conductor import due
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import actions as journal
from minicompute.db.api import audit, instances, migrations, owed, stuck, system_metadata
from minicompute.db.api import undecided as unended
from minicompute.db.models import instance_actions
from minicompute.objects import Action, Migration, PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cinder_server import CinderServer, always
from tests.functional.cloud import Cloud
from tests.functional.test_broken_off import record
from tests.functional.test_cinder import attach, quiet
from tests.functional.test_live_migration import HOST, _quick, copying, die_once, migrate, slow  # noqa: F401
from tests.functional.test_resize import act, actions, booted, claims, homes, status

# Fixtures of another module.
# ruff: noqa: F811


def lost(cloud: Cloud, *, arrives: bool, volume: str | None = None) -> tuple[str, str, str]:
    """A server whose live migration goes on while the daemons of both hosts are dead. -> uuid, source, destination"""
    CONF.set_override('live_migration_seconds', 1.0 if arrives else 300.0, 'fake')
    died = die_once('live_migrate.copying')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    if volume is not None:
        attach(cloud, uuid, volume)
        quiet(cloud)
    dest = 'compute2' if source == 'compute1' else 'compute1'
    migrate(cloud, uuid, dest)
    assert died.wait(20)
    for host in (source, dest):
        cloud.stop(host)
    cloud.until(lambda: not any(one['state'] == 'up' for one in cloud.api('GET', '/os-services')['services']
                                if one['host'] in (source, dest)), 'both to be down')
    return uuid, source, dest


def reset(cloud: Cloud, uuid: str, state: str) -> None:
    act(cloud, uuid, 'os-resetState', {'state': state}, expect=202)
    cloud.wait(uuid, state.upper())


def undecided(uuid: str) -> bool:
    with session.read() as conn:
        return journal.UNDECIDED in instances.get(conn, uuid).system_metadata


def decided(cloud: Cloud, uuid: str) -> None:
    cloud.until(lambda: not undecided(uuid), 'the move to end')


@pytest.fixture(autouse=True)
def _usual_speed() -> Any:
    yield
    CONF.clear_override('live_migration_seconds', 'fake')


@pytest.mark.parametrize('state', ['error', 'active'])
@pytest.mark.parametrize('arrives', [True, False])
@pytest.mark.parametrize('first', ['source', 'destination'])
def test_a_reset_does_not_wait_and_the_move_ends_later(cloud: Cloud, monkeypatch: Any, state: str, arrives: bool,
                                                       first: str) -> None:
    uuid, source, dest = lost(cloud, arrives=arrives)
    reset(cloud, uuid, state)
    assert undecided(uuid) and claims(uuid) == sorted([(source, 64), (dest, 64)])
    newest = next(one for one in actions(cloud, uuid) if one['action'] == 'live-migration')
    assert 'Neither of its two hosts answers' in newest['message'] and 'reset' in newest['message']
    answer = act(cloud, uuid, 'reboot', {'type': 'HARD'}, expect=409)
    assert 'on which of the two hosts' in answer['conflictingRequest']['message']

    if first == 'source' and not arrives or first == 'destination' and arrives:
        # This one knows; the other is not needed.
        home = source if first == 'source' else dest
        cloud.start_compute(home)
        decided(cloud, uuid)
        assert homes(cloud, uuid) == {home: PowerState.RUNNING} and claims(uuid) == [(home, 64)]
        cloud.start_compute(dest if home == source else source)
    else:
        home = dest if arrives else source
        with monkeypatch.context() as patched:
            if first == 'destination':      # alone it would wait for the end of the copy that goes on
                patched.setattr('minicompute.conductor.due.resume_moves', lambda: [])
            cloud.start_compute(source if first == 'source' else dest)
            cloud.start_compute(dest if first == 'source' else source)
        decided(cloud, uuid)
    after = cloud.wait(uuid, state.upper())
    assert after[HOST] == home and status(uuid) == ['completed' if arrives else 'error']
    assert claims(uuid) == [(home, 64)]
    cloud.until(lambda: homes(cloud, uuid) == {home: PowerState.RUNNING}, 'one guest')
    assert not cloud.leaks()
    act(cloud, uuid, 'reboot', {'type': 'HARD'}, expect=202)
    cloud.until(lambda: cloud.show(uuid)['status'] == 'ACTIVE', 'it to be rebooted')


def test_a_guest_that_went_off_at_the_destination_is_there(cloud: Cloud) -> None:
    uuid, source, dest = lost(cloud, arrives=True)
    reset(cloud, uuid, 'active')
    there = FakeDriver(dest)
    cloud.until(lambda: there.live_find(uuid) == 'running', 'the copy to end')
    there.change_by_itself(uuid, PowerState.SHUTDOWN)
    cloud.start_compute(dest)
    decided(cloud, uuid)
    assert cloud.wait(uuid, 'SHUTOFF')[HOST] == dest and claims(uuid) == [(dest, 64)]
    cloud.start_compute(source)
    assert homes(cloud, uuid) == {dest: PowerState.SHUTDOWN} and not cloud.leaks()


def test_a_host_that_is_back_stops_nobody_meanwhile(cloud: Cloud, monkeypatch: Any) -> None:
    """The source has nothing of the server, whose guest has gone on: it is not taken for a guest that is off."""
    uuid, source, dest = lost(cloud, arrives=True)
    reset(cloud, uuid, 'active')
    with monkeypatch.context() as patched:
        patched.setattr('minicompute.conductor.due.resume_moves', lambda: [])
        cloud.start_compute(source)
        cloud.services[source].manager.housekeeping.sync_power_states()     # type: ignore[attr-defined]
        cloud.services['conductor1'].manager.power_states(None, source, {uuid: PowerState.SHUTDOWN})    # type: ignore
        assert cloud.show(uuid)['status'] == 'ACTIVE'
        act(cloud, uuid, 'reboot', {'type': 'HARD'}, expect=409)
    cloud.start_compute(dest)
    decided(cloud, uuid)
    assert cloud.wait(uuid)[HOST] == dest and homes(cloud, uuid) == {dest: PowerState.RUNNING}


def test_it_may_be_deleted(cloud: Cloud) -> None:
    uuid, source, dest = lost(cloud, arrives=True)
    reset(cloud, uuid, 'error')
    cloud.api('DELETE', f'/servers/{uuid}')
    cloud.wait_gone(uuid)
    assert claims(uuid) == [] and status(uuid) == ['error']
    for host in (source, dest):
        cloud.start_compute(host)
    cloud.until(lambda: homes(cloud, uuid) == {}, 'both hosts to clean up')
    assert not cloud.leaks()


def test_it_may_be_evacuated(make_cloud: Any) -> None:
    """When both hosts that may have its guest are down; each of them, back, removes what it has."""
    cloud = make_cloud(computes=3)
    uuid, source, dest = lost(cloud, arrives=True)
    (spare,) = {'compute1', 'compute2', 'compute3'} - {source, dest}
    reset(cloud, uuid, 'error')
    act(cloud, uuid, 'evacuate', {}, expect=200)
    cloud.until(lambda: cloud.show(uuid)['status'] == 'SHUTOFF', 'it to be evacuated')
    decided(cloud, uuid)
    cloud.wait(uuid, 'SHUTOFF')
    with session.read() as conn:
        debts = owed.debts(conn)
    assert uuid in debts[source] and uuid in debts[dest]
    for host in (source, dest):
        cloud.start_compute(host)
    cloud.until(lambda: list(homes(cloud, uuid)) == [spare] and claims(uuid) == [(spare, 64)], 'one guest')
    assert status(uuid)[0] == 'error' and not cloud.leaks()


def test_it_is_not_evacuated_while_the_other_host_is_there(cloud: Cloud, monkeypatch: Any) -> None:
    uuid, source, dest = lost(cloud, arrives=True)
    reset(cloud, uuid, 'error')
    monkeypatch.setattr('minicompute.conductor.due.resume_moves', lambda: [])
    cloud.start_compute(dest)
    answer = act(cloud, uuid, 'evacuate', {}, expect=400)
    assert dest in answer['badRequest']['message']
    with session.read() as conn:
        assert not [one for one in audit.moves_without_action(conn) if one.subject == uuid], 'it goes on by itself'


@pytest.mark.parametrize('first', ['source', 'destination'])
def test_who_cannot_hear_does_not_take_silence_for_an_answer(cloud: Cloud, first: str) -> None:
    """Behind an outage of the broker both hosts look down. The move waits for their word, and so does the reset."""
    engine: Any = cloud.services['conductor1'].manager.engine      # type: ignore[attr-defined]
    engine._steady = lambda: False
    uuid, source, dest = lost(cloud, arrives=first == 'destination')
    act(cloud, uuid, 'os-resetState', {'state': 'active'}, expect=202)

    def asked_again() -> bool:
        with session.read() as conn:
            (move,) = [one for one in instance_actions_of(conn, uuid) if one.flow == 'live-migration']
        return move.state in ('failed', 'stuck') or move.state == 'unwinding' and bool(engine.load()['parked'])
    cloud.until(asked_again, 'a host to be asked for the guest')
    assert not undecided(uuid) and moves(cloud, uuid) == 1
    for host in (source, dest):
        cloud.start_compute(host)
    cloud.wait(uuid)
    home = dest if first == 'destination' else source
    assert moves(cloud, uuid) == 1 and record(uuid).host == home and homes(cloud, uuid) == {home: PowerState.RUNNING}
    assert not undecided(uuid) and not cloud.leaks()


def instance_actions_of(conn: Any, uuid: str) -> list[Action]:
    return [journal.from_row(row) for row in conn.execute(
        instance_actions.select().where(instance_actions.c.instance_uuid == uuid))]


def given_up(cloud: Cloud, noted: bool) -> str:
    """A server whose move was given up before anything was copied, with or without the note. -> uuid"""
    server = booted(cloud)
    uuid, home = server['id'], server[HOST]
    ends = {'source': {'host': home, 'node': home}}
    move = Migration(uuid=str(uuidlib.uuid4()), instance_uuid=uuid, migration_type='live-migration', status='running',
                     source_compute=home, dest_compute='lost')

    def write(conn: Any) -> None:
        migrations.create(conn, move)
        journal.begin(conn, [Action(action='live-migration', flow='live-migration', step='migrate', busy=None,
                                    instance_uuid=uuid, request_id='req-1', state='failed',
                                    data={'migration': move.uuid, **ends})])
        if noted:
            system_metadata.merge(conn, uuid, {journal.UNDECIDED: move.uuid})
    session.write(write)
    return str(uuid)


def test_one_that_cannot_go_on_stops_no_other(cloud: Cloud, monkeypatch: Any) -> None:
    """Nor do those that somebody gave up for good, which stay, however many they are."""
    resume, failed = unended.resume, threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(due, 'resume_moves', lambda: [])
        first, second, third = (given_up(cloud, noted) for noted in (False, True, True))

        def fails(conn: Any, move: Migration) -> Any:
            if move.instance_uuid == second:
                failed.set()
                raise RuntimeError('its row is not as it should be')
            return resume(conn, move)
        monkeypatch.setattr(unended, 'MOST', 1)
        monkeypatch.setattr(unended, 'resume', fails)
    decided(cloud, third)
    assert failed.wait(60) and undecided(second)
    assert (moves(cloud, first), moves(cloud, second), moves(cloud, third)) == (1, 1, 2)


def test_what_is_due_is_rung_whatever_becomes_of_moves(cloud: Cloud, monkeypatch: Any) -> None:
    conductor: Any = cloud.services['conductor1'].manager
    rung: list[int] = []

    def fails() -> list[int]:
        raise RuntimeError('the database is away')
    monkeypatch.setattr(conductor.engine, 'ring', rung.extend)
    monkeypatch.setattr(due, 'sweep', lambda: [41])
    monkeypatch.setattr(due, 'resume_moves', fails)
    with pytest.raises(RuntimeError):
        conductor.begin_due()
    assert 41 in rung


@pytest.fixture
def on_cinder(cinder: CinderServer, conf: Any) -> Iterator[Cloud]:
    conf.set_override('stuck_after', 2, 'conductor')
    made = Cloud()
    yield made
    made.stop()


def moves(cloud: Cloud, uuid: str) -> int:
    return len([one for one in actions(cloud, uuid) if one['action'] == 'live-migration'])


def stuck_again(cloud: Cloud, cinder: CinderServer, *, switched: bool) -> tuple[str, str, str, int]:
    """Both hosts are back, the guest is at the destination, and the move that goes on gets stuck: before it is decided
    where the guest is, or when the records have followed it. -> uuid, source, destination, the action"""
    uuid, source, dest = lost(cloud, arrives=True, volume=cinder.volume())
    reset(cloud, uuid, 'error')

    def fail(driver: Any, uuid: str) -> None:
        raise RuntimeError('the hypervisor does not answer')
    if switched:
        cinder.faults['complete'] = always(409)
    else:
        FakeDriver.faults['live_find'] = fail
    for host in (source, dest):
        cloud.start_compute(host)

    def look() -> int | None:
        with session.read() as conn:
            return next((one.id for one in stuck.find(conn, ['stuck'])), None)
    found = cloud.until(look, 'the move to be stuck')
    assert undecided(uuid) and moves(cloud, uuid) == 2
    return uuid, source, dest, found


def give_up(cloud: Cloud, uuid: str, action: int, how: str) -> None:
    if how == 'reset':
        reset(cloud, uuid, 'active')
    else:
        session.write(stuck.abandon, action, 'disks of the source are lost')


@pytest.mark.parametrize('how', ['abandon', 'reset'])
def test_one_that_is_stuck_in_doubt_again_goes_on_again(on_cinder: Cloud, cinder: CinderServer, how: str) -> None:
    """Nobody who gives it up knows where the guest is: it is not started at the source, whose disk is old, and the next
    look finds it, with its volumes."""
    cloud = on_cinder
    uuid, source, dest, action = stuck_again(cloud, cinder, switched=False)
    assert len(cinder.of_server(uuid)) == 2 and record(uuid).host == source
    give_up(cloud, uuid, action, how)
    assert undecided(uuid)
    act(cloud, uuid, 'reboot', {'type': 'HARD'}, expect=409)
    FakeDriver.faults.clear()
    decided(cloud, uuid)
    cloud.until(lambda: not any(one.state == 'stuck' for one in found_stuck()), 'nothing to be stuck')
    cloud.until(lambda: status(uuid) == ['completed'] and homes(cloud, uuid) == {dest: PowerState.RUNNING}, 'one guest')
    assert record(uuid).host == dest and len(cinder.of_server(uuid)) == 1 and not cloud.leaks()


def found_stuck() -> Any:
    with session.read() as conn:
        return stuck.find(conn, ['stuck'])


@pytest.mark.parametrize('place', ['before it is known', 'behind the point of no return'])
@pytest.mark.parametrize('how', ['abandon', 'reset'])
def test_who_gives_up_a_move_in_doubt_gets_no_second_guest(cloud: Cloud, monkeypatch: Any, place: str,
                                                           how: str) -> None:
    """The guest is at the destination and the records say the source, whose disks are those of before the copy."""
    monkeypatch.setattr('minicompute.conductor.settle.MOST_BACKOFF', 0.1)
    CONF.set_override('live_migration_seconds', 0.2, 'fake')
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]
    dest = 'compute2' if source == 'compute1' else 'compute1'

    def fail(*words: Any) -> None:
        raise RuntimeError('it does not answer')
    with monkeypatch.context() as broken:
        if place == 'before it is known':
            FakeDriver.faults['live_migrate.after'] = FakeDriver.faults['live_find'] = fail
        else:
            broken.setattr('minicompute.conductor.flows.move._check_claims', fail)
        migrate(cloud, uuid, dest)
        action = cloud.until(lambda: next((one.id for one in found_stuck()), None), 'the move to be stuck')
        give_up(cloud, uuid, action, how)
        assert undecided(uuid) and record(uuid).host == source
        for begin in ({'reboot': {'type': 'HARD'}}, {'rebuild': {'imageRef': cloud.image()}}, {'rescue': None},
                      {'os-migrateLive': {'host': None, 'block_migration': 'auto'}}, {'shelve': None}):
            answer = cloud.api('POST', f'/servers/{uuid}/action', begin, expect=409)
            assert 'on which of the two hosts' in answer['conflictingRequest']['message']
        assert homes(cloud, uuid) == {dest: PowerState.RUNNING}
        FakeDriver.faults.clear()
    for one in found_stuck():       # it had gone on meanwhile, and met the same
        give_up(cloud, uuid, one.id, how)
    decided(cloud, uuid)
    cloud.until(lambda: status(uuid) == ['completed'], 'the records to follow')
    assert record(uuid).host == dest and homes(cloud, uuid) == {dest: PowerState.RUNNING}
    assert claims(uuid) == [(dest, 64)] and not cloud.leaks()
    act(cloud, uuid, 'reboot', {'type': 'HARD'}, expect=202)
    cloud.until(lambda: cloud.show(uuid)['status'] == 'ACTIVE', 'it to be rebooted')


def test_one_whose_guest_is_known_to_be_at_home_may_start(cloud: Cloud, monkeypatch: Any) -> None:
    """Only the destination cannot be cleaned: that is no reason to hold the server."""
    monkeypatch.setattr('minicompute.conductor.settle.MOST_BACKOFF', 0.1)
    before = booted(cloud)
    uuid, source = before['id'], before[HOST]

    def fail(*words: Any) -> None:
        raise RuntimeError('it does not want to')
    FakeDriver.faults['live_migrate'] = FakeDriver.faults['live_rollback'] = fail
    migrate(cloud, uuid)
    cloud.until(found_stuck, 'the move to be stuck')
    reset(cloud, uuid, 'active')
    FakeDriver.faults.clear()
    assert not undecided(uuid)
    act(cloud, uuid, 'reboot', {'type': 'HARD'}, expect=202)
    cloud.wait(uuid)
    migrate(cloud, uuid)
    cloud.until(lambda: status(uuid) == ['error', 'completed'], 'it to move after all')
    after = cloud.wait(uuid)
    assert after[HOST] != source and claims(uuid) == [(after[HOST], 64)] and not cloud.leaks()


@pytest.mark.parametrize('how', ['abandon', 'reset', 'an earlier conductor'])
def test_one_that_is_stuck_behind_the_switch_is_ended_for_good(on_cinder: Cloud, cinder: CinderServer,
                                                               monkeypatch: Any, how: str) -> None:
    """Whoever ends it ends it: the records say where the guest is, and nobody takes up the rest."""
    cloud = on_cinder
    uuid, source, dest, action = stuck_again(cloud, cinder, switched=True)
    held = cinder.of_server(uuid)
    assert len(held) == 2 and record(uuid).host == dest
    give_up(cloud, uuid, action, how)
    with session.read() as conn:
        move = system_metadata.of(conn, uuid)[journal.UNENDED]
    if how == 'an earlier conductor':   # which left the note
        session.write(system_metadata.merge, uuid, {journal.UNDECIDED: move})
    FakeDriver.faults.clear()
    cinder.faults.clear()
    cloud.services[dest].manager.driver.change_by_itself(uuid, PowerState.SHUTDOWN)     # type: ignore[attr-defined]
    assert due.resume_moves() == []
    quiet(cloud)
    assert moves(cloud, uuid) == 2
    cloud.until(lambda: not undecided(uuid), 'nobody to wait for it')
    assert list(homes(cloud, uuid)) == [dest] and cinder.of_server(uuid) == held
    monkeypatch.setattr(audit, 'AGE', datetime.timedelta(seconds=-1))
    with session.read() as conn:
        assert [one for one in audit.moves_without_action(conn) if one.subject == uuid], 'the operator is told'
    monkeypatch.undo()
    cloud.api('DELETE', f'/servers/{uuid}')
    cloud.wait_gone(uuid)
    cloud.until(lambda: homes(cloud, uuid) == {}, 'both hosts to clean up')
    assert not cloud.leaks() and not cinder.of_server(uuid)
