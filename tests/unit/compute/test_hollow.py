"""Many computes in one process: their turns, their inventories, their shares."""
from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from minicompute import rpc
from minicompute.cmd import hollow as command
from minicompute.compute.hollow import hosts as hollow
from minicompute.compute.manager import housekeeping
from minicompute.compute.manager.manager import ComputeManager
from minicompute.virt.fake import FakeDriver

NAMES = command.names('h', 1234)


@pytest.fixture
def sent(conf: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[Any], str | None]]:
    """(method, items, server) of what went into the outbox"""
    out: list[tuple[str, list[Any], str | None]] = []
    monkeypatch.setattr(rpc.outbox, 'put_all', lambda topic, method, items, server=None: out.append(
        (method, items, server)))
    return out


def test_every_host_has_its_turn_once_in_an_interval() -> None:
    groups = hollow.slices(NAMES, 10)
    assert sorted(name for group in groups for name in group) == sorted(NAMES)
    assert len(groups) == 3 and max(map(len, groups)) <= hollow.SLICE
    assert len(hollow.slices(NAMES, 1)) == 1, 'not more often than once a second'
    assert hollow.slices(NAMES[:3], 10) == [NAMES[:3]]


def test_shares_are_even_and_in_order() -> None:
    found = command.shares(NAMES, 4)
    assert [name for share in found for name in share] == NAMES
    assert {len(share) for share in found} == {308, 309}


def test_one_interval_is_one_heartbeat_of_each(sent: list[Any]) -> None:
    made = hollow.HollowHosts(NAMES[:600])
    for manager in made.managers.values():
        manager.housekeeping.welcomed(manager.housekeeping.inventory(), {'instances': [], 'busy': [], 'owed': []})
    made.heartbeat()
    made.heartbeat()
    assert [method for method, _, _ in sent] == ['heartbeats', 'heartbeats']
    assert sorted(sent[0][1] + sent[1][1]) == NAMES[:600], 'names alone: the conductor knows what they have'
    for _ in range(4 * housekeeping.TO_ALL):
        made.heartbeat()
    heard = [name for _, items, server in sent for name in items if server == rpc.ALL]
    assert sorted(heard) == sorted(2 * NAMES[:600]), 'each host is heard by all now and then, whatever its group'
    made.stop()


def test_idle_hosts_leave_nothing_on_the_disk_and_no_thread(conf: Any, tmp_path: pathlib.Path) -> None:
    import threading

    before = threading.active_count()
    made = hollow.HollowHosts(NAMES)
    assert len(made.managers) == 1234 and threading.active_count() == before
    assert os.listdir(tmp_path) == []
    made.stop()


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def keeper(conf: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Clock, housekeeping.Housekeeping]:
    clock = Clock()
    monkeypatch.setattr(housekeeping, 'time', clock)
    made = ComputeManager('h1', FakeDriver('h1')).housekeeping
    made.welcomed(made.inventory(), {'instances': [], 'busy': [], 'owed': []})
    return clock, made


def test_an_inventory_is_told_when_it_changed_and_now_and_then(keeper: Any, conf: Any) -> None:
    clock, made = keeper
    interval = conf.update_resources_interval
    told = []
    for _ in range(2 * housekeeping.REPEAT):
        clock.now += interval
        told.append(made.pulse())
    assert [type(pulse) for pulse in told].count(dict) == 2, 'once each REPEAT intervals'
    assert told[0] == 'h1' and told[housekeeping.REPEAT - 1]['node'].uptime


def test_a_change_is_told_twice_because_a_message_may_be_lost(keeper: Any, conf: Any) -> None:
    clock, made = keeper
    conf.set_override('memory_mb', 4711, 'fake')
    told = []
    for _ in range(4):
        clock.now += conf.update_resources_interval
        told.append(made.pulse())
    assert [isinstance(pulse, dict) for pulse in told] == [True, True, False, False]
    assert told[0]['node'].memory_mb == 4711


def test_no_host_speaks_to_one_conductor_alone(keeper: Any, sent: list[Any]) -> None:
    """The broker gives each its turn: one of two conductors may hear all that a host says, and hang."""
    _, made = keeper
    for _ in range(2 * housekeeping.TO_ALL):
        made.heartbeat()
    assert [server for _, _, server in sent] == 2 * [*[None] * (housekeeping.TO_ALL - 1), rpc.ALL]
    made.tell_inventory()
    made.heartbeat()
    made.tell_inventory()
    for _ in range(housekeeping.TO_ALL - 1):
        made.heartbeat()
    assert [(type(items[0]), server) for _, items, server in sent[-housekeeping.TO_ALL:]] == [
        (dict, None), (dict, None), (str, rpc.ALL)], 'what it has is for one of them to write'


def test_who_is_asked_for_the_inventory_tells_it_next(keeper: Any) -> None:
    _, made = keeper
    assert made.pulse() == 'h1'
    made.tell_inventory()
    assert made.pulse()['node'].host == 'h1'
    assert made.pulse() == 'h1'
