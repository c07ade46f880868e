"""A move that nobody ended stands in the way of no other: its claim is given back, and the other host cleans up."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute import exception
from minicompute.db import session
from minicompute.db.api import actions as journal
from minicompute.db.api import instances, stuck
from minicompute.objects import PowerState
from minicompute.virt.fake import FakeDriver
from tests.functional.cloud import Cloud
from tests.functional.test_evacuate import _quick, evacuate, lose, other  # noqa: F401
from tests.functional.test_live_migration import migrate
from tests.functional.test_resize import HOST, act, booted, claims, homes, resized, status


def reset(cloud: Cloud, uuid: str) -> None:
    act(cloud, uuid, 'os-resetState', {'state': 'active'}, expect=202)
    cloud.wait(uuid)


def reset_while_resized(cloud: Cloud) -> str:
    """Nobody may confirm it or revert it any more."""
    uuid = str(booted(cloud)['id'])
    resized(cloud, uuid)
    reset(cloud, uuid)
    return uuid


def given_up_before_the_switch(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, how: str) -> str:
    """The destination has the guest made, and can neither go on nor take it back."""
    uuid = str(booted(cloud)['id'])
    monkeypatch.setattr('minicompute.conductor.settle.MOST_BACKOFF', 0.1)

    def refuse(driver: Any, uuid: str) -> None:
        raise exception.Conflict('the hypervisor does not want to')
    FakeDriver.faults['check_move'] = FakeDriver.faults['depart'] = refuse
    act(cloud, uuid, 'migrate')

    def look() -> int | None:
        with session.read() as conn:
            return next((one.id for one in stuck.find(conn, ['stuck'])), None)
    action = cloud.until(look, 'it to be stuck')
    FakeDriver.faults.clear()
    if how == 'abandon':
        session.write(stuck.abandon, action, 'it does not want to')
        cloud.wait(uuid, 'ERROR')
    reset(cloud, uuid)
    return uuid


def ended(cloud: Cloud, uuid: str, memory: int) -> None:
    """It runs once, holds room once, and nothing is left."""
    home = cloud.wait(uuid)[HOST]
    assert claims(uuid) == [(home, memory)]
    cloud.until(lambda: homes(cloud, uuid) == {home: PowerState.RUNNING}, 'the other host to clean up')
    with session.read() as conn:
        found = instances.get(conn, uuid)
    assert found.old_flavor is None and journal.UNENDED not in found.system_metadata
    assert not cloud.leaks()


def test_reset_while_resized_then_live_migration(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3)
    uuid = reset_while_resized(cloud)
    before = cloud.show(uuid)[HOST]
    migrate(cloud, uuid, expect=202)
    cloud.until(lambda: status(uuid)[-1] == 'completed', 'it to move')
    assert cloud.show(uuid)[HOST] != before and status(uuid) == ['confirmed', 'completed']
    ended(cloud, uuid, 128)


def test_reset_while_resized_then_back_where_it_came_from(cloud: Cloud) -> None:
    """What that host owes of it is paid before it comes, or not at all."""
    uuid = reset_while_resized(cloud)
    before = cloud.show(uuid)[HOST]
    migrate(cloud, uuid, other(before), expect=202)
    cloud.until(lambda: status(uuid)[-1] == 'completed', 'it to move')
    assert cloud.show(uuid)[HOST] == other(before)
    ended(cloud, uuid, 128)


def test_reset_while_resized_then_evacuated(make_cloud: Any) -> None:
    cloud = make_cloud(computes=3)
    uuid = reset_while_resized(cloud)
    before = cloud.show(uuid)[HOST]
    lose(cloud, before)
    evacuate(cloud, uuid, version='2.94')
    cloud.until(lambda: status(uuid)[-1] in ('done', 'error'), 'it to be made anew')
    assert status(uuid) == ['confirmed', 'done'] and cloud.show(uuid)[HOST] != before
    cloud.start_compute(before)
    ended(cloud, uuid, 128)


def test_reset_while_resized_then_shelved(cloud: Cloud, conf: Any) -> None:
    conf.set_override('shelved_offload_time', 0)
    uuid = reset_while_resized(cloud)
    act(cloud, uuid, 'shelve', expect=202)
    cloud.wait(uuid, 'SHELVED_OFFLOADED')
    assert claims(uuid) == [] and status(uuid) == ['confirmed']
    act(cloud, uuid, 'unshelve', expect=202)
    ended(cloud, uuid, 128)


@pytest.mark.parametrize('how', ['reset', 'abandon'])
@pytest.mark.parametrize('then', ['migrate', 'live', 'confirmed resize'])
def test_given_up_before_the_switch(make_cloud: Any, monkeypatch: pytest.MonkeyPatch, how: str, then: str) -> None:
    cloud = make_cloud(computes=3)
    uuid = given_up_before_the_switch(cloud, monkeypatch, how)
    before = cloud.show(uuid)[HOST]
    assert len(claims(uuid)) == 2
    act(cloud, uuid, 'reboot', {'type': 'HARD'})
    cloud.until(lambda: homes(cloud, uuid).get(before) == PowerState.RUNNING, 'it to run at home')
    cloud.wait(uuid)
    if then == 'live':
        migrate(cloud, uuid, expect=202)
        cloud.until(lambda: status(uuid)[-1] == 'completed', 'it to move')
    else:
        if then == 'migrate':
            act(cloud, uuid, 'migrate')
            cloud.wait(uuid, 'VERIFY_RESIZE')
        else:
            resized(cloud, uuid)
        act(cloud, uuid, 'confirmResize')
        cloud.wait(uuid)
    assert status(uuid)[0] == 'error' and cloud.show(uuid)[HOST] != before
    ended(cloud, uuid, 128 if then == 'confirmed resize' else 64)
