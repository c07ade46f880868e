"""What a server's record says of its cards: events and actions write it side by side, and neither loses the other's."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute.compute.api import external_events
from minicompute.compute.api.external_events import Event
from minicompute.conductor import debts
from minicompute.context import admin_context
from minicompute.network import base as network
from tests.functional import beginnings, test_flows
from tests.functional.test_neutron_flows import STEPS, NeutronBench, bench, neutron

__all__ = ['bench', 'neutron']
ADDRESS, LATER = '203.0.113.7', '203.0.113.8'
#: until then a new server has no cards, and at its end none
NO_CARDS = {('build', name) for name in ('schedule', 'occupy', 'allocate_networks')}


def tell(bench: NeutronBench, uuid: str, event: str = 'network-changed', port: str = '') -> None:
    external_events.deliver(admin_context(), bench.server(uuid), Event(event, uuid, tag=port))


def floating(bench: NeutronBench, uuid: str) -> list[str]:
    return [one for card in bench.server(uuid).network_info for ip in card.fixed_ips for one in ip.floating_ips]


def first_card(bench: NeutronBench, uuid: str) -> str:
    cards = bench.server(uuid).network_info
    return cards[0].id if cards else ''


@pytest.mark.parametrize(('name', 'step'), [case for case in STEPS if case[0] != 'delete' and case not in NO_CARDS])
def test_an_event_during_a_step_is_not_lost(bench: NeutronBench, monkeypatch: Any, name: str, step: str) -> None:
    """A card gets a floating address when the step has read the record, and has not written it yet."""
    uuid, action_id = beginnings.begin(bench, name)
    real = test_flows.step_of(name, step)
    told: list[str] = []

    def run(task: Any) -> Any:
        outcome = real.run(task)
        if not told and (port := first_card(bench, uuid)):
            told.append(port)
            bench.neutron.floating(port, ADDRESS)
            tell(bench, uuid)
            assert floating(bench, uuid) == [ADDRESS]
        return outcome
    test_flows.change(monkeypatch, name, step, run=test_flows.named(run, step), many=None)
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done'], bench.action(action_id)
    if told:
        assert floating(bench, uuid) == [ADDRESS]
    bench.check()


@pytest.mark.parametrize('still', [False, True], ids=['a newer answer', 'the same as before'])
def test_of_two_answers_the_newer_one_stays(bench: NeutronBench, monkeypatch: Any, still: bool) -> None:
    """Two apis ask Neutron of a server; who has asked first writes last."""
    uuid, backend = bench.built(), network.load()
    port, real = first_card(bench, uuid), type(backend).network_info
    if still:       # the first hears of an address that is gone when the second asks, for which nothing changes
        bench.neutron.floating(port, ADDRESS)
    asked: list[str] = []

    def ask(self: Any, context: Any, server: str, *args: Any, **more: Any) -> Any:
        asked.append(server)
        said = real(self, context, server, *args, **more)
        if len(asked) == 1:
            bench.neutron.tables['floatingips'].clear()
            if not still:
                bench.neutron.floating(port, LATER)
            tell(bench, uuid)
        return said
    monkeypatch.setattr(type(backend), 'network_info', ask)
    tell(bench, uuid)
    assert floating(bench, uuid) == ([] if still else [LATER]) and len(asked) == 3


def test_a_record_that_never_rests_is_owed(bench: NeutronBench, monkeypatch: Any) -> None:
    uuid, backend = bench.built(), network.load()
    port, real = first_card(bench, uuid), type(backend).network_info
    bench.neutron.floating(port, ADDRESS)

    def ask(*args: Any, **more: Any) -> Any:
        said = real(*args, **more)
        monkeypatch.setattr(type(backend), 'network_info', real)
        tell(bench, uuid)
        monkeypatch.setattr(type(backend), 'network_info', ask)
        return said
    monkeypatch.setattr(type(backend), 'network_info', ask)
    bench.neutron.tables['floatingips'].clear()
    tell(bench, uuid)
    bench.neutron.floating(port, LATER)
    assert debts.pay() == 0, 'it does not rest yet'
    monkeypatch.setattr(type(backend), 'network_info', real)
    assert floating(bench, uuid) == [LATER]
