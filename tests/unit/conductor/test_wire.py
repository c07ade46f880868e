"""A conductor that is cut off, or has just started, judges nobody."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute import rpc
from minicompute.conductor import wire
from minicompute.conductor.flows.build import some_were_down


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: Any, conf: Any) -> Clock:
    made = Clock()
    monkeypatch.setattr(wire, 'time', made)
    conf.set_override('service_down_time', 60)
    return made


@pytest.fixture
def sent(monkeypatch: Any) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(rpc.outbox, 'put', lambda *args, **kwargs: found.append(args))
    return found


def live(clock: Clock, made: wire.Wire, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        made.send()
        made.heard()


def test_it_judges_once_it_has_heard_itself_long_enough(clock: Clock, sent: list[Any]) -> None:
    made = wire.Wire('c')
    assert not made.steady()
    live(clock, made, 59)
    assert not made.steady()
    live(clock, made, 2)
    assert made.steady()


def test_a_cut_wire_stops_the_judging_until_the_hosts_had_their_time(clock: Clock, sent: list[Any]) -> None:
    made = wire.Wire('c')
    live(clock, made, 100)
    clock.now += 6
    assert not made.steady()
    live(clock, made, 59)
    assert not made.steady()
    live(clock, made, 3)
    assert made.steady()


def test_a_lost_echo_is_not_piled_up_and_sent_again_in_the_end(clock: Clock, sent: list[Any]) -> None:
    made = wire.Wire('c')
    for _ in range(40):
        clock.now += 1
        made.send()
    assert len(sent) == 1
    for _ in range(20):
        clock.now += 1
        made.send()
    assert len(sent) > 1


def test_a_write_that_has_to_wait_stops_the_judging_as_well(clock: Clock, sent: list[Any]) -> None:
    """Whoever froze with the database's lock lets nobody's heartbeat be written; the wire is whole all the while."""
    made = wire.Wire('c')
    live(clock, made, 100)
    with made.writing():
        live(clock, made, 5)
        assert made.steady()
        live(clock, made, 1)
        assert not made.steady()
    live(clock, made, 59)
    assert not made.steady(), 'what others heard waited behind the same lock'
    live(clock, made, 3)
    assert made.steady()
    with made.writing():
        live(clock, made, 5)
    assert made.steady(), 'a write that is not late is none of its business'


@pytest.mark.parametrize(('stages', 'down'), [
    ([['ComputeFilter', 3], ['MEMORY_MB', 0]], False), ([['ComputeFilter', 2], ['MEMORY_MB', 0]], True),
    ([['AvailabilityZoneFilter', 1], ['ComputeFilter', 1]], False),
    ([['AvailabilityZoneFilter', 1], ['ComputeFilter', 0]], True), ([], False)])
def test_only_hosts_that_were_down_are_waited_for(stages: list[Any], down: bool) -> None:
    assert some_were_down({'total': 3, 'stages': stages, 'nearest': None}) is down
