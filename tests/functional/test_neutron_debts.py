"""What is owed to Neutron when it is paid at the wrong moment: a server that lives keeps what it has."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from minicompute.conductor import debts
from minicompute.conductor.flow import Debt
from minicompute.conductor.flows import ports
from minicompute.db import session
from minicompute.db.api import owed
from minicompute.virt.fake import FakeDriver
from tests.functional import test_flows
from tests.functional.bench import HOSTS
from tests.functional.neutron_server import Fault, Neutron
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
