"""What is owed to Neutron when it is paid at the wrong moment, and ports that are not what they seem: a server that
lives keeps what it has, and gets nothing else."""
from __future__ import annotations

import dataclasses
import uuid as uuidlib
from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conductor import debts
from minicompute.conductor.flow import Debt, Task
from minicompute.conductor.flows import ports
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import actions, migrations, owed, system_metadata, undecided
from minicompute.network import base as network
from minicompute.objects import Action, Migration
from minicompute.virt.fake import FakeDriver
from tests.functional import beginnings, test_flows
from tests.functional.bench import HOSTS
from tests.functional.neutron_server import HOST, Fault, Neutron
from tests.functional.test_neutron_flows import NeutronBench


@pytest.fixture
def neutron(conf: Any) -> Iterator[Neutron]:
    made = Neutron(*HOSTS)
    made.configure(conf)
    yield made
    made.close(conf)


@pytest.fixture
def bench(database: str, neutron: Neutron, monkeypatch: Any) -> Iterator[NeutronBench]:
    monkeypatch.setattr(ports, 'LOOK_AGAIN', 0.02)
    made = NeutronBench(monkeypatch, neutron)
    yield made
    made.close()


def owing() -> list[str]:
    with session.read() as conn:
        return [row.verb for row in owed.of_neighbours(conn, 100)]


def owe(debt: Debt, uuid: str) -> None:
    session.write(owed.add_debt, debt.service, uuid, f'{debt.kind} {debt.ref}', debt.data, 'a test')


def test_a_failed_attempt_takes_no_ports_from_the_next(bench: NeutronBench, monkeypatch: Any) -> None:
    """The first host refuses while Neutron restarts: its ports are owed, and are those of the second host then."""
    def refuse(driver: Any, uuid: str) -> None:
        del FakeDriver.faults['spawn']
        bench.neutron.faults.append(Fault('*', '/', 503, times=None))
        raise RuntimeError('no room')
    FakeDriver.faults['spawn'] = refuse
    real = test_flows.step_of('build', 'schedule')

    def back_again(tasks: Any) -> Any:
        if any(task.data.get('tried') for task in tasks):
            assert owing() == [f'ports {uuid}']
            bench.neutron.faults.clear()
            debts.pay()     # while it is being built
        return real.many(tasks)
    test_flows.change(monkeypatch, 'build', 'allocate_networks', deadline=lambda: 1)
    test_flows.change(monkeypatch, 'build', 'schedule', many=back_again)
    (action_id,) = bench.new_server()
    uuid = bench.action(action_id).instance_uuid
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['done'], bench.action(action_id)
    assert owing() == []
    owe(Debt('neutron', 'ports', uuid, {'keep': []}), uuid)     # and what an earlier version has left
    assert debts.pay() == 1
    assert len(bench.neutron.held()) == 1
    bench.check()


def test_a_card_that_came_again_stays(bench: NeutronBench) -> None:
    """Its first attempt to come failed, and a port made by hand was to be given back."""
    uuid = bench.built()
    card = bench.server(uuid).network_info[0].id
    owe(Debt('neutron', 'port', card, {'server': uuid, 'keep': True}), uuid)
    assert debts.pay() == 1
    bench.check()


# -- ports that only say that they are a server's --------------------------------------------------------

def moved(bench: NeutronBench, uuid: str, name: str) -> None:
    beginnings.run(bench, uuid, name, **beginnings.READY[name](bench, uuid))


@pytest.mark.parametrize('project', ['mallory', 'p'])
@pytest.mark.parametrize('name', ['resize', 'evacuate', 'live-migration'])
def test_a_port_that_names_a_server_does_not_get_in(bench: NeutronBench, name: str, project: str) -> None:
    """Of another project that means ill; or the server's own, made by a request that seemed to fail."""
    uuid = bench.built()
    mine = [card.id for card in bench.server(uuid).network_info]
    strange = bench.neutron.port(bench.neutron.network(project), project, device_id=uuid,
                                 device_owner='compute:nova')
    before = dict(bench.neutron.ports[strange])
    moved(bench, uuid, name)
    assert [card.id for card in bench.server(uuid).network_info] == mine
    after = bench.neutron.ports[strange]
    assert (after[HOST], after['revision_number']) == (before[HOST], before['revision_number'])


def test_a_card_that_fails_takes_no_other_port_with_it(bench: NeutronBench, monkeypatch: Any) -> None:
    """Dead before it wrote down what it made, it looks for that: neither what another project says of its ports, nor
    another port of the project, is it."""
    uuid = bench.built()
    strange = bench.neutron.port(bench.net, 'mallory', device_id=uuid)
    others = bench.neutron.port(bench.neutron.network('p'), 'p', device_id=uuid)

    def make_and_die(task: Any) -> Any:
        network.load().make_port(task.context, task.instance, task.data['card'])
        raise RuntimeError('and nobody knows')
    test_flows.change(monkeypatch, 'attach_interface', 'make_port', run=test_flows.named(make_and_die, 'make_port'))
    card = network.load().resolve_one(admin_context(), 'p', {'id': bench.net})
    action_id = bench.new_action(uuid, 'attach_interface', card=card)
    bench.engine().ring([action_id])
    assert bench.finish([action_id]) == ['failed']
    mine = {card.id for card in bench.server(uuid).network_info}
    assert set(bench.neutron.ports) == {strange, others} | mine


def test_a_card_is_no_port_of_another_project(bench: NeutronBench) -> None:
    """One that names the server is not what an earlier try has made."""
    uuid = bench.built()
    strange = bench.neutron.port(bench.net, 'mallory', device_id=uuid)
    card = network.load().resolve_one(admin_context(), 'p', {'id': bench.net})
    beginnings.run(bench, uuid, 'attach_interface', card=card)
    assert strange not in {one.id for one in bench.server(uuid).network_info}
    assert len(bench.server(uuid).network_info) == 2


def test_a_delete_leaves_the_ports_of_others(bench: NeutronBench) -> None:
    uuid = bench.built()
    strange = bench.neutron.port(bench.net, 'mallory', device_id=uuid)
    beginnings.run(bench, uuid, 'delete')
    assert list(bench.neutron.ports) == [strange]


@pytest.mark.parametrize('before', ['switch_ports', 'unbind_source'])
def test_a_port_that_is_deleted_on_the_way(bench: NeutronBench, monkeypatch: Any, before: str) -> None:
    """While the guest moves, where there is no way back: the move ends, and the other card goes along."""
    uuid = bench.built()
    card = network.load().resolve_one(admin_context(), 'p', {'id': bench.net})
    beginnings.run(bench, uuid, 'attach_interface', card=card)
    first, second = [one.id for one in bench.server(uuid).network_info]
    real = test_flows.step_of('live-migration', before)

    def without(task: Any) -> Any:
        bench.neutron.ports.pop(first, None), bench.neutron.bindings.pop(first, None)
        return real.run(task)
    test_flows.change(monkeypatch, 'live-migration', before, run=test_flows.named(without, before))
    moved(bench, uuid, 'live-migration')
    there = bench.server(uuid).host
    assert bench.neutron.ports[second][HOST] == there and set(bench.neutron.bindings[second]) == {there}


# -- bindings that are owed ----------------------------------------------------------------------------

def test_a_move_is_not_disturbed(bench: NeutronBench, monkeypatch: Any) -> None:
    """An earlier one owes the end of a binding at the host that this one goes to, and the binding at home."""
    uuid = bench.built()
    home = str(bench.server(uuid).host)
    other = next(host for host in HOSTS if host != home)
    owe(Debt('neutron', 'unbind', uuid, {'host': other}), uuid)     # as an earlier version wrote it
    owe(Debt('neutron', 'unbind', f'{uuid}/0', {'host': other}), uuid)
    owe(Debt('neutron', 'bind', uuid), uuid)
    seen = []
    real = test_flows.step_of('live-migration', 'prepare_destination')

    def pay_now(task: Any) -> Any:
        assert debts.pay() == 0
        seen.append(set(bench.neutron.bindings[task.instance.network_info[0].id]))
        return real.run(task)
    test_flows.change(monkeypatch, 'live-migration', 'prepare_destination',
                      run=test_flows.named(pay_now, 'prepare_destination'))
    moved(bench, uuid, 'live-migration')
    assert seen == [{home, other}]
    assert debts.pay() == 3 and owing() == []
    bench.check()


def test_a_binding_that_is_paid_as_a_move_begins_is_paid_again(bench: NeutronBench, monkeypatch: Any) -> None:
    uuid = bench.built()
    owe(Debt('neutron', 'bind', uuid), uuid)
    before = bench.server(uuid).network_info
    real = type(network.load()).bind

    def bind(self: Any, *args: Any) -> Any:
        found = real(self, *args)
        bench.new_action(uuid, 'stop')
        return [dataclasses.replace(card, mtu=1) for card in found]
    with monkeypatch.context() as patched:
        patched.setattr(type(network.load()), 'bind', bind)
        assert debts.pay() == 0 and owing() == [f'bind {uuid}']
    assert bench.server(uuid).network_info == before


def test_nothing_is_paid_while_nobody_knows_where_the_guest_is(bench: NeutronBench) -> None:
    """Its live migration was given up while both hosts were silent: either may need what it has."""
    uuid = bench.built()
    owe(Debt('neutron', 'bind', uuid), uuid)
    session.write(system_metadata.merge, uuid, {actions.UNDECIDED: 'a migration'})
    before = bench.neutron.asked('GET')
    assert debts.pay() == 0 and owing() == [f'bind {uuid}'] and bench.neutron.asked('GET') == before
    session.write(undecided.settled, uuid)
    assert debts.pay() == 1


def test_an_evacuation_ends_the_binding_of_a_move_that_never_ended(bench: NeutronBench) -> None:
    uuid = bench.built()
    move = Migration(uuid=str(uuidlib.uuid4()), instance_uuid=uuid, migration_type='live-migration', status='running',
                     source_compute=bench.server(uuid).host, dest_compute='lost')
    session.write(migrations.create, move)
    session.write(system_metadata.merge, uuid, {actions.UNDECIDED: move.uuid})
    moved(bench, uuid, 'evacuate')
    (owes,) = [verb for verb in owing() if verb.startswith('unbind ')]
    assert owes == 'unbind ' + ports.still_bound(task_of(uuid), 'lost')[0].ref
    debts.pay()
    assert owing() == []


def task_of(uuid: str) -> Task:
    return Task(Action(action='live-migration', flow='live-migration', step='', instance_uuid=uuid,
                       request_id='req-1'), None, admin_context())


def test_each_host_that_a_move_failed_at_is_owed(bench: NeutronBench) -> None:
    task = task_of('u' * 36)
    debt = [one for host in ('b' * 255, 'c' * 255) for one in ports.still_bound(task, host)]
    for one in debt:
        assert len(f'{one.kind} {one.ref}') <= 64
        owe(one, task.uuid)
    assert len(owing()) == 2


# -- others change it, too -------------------------------------------------------------------------------

def test_a_port_that_somebody_changes_is_read_again(bench: NeutronBench, monkeypatch: Any) -> None:
    """Neutron refuses a change of what has been changed since it was read."""
    own = bench.neutron.port(bench.net, 'p')
    left = ['web', 'db']
    real = bench.neutron.answer

    def change_first(method: str, path: str, headers: Any, body: bytes) -> Any:
        if method == 'PUT' and left:
            bench.neutron._change_port(bench.neutron.ports[own], {'name': left.pop()})
        return real(method, path, headers, body)
    bench.neutron.server.answer = change_first
    ids = bench.new_server(networks=[{'port': own}])
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['done'], bench.action(ids[0])
    assert not left and bench.neutron.ports[own]['name'] == 'web'
    bench.check()


def test_a_port_that_somebody_else_gets_first(bench: NeutronBench) -> None:
    own = bench.neutron.port(bench.net, 'p')
    real = bench.neutron.answer

    def take_first(method: str, path: str, headers: Any, body: bytes) -> Any:
        if method == 'PUT' and not bench.neutron.ports[own]['device_id']:
            bench.neutron._change_port(bench.neutron.ports[own], {'device_id': 'somebody'})
        return real(method, path, headers, body)
    bench.neutron.server.answer = take_first
    ids = bench.new_server(networks=[{'port': own}])
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['failed']
    fault = bench.server(bench.action(ids[0]).instance_uuid).fault
    assert fault and 'still in use' in fault['message'] and fault['code'] == 409
    assert bench.neutron.ports[own]['device_id'] == 'somebody'


# -- what is not there ------------------------------------------------------------------------------------

def test_what_is_paid_is_what_is_gone(bench: NeutronBench) -> None:
    """A 404 of anything else (a route that is not there while Neutron is upgraded) pays nothing."""
    uuid = bench.built()
    owe(Debt('neutron', 'bind', uuid), uuid)
    bench.neutron.ports[bench.server(uuid).network_info[0].id][HOST] = 'lost'
    bench.neutron.faults.append(Fault('*', '/', 404, times=None))
    assert debts.pay() == 0 and owing() == [f'bind {uuid}']
    bench.neutron.faults.clear()
    with session.read() as conn:
        (debt,) = owed.of_neighbours(conn, 10)
    session.write(owed.put_off, [(debt, {**debt.data, 'not_before': ''}, str(debt.reason))])
    assert debts.pay() == 1
    bench.check()


def test_a_port_that_goes_while_the_others_are_bound(bench: NeutronBench) -> None:
    uuid = bench.built()
    card = network.load().resolve_one(admin_context(), 'p', {'id': bench.net})
    beginnings.run(bench, uuid, 'attach_interface', card=card)
    first, second = [one.id for one in bench.server(uuid).network_info]
    for port in (first, second):
        bench.neutron._bind(bench.neutron.ports[port], 'host2' if bench.server(uuid).host == 'host1' else 'host1')
    real = bench.neutron.answer

    def delete_first(method: str, path: str, headers: Any, body: bytes) -> Any:
        if method == 'PUT' and first in path:
            bench.neutron.ports.pop(first, None)
        return real(method, path, headers, body)
    bench.neutron.server.answer = delete_first
    owe(Debt('neutron', 'bind', uuid), uuid)
    assert debts.pay() == 1
    assert bench.neutron.ports[second][HOST] == bench.server(uuid).host


# -- answers that say nothing --------------------------------------------------------------------------------

@pytest.mark.parametrize('said', [b'<html>a proxy</html>', {}, {'port': {}}])
@pytest.mark.parametrize('method', ['POST', 'GET'])
def test_an_answer_that_says_nothing_is_silence(bench: NeutronBench, method: str, said: Any) -> None:
    """It is asked again, and finds what it has done before."""
    left = [said]
    real = bench.neutron.answer

    def answer(how: str, path: str, headers: Any, body: bytes) -> Any:
        found = real(how, path, headers, body)
        return (200, left.pop()) if how == method and '/ports' in path and left else found
    bench.neutron.server.answer = answer
    ids = bench.new_server()
    bench.engine().ring(ids)
    assert bench.finish(ids) == ['done'], bench.action(ids[0])
    assert not left and len(bench.neutron.ports) == 1
    bench.check()


def test_what_is_wrong_with_one_keeps_no_other_waiting(bench: NeutronBench, monkeypatch: Any) -> None:
    servers = [bench.server(bench.built()) for _ in range(2)]
    tasks = [Task(Action(action='create', flow='build', step='wait_for_ports', instance_uuid=one.uuid,
                         request_id='req-1'), dataclasses.replace(one, network_info=[
                             dataclasses.replace(card, active=False) for card in one.network_info]), admin_context())
             for one in servers]
    real = type(network.load()).states

    def states(self: Any, context: Any, uuids: Any) -> Any:
        if servers[0].uuid in uuids:
            raise ZeroDivisionError
        return real(self, context, uuids)
    monkeypatch.setattr(type(network.load()), 'states', states)
    first, second = ports.look_at_ports(tasks)
    assert isinstance(first, ZeroDivisionError) and second == {}
    assert tasks[1].instance is not None and tasks[1].instance.network_info[0].active and tasks[1].commits
