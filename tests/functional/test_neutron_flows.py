"""Every flow that touches ports, against a Neutron that breaks: nothing is lost, and nothing leaks there either."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conductor import debts
from minicompute.conductor.flow import Flow
from minicompute.conductor.flows import ports
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.network import base as network
from minicompute.objects import Instance, to_primitive
from tests.functional import beginnings, test_flows
from tests.functional.bench import HOSTS, Bench
from tests.functional.neutron_server import HOST, Fault, Neutron

#: those that call Neutron, or run behind steps that do
NAMES = ['attach_interface', 'build', 'confirm-resize', 'delete', 'detach_interface', 'evacuate', 'live-migration',
         'port_deleted', 'resize', 'revert-resize', 'shelve', 'shelve_offload', 'unshelve']
STEPS = [(name, step.name) for name in NAMES for step in Flow.registry[name].steps]
UNDONE = [(name, step.name) for name in NAMES for step in Flow.registry[name].steps if step.undo]
#: the steps that talk to Neutron
CALLS = [('build', 'allocate_networks'), ('build', 'wait_for_ports'), ('delete', 'release_networks'),
         ('attach_interface', 'make_port'), ('detach_interface', 'give_port_back'), ('resize', 'bind_ports'),
         ('revert-resize', 'bind_home'), ('evacuate', 'bind_ports'), ('live-migration', 'bind_ports'),
         ('live-migration', 'switch_ports'), ('live-migration', 'unbind_source'), ('unshelve', 'bind_ports'),
         ('shelve', 'unbind_ports'), ('shelve_offload', 'unbind_ports')]


class NeutronBench(Bench):
    """Each server has one card of its own; `check` looks at Neutron, too."""

    def __init__(self, monkeypatch: Any, neutron: Neutron) -> None:
        super().__init__(monkeypatch)
        self.neutron, self.net = neutron, neutron.network('p')

    def new_server(self, count: int = 1, networks: list[dict[str, Any]] | None = None) -> list[int]:
        return super().new_server(count, networks or [{'id': self.net}])

    def check(self) -> None:
        super().check()
        with session.read() as conn:
            live = {uuid for uuid in self._uuids(conn) if self.server(uuid).host}
            parked = {uuid for uuid in self._uuids(conn) if self.server(uuid).vm_state == 'shelved_offloaded'}
        held = self.neutron.held()
        assert set(held.values()) <= live | parked, held
        for uuid in parked:
            server = self.server(uuid)
            assert {port for port, owner in held.items() if owner == uuid} == {card.id for card in server.network_info}
            for card in server.network_info:
                assert self.neutron.ports[card.id][HOST] == card.details['host'] == '' and card.kind == 'unbound'
                assert not self.neutron.bindings[card.id]
        for uuid in live:
            server = self.server(uuid)
            mine = {port for port, owner in held.items() if owner == uuid}
            assert mine == {card.id for card in server.network_info}
            for card in server.network_info:
                assert self.neutron.ports[card.id][HOST] == server.host, (card, server.host)
                assert card.details['host'] == server.host
                assert set(self.neutron.bindings[card.id]) == {server.host}
                assert 'migrating_to' not in self.neutron.bindings[card.id][server.host]['profile']

    def _check_devices(self, server: Instance) -> None:
        driver: Any = self.computes[server.host].driver if server.host else None
        plugged = driver.plugged(server.uuid) if driver else set()
        assert {name for name in plugged if name.startswith('vif.')} <= {f'vif.{c.id}' for c in server.network_info}


@pytest.fixture
def neutron(conf: Any) -> Iterator[Neutron]:
    made = Neutron(*HOSTS)
    made.configure(conf)
    yield made
    made.close(conf)


@pytest.fixture
def bench(database: str, conf: Any, neutron: Neutron, monkeypatch: Any) -> Iterator[NeutronBench]:
    monkeypatch.setattr(ports, 'LOOK_AGAIN', 0.02)
    made = NeutronBench(monkeypatch, neutron)
    for name in ('attach_interface', 'detach_interface', 'port_deleted'):
        monkeypatch.setitem(beginnings.READY, name, _READY[name])
    yield made
    made.close()


def with_card(bench: Any, uuid: str) -> dict[str, Any]:
    """What the API writes when it accepts a network card."""
    return {'card': network.load().resolve_one(admin_context(), 'p', {'id': bench.net, 'tag': 'blue'})}


def to_detach(bench: Any, uuid: str) -> dict[str, Any]:
    beginnings.run(bench, uuid, 'attach_interface', **with_card(bench, uuid))
    return {'port': bench.server(uuid).network_info[-1].id}


def to_lose(bench: Any, uuid: str) -> dict[str, Any]:
    """Neutron says that a port is gone, and so it is."""
    data = to_detach(bench, uuid)
    del bench.neutron.ports[data['port']]
    return data


_READY = {'attach_interface': with_card, 'detach_interface': to_detach, 'port_deleted': to_lose}


@pytest.mark.every_case
@pytest.mark.parametrize('name', NAMES)
def test_it_works(bench: NeutronBench, name: str) -> None:
    test_flows.test_it_works(bench, name)


@pytest.mark.generic
@pytest.mark.parametrize(('name', 'step'), STEPS)
@pytest.mark.parametrize('when', ['before', 'after'])
def test_fail_at_each_step(bench: NeutronBench, monkeypatch: Any, name: str, step: str, when: str) -> None:
    test_flows.test_fail_at_each_step(bench, monkeypatch, name, step, when)


@pytest.mark.generic
@pytest.mark.parametrize(('name', 'step'), STEPS)
def test_run_each_step_twice(bench: NeutronBench, monkeypatch: Any, name: str, step: str) -> None:
    test_flows.test_run_each_step_twice(bench, monkeypatch, name, step)


@pytest.mark.generic
@pytest.mark.parametrize(('name', 'step'), UNDONE)
def test_undo_each_step_twice(bench: NeutronBench, monkeypatch: Any, name: str, step: str) -> None:
    test_flows.test_undo_each_step_twice(bench, monkeypatch, name, step)


@pytest.mark.generic
@pytest.mark.parametrize('broken', [False, True], ids=['forward', 'unwinding'])
@pytest.mark.parametrize('name', NAMES)
def test_kill_after_each_commit(bench: NeutronBench, monkeypatch: Any, name: str, broken: bool) -> None:
    test_flows.test_kill_after_each_commit(bench, monkeypatch, name, broken)


# -- Neutron breaks ----------------------------------------------------------------------------------

def armed(bench: NeutronBench, name: str, step: str, monkeypatch: Any, *faults: Fault) -> tuple[str, int]:
    """A server, and its action, during whose step Neutron breaks."""
    uuid, action_id = beginnings.begin(bench, name)
    real = test_flows.step_of(name, step)

    def run(task: Any) -> Any:
        bench.neutron.faults += [fault for fault in faults if fault not in bench.neutron.faults]
        return real.run(task)
    test_flows.change(monkeypatch, name, step, run=test_flows.named(run, step), many=None)
    return uuid, action_id


@pytest.mark.parametrize(('name', 'step'), CALLS)
@pytest.mark.parametrize('answer', [500, 503, 429, 'drop'])
@pytest.mark.parametrize('after', [False, True], ids=['unheard', 'unanswered'])
def test_a_moment_of_silence(bench: NeutronBench, monkeypatch: Any, name: str, step: str, answer: Any,
                             after: bool) -> None:
    """It is asked again, whether it has heard us or not, and all is as it should be."""
    faults = [Fault(method, '/ports', answer, after=after, times=times)      # so that the pauses end in time
              for method, times in (('POST', 2), ('PUT', 1), ('DELETE', 2), ('GET', 2))]
    _, action_id = armed(bench, name, step, monkeypatch, *faults)
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done'], bench.action(action_id)
    bench.check()
    assert any(fault.times == 0 for fault in faults)


@pytest.mark.parametrize(('name', 'step'), CALLS)
def test_silence_until_the_deadline(bench: NeutronBench, monkeypatch: Any, conf: Any, name: str, step: str) -> None:
    """The server reaches an end by itself, with a reason; what is left at Neutron goes when it is back."""
    conf.set_override('vif_plugging_timeout', 2)
    uuid, action_id = armed(bench, name, step, monkeypatch, Fault('*', '/v2.0', 503, times=None))
    for other in Flow.registry[name].steps:
        if other.debts is not None or other.name == step:
            test_flows.change(monkeypatch, name, other.name, deadline=lambda: 1)
    bench.engine().ring([action_id])
    state = bench.finish([action_id])[0]
    action = bench.action(action_id)
    assert state in ('done', 'failed'), action
    if state == 'failed':
        assert 'Network service' in str(action.message) or 'not ready' in str(action.message)
    bench.neutron.faults.clear()
    for _ in range(3):
        debts.pay()
    if state == 'failed' and name != 'build':
        bench.engines[-1].ring([again := bench.new_action(uuid, 'delete')])
        assert bench.finish([again]) == ['done']
    bench.check()


@pytest.mark.parametrize('status', [400, 403, 404, 409, 413])
def test_what_neutron_refuses_fails_with_its_words(bench: NeutronBench, monkeypatch: Any, status: int) -> None:
    uuid, action_id = armed(bench, 'build', 'allocate_networks', monkeypatch,
                            Fault('POST', '/ports', status, times=None))
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['failed']
    fault = bench.server(uuid).fault
    assert fault and f'planned {status}' in fault['message'] and fault['code'] == (403 if status == 413 else status)
    bench.check()


def test_a_refusal_to_unbind_keeps_nothing_on_its_host(bench: NeutronBench, monkeypatch: Any) -> None:
    """The disks are gone: the server is offloaded, and the rest is owed."""
    uuid, action_id = armed(bench, 'shelve_offload', 'unbind_ports', monkeypatch,
                            Fault('PUT', '/ports', 400, times=None))
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done'] and bench.server(uuid).vm_state == 'shelved_offloaded'
    port = bench.server(uuid).network_info[0].id
    assert bench.neutron.ports[port][HOST]
    bench.neutron.faults.clear()
    assert debts.pay() == 1
    bench.check()


def test_a_slow_neutron_is_waited_for(bench: NeutronBench, monkeypatch: Any) -> None:
    _, action_id = armed(bench, 'build', 'allocate_networks', monkeypatch, Fault('POST', '/ports', 0.5))
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done']
    bench.check()


# -- what else may be ---------------------------------------------------------------------------------

def test_a_host_without_an_agent_is_passed_over(bench: NeutronBench) -> None:
    del bench.neutron.agents['host1']
    ids = [bench.new_server()[0] for _ in range(4)]
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['done'] * 4
    assert {bench.server(bench.action(one).instance_uuid).host for one in ids} == {'host2'}
    bench.check()


def test_no_host_has_an_agent(bench: NeutronBench) -> None:
    bench.neutron.agents.clear()
    ids = bench.new_server()
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['failed']
    fault = bench.server(bench.action(ids[0]).instance_uuid).fault
    assert fault and 'Binding failed for port' in fault['message']
    bench.check()


def test_a_move_to_a_host_without_an_agent_goes_back(bench: NeutronBench) -> None:
    for name in ('resize', 'live-migration'):
        uuid, action_id = beginnings.begin(bench, name)
        home = bench.server(uuid).host
        bench.neutron.agents = {str(home): 'br-int'}
        bench.engine(f'of {name}').ring([action_id])
        assert bench.finish([action_id]) == ['failed']
        assert bench.server(uuid).host == home
        bench.check()
        bench.neutron.agents = {host: 'br-int' for host in HOSTS}


def test_the_guest_runs_once_its_port_is_ready(bench: NeutronBench) -> None:
    bench.neutron.plugs_after = None
    ids = bench.new_server()
    engine = bench.engine()
    engine.ring(ids)
    uuid = bench.action(ids[0]).instance_uuid
    wait_until(bench, lambda: bench.action(ids[0]).step == 'wait_for_ports')
    server = bench.server(uuid)
    assert server.vm_state == 'building'
    assert bench.computes[str(server.host)].driver.power_state(uuid) == 3     # paused
    bench.neutron.plug(server.network_info[0].id)
    engine.ring(ids)
    assert bench.finish(ids) == ['done']
    assert bench.computes[str(server.host)].driver.power_state(uuid) == 1
    assert bench.server(uuid).network_info[0].active
    bench.check()


def wait_until(bench: NeutronBench, look: Any) -> None:
    import time
    end = time.monotonic() + 20
    while not look():
        for engine in bench.engines:
            engine.due()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_ring_wakes_who_waits(bench: NeutronBench, monkeypatch: Any) -> None:
    """The event, and not the next look, makes it go on."""
    monkeypatch.setattr(ports, 'LOOK_AGAIN', 3600.0)
    bench.neutron.plugs_after = None
    ids = bench.new_server()
    engine = bench.engine()
    engine.ring(ids)
    wait_until(bench, lambda: engine.load()['waiting'] == 1)
    bench.neutron.plug(bench.server(bench.action(ids[0]).instance_uuid).network_info[0].id)
    engine.ring(ids)
    assert bench.finish(ids) == ['done']


@pytest.mark.parametrize('fatal', [True, False])
@pytest.mark.parametrize('status', ['DOWN', 'ERROR'])
def test_a_port_that_never_gets_ready(bench: NeutronBench, conf: Any, fatal: bool, status: str) -> None:
    conf.set_override('vif_plugging_timeout', 1)
    conf.set_override('vif_plugging_is_fatal', fatal)
    bench.neutron.plugs_after = None
    ids = bench.new_server()
    bench.engine().ring(ids)
    if status == 'ERROR':
        wait_until(bench, lambda: bench.action(ids[0]).step == 'wait_for_ports')
        for port in bench.neutron.ports.values():
            port['status'] = 'ERROR'
    assert bench.finish(ids) == ['failed' if fatal else 'done']
    server = bench.server(bench.action(ids[0]).instance_uuid)
    if fatal:
        assert server.fault and 'Virtual Interface creation failed' in server.fault['message']
    bench.check()


def test_without_a_timeout_nobody_waits(bench: NeutronBench, conf: Any) -> None:
    conf.set_override('vif_plugging_timeout', 0)
    bench.neutron.plugs_after = None
    ids = bench.new_server()
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['done']
    assert not bench.server(bench.action(ids[0]).instance_uuid).network_info[0].active
    bench.check()


def test_ports_of_users_stay(bench: NeutronBench) -> None:
    own = bench.neutron.port(bench.net, 'p', **{'binding:profile': {'pci_slot': '1', 'mine': 'x'}})
    ids = bench.new_server(networks=[{'port': own, 'tag': 'a'}, {'id': bench.net, 'fixed_ip': '10.10.0.99'}])
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['done']
    uuid = bench.action(ids[0]).instance_uuid
    first, second = bench.server(uuid).network_info
    assert (first.id, first.tag, first.preserve_on_delete) == (own, 'a', True)
    assert second.fixed_ips[0].address == '10.10.0.99' and not second.preserve_on_delete
    assert bench.neutron.ports[own]['device_owner'].startswith('compute:')
    bench.check()
    beginnings.run(bench, uuid, 'delete')
    assert list(bench.neutron.ports) == [own]
    port = bench.neutron.ports[own]
    assert (port['device_id'], port['device_owner'], port[HOST]) == ('', '', '')
    assert port['binding:profile'] == {'mine': 'x'}


def test_many_cards_cost_as_many_calls_as_one(bench: NeutronBench) -> None:
    counts = []
    for cards in (1, 6):
        before = len(bench.neutron.server.seen)
        ids = bench.new_server(networks=[{'id': bench.net}] * cards)
        bench.engine(f'of {cards}').ring(ids)
        assert bench.finish(ids) == ['done']
        assert len(bench.server(bench.action(ids[0]).instance_uuid).network_info) == cards
        counts.append(len(bench.neutron.server.seen) - before)
    assert counts[1] <= counts[0], counts
    bench.check()


def test_the_record_says_how_it_is_plugged(bench: NeutronBench) -> None:
    uuid = bench.built()
    card = bench.server(uuid).network_info[0]
    assert (card.kind, card.details['bridge'], card.mtu) == ('ovs', 'br-int', 1450)
    assert card.subnets[0].dns == ['9.9.9.9'] and card.subnets[0].gateway == '10.10.0.1'
    assert to_primitive(card)
