"""A live migration whose hosts are both silent, and an operator who does not wait: the reset ends for him at once, and
the move when one of the hosts is back."""
from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conductor import due
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import actions as journal
from minicompute.db.api import audit, instances, owed, stuck, system_metadata
from minicompute.objects import PowerState
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


@pytest.mark.parametrize(('switched', 'how'), [
    (False, 'abandon'), (False, 'reset'), (True, 'abandon'), (True, 'reset'), (True, 'an earlier conductor')])
def test_one_that_is_stuck_again_is_ended_for_good(on_cinder: Cloud, cinder: CinderServer, monkeypatch: Any,
                                                   switched: bool, how: str) -> None:
    """Whoever ends it ends it: nobody takes up what he left, which has no way to the volumes any more, and of which
    only he knows what has become of the guest since."""
    cloud = on_cinder
    uuid, source, dest, action = stuck_again(cloud, cinder, switched=switched)
    held = cinder.of_server(uuid)
    assert len(held) == 2 and record(uuid).host == (dest if switched else source)
    if how == 'reset':
        reset(cloud, uuid, 'active')
    else:
        session.write(stuck.abandon, action, 'disks of the source are lost')
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
