from __future__ import annotations

import queue

import libvirt
import pytest

from minicompute import exception
from minicompute.objects import PowerState
from minicompute.virt.driver import DomainInfo
from minicompute.virt.libvirt import events, guest

RUNNING, SHUTDOWN = PowerState.RUNNING, PowerState.SHUTDOWN


class FakeHost:
    uri = 'test:///'

    def __init__(self) -> None:
        self.changes = queue.Queue()
        self.refusals = 0

    def connection(self, patience=0):
        if self.refusals:
            self.refusals -= 1
            raise exception.Unavailable()


@pytest.fixture
def states(monkeypatch):
    found: dict[str, int] = {}

    class Found:
        def __init__(self, host, uuid):
            if uuid not in found:
                raise exception.DomainNotFound(instance_id=uuid)
            self.uuid = uuid

        def power_state(self):
            return found[self.uuid]
    monkeypatch.setattr(guest, 'find', Found)
    monkeypatch.setattr(
        guest, 'everyone', lambda host: [(DomainInfo(u, 'n', s), None) for u, s in found.items()]
    )
    return found


@pytest.fixture
def heard():
    return []


@pytest.fixture
def watch(states, heard):
    states['a'] = RUNNING
    made = events.Events(FakeHost(), lambda uuid, state: heard.append((uuid, state)))
    made._compare_all()
    heard.clear()
    return made


def ring(watch, uuid='a'):
    watch._handle((uuid, libvirt.VIR_DOMAIN_EVENT_STOPPED, 0))


def test_the_state_is_what_the_domain_has_not_what_the_event_said(watch, states, heard):
    ring(watch)
    assert heard == []
    states['a'] = SHUTDOWN
    ring(watch)
    ring(watch)
    assert heard == [('a', SHUTDOWN)]


def test_nothing_is_told_of_our_own_verbs(watch, states, heard):
    with watch.quiet('a'):
        states['a'] = SHUTDOWN
        ring(watch)
    ring(watch)   # late
    assert heard == []
    states['a'] = RUNNING
    ring(watch)
    assert heard == [('a', RUNNING)]


def test_quiet_also_when_the_verb_fails(watch, states, heard):
    with pytest.raises(ValueError), watch.quiet('a'):
        raise ValueError
    states['a'] = PowerState.CRASHED
    ring(watch)
    assert heard == [('a', PowerState.CRASHED)]


def test_a_domain_that_somebody_removed_has_stopped_once(watch, states, heard):
    del states['a']
    ring(watch)
    ring(watch)
    ring(watch, 'never seen')
    assert heard == [('a', SHUTDOWN)]


def test_a_new_connection_tells_what_was_missed(watch, states, heard):
    states.update(a=SHUTDOWN, b=RUNNING)
    watch._handle(None)
    assert sorted(heard) == [('a', SHUTDOWN), ('b', RUNNING)]


def test_waits_for_libvirtd_as_long_as_it_takes(watch, monkeypatch):
    monkeypatch.setattr(events.time, 'sleep', lambda seconds: None)
    watch._host.refusals = 100
    watch._handle(('', -1, 0))
    assert watch._host.refusals == 0
