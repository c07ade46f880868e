"""What a server's record says of its cards: events and actions write it side by side, and neither loses the other's."""
from __future__ import annotations

from typing import Any

import pytest

from minicompute.compute.api import external_events
from minicompute.compute.api.external_events import Event
from minicompute.conductor import debts, healing
from minicompute.conductor.healing import Healer
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.models import services
from minicompute.network import base as network
from tests.functional import beginnings, test_flows
from tests.functional.neutron_server import Fault
from tests.functional.test_neutron_flows import STEPS, NeutronBench, bench, neutron, wait_until

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


# -- healed ------------------------------------------------------------------------------------------

def two_cards(bench: NeutronBench) -> str:
    (action_id,) = bench.new_server(networks=[{'id': bench.net}] * 2)
    bench.engine(f'of {action_id}').ring([action_id])
    assert bench.finish([action_id]) == ['done']
    return str(bench.action(action_id).instance_uuid)


def heal(bench: NeutronBench, healer: Healer) -> None:
    ids = healer.look()
    if ids:
        bench.engine(f'heals {ids[0]}').ring(ids)
        assert set(bench.finish(ids)) == {'done'}


def test_what_no_event_has_told_is_found(bench: NeutronBench) -> None:
    uuid = two_cards(bench)
    first, second = (card.id for card in bench.server(uuid).network_info)
    bench.neutron.floating(second, ADDRESS)
    bench.neutron.ports[first]['status'] = 'DOWN'
    bench.neutron.plugs_after = None
    healer, at = Healer(), bench.server(uuid).updated_at
    heal(bench, healer)
    assert floating(bench, uuid) == [ADDRESS]
    assert [card.active for card in bench.server(uuid).network_info] == [False, True]
    written = bench.server(uuid).updated_at
    heal(bench, healer)
    assert bench.server(uuid).updated_at == written != at, 'nothing is new, and nothing is written'


def test_a_card_whose_port_is_deleted_goes(bench: NeutronBench) -> None:
    uuid = two_cards(bench)
    first, second = (card.id for card in bench.server(uuid).network_info)
    del bench.neutron.ports[first]
    heal(bench, Healer())
    assert [card.id for card in bench.server(uuid).network_info] == [second]
    server = bench.server(uuid)
    driver: Any = bench.computes[str(server.host)].driver
    assert f'vif.{first}' not in driver.plugged(uuid)
    bench.check()


def test_a_port_that_has_only_lost_its_server_stays_in_the_record(bench: NeutronBench) -> None:
    uuid = bench.built()
    bench.neutron.ports[first_card(bench, uuid)]['device_id'] = ''
    heal(bench, Healer())
    assert len(bench.server(uuid).network_info) == 1


def test_both_cards_go_one_behind_the_other(bench: NeutronBench) -> None:
    uuid = two_cards(bench)
    bench.neutron.ports.clear()
    (ring,) = Healer().look()
    engine = bench.engine()
    engine.ring([ring])
    wait_until(bench, lambda: not bench.server(uuid).network_info)
    bench.check()


def test_a_host_that_is_down_loses_the_card_from_the_record(bench: NeutronBench) -> None:
    uuid = bench.built()
    bench.neutron.ports.clear()
    session.write(lambda conn: conn.execute(services.update().values(forced_down=True)))
    assert Healer().look() == []
    assert bench.server(uuid).network_info == []


def test_a_server_with_an_action_is_left_alone(bench: NeutronBench) -> None:
    uuid = bench.built()
    bench.neutron.floating(first_card(bench, uuid), ADDRESS)
    bench.new_action(uuid, 'reboot')
    heal(bench, Healer())
    assert floating(bench, uuid) == []


def test_a_neutron_that_is_away_is_told_of_once(bench: NeutronBench, caplog: Any) -> None:
    uuid, healer = bench.built(), Healer()
    bench.neutron.floating(first_card(bench, uuid), ADDRESS)
    fault = Fault('*', '/', 503, times=None)
    bench.neutron.faults.append(fault)
    caplog.clear()
    for _ in range(2):
        assert healer.look() == []
    assert sum('not looked after' in record.message for record in caplog.records) == 1
    bench.neutron.faults.clear()
    heal(bench, healer)
    assert floating(bench, uuid) == [ADDRESS]


def test_a_neutron_that_knows_no_port_is_not_believed(bench: NeutronBench, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(healing, 'BELIEVED', 1)
    servers = [bench.built() for _ in range(2)]
    bench.neutron.ports.clear()
    assert Healer().look() == []
    assert all(bench.server(uuid).network_info for uuid in servers)
    assert any('not taken for true' in record.message for record in caplog.records)


def test_it_goes_round_in_few_requests(bench: NeutronBench, monkeypatch: Any) -> None:
    servers = [bench.built() for _ in range(5)]
    for number, uuid in enumerate(servers):
        bench.neutron.floating(first_card(bench, uuid), f'203.0.113.{number}')
    monkeypatch.setattr(healing, 'SERVERS', 2)
    healer = Healer()
    for looks, found in ((1, 2), (1, 4), (1, 5), (1, 5)):
        before = len(bench.neutron.server.seen)
        for _ in range(looks):
            heal(bench, healer)
        assert len(bench.neutron.server.seen) - before == 4, 'ports, networks, subnets, floating addresses'
        assert sum(bool(floating(bench, uuid)) for uuid in servers) == found


def test_only_neutron_is_asked(conf: Any) -> None:
    assert not healing.wanted()
    conf.set_override('network_backend', 'neutron')
    assert healing.wanted()
    conf.set_override('heal_instance_info_cache_interval', 0)
    assert not healing.wanted()
