"""The conductor daemon: runs the flows, and is the database's door for the computes."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging
from oslo_utils import uuidutils

from minicompute import rpc, servicegroup
from minicompute.compute import rpcapi as compute
from minicompute.conductor import flows, wire
from minicompute.conductor.engine import Engine
from minicompute.conductor.wire import Wire
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, allocations, audit, compute_nodes, instances, networks, owed
from minicompute.objects import Action, ComputeNode, PowerState, StepReport, TaskState, VMState
from minicompute.service import Manager, Periodic

LOG = logging.getLogger(__name__)

AUDIT_INTERVAL = 60
TIMER_INTERVAL = 0.1


class ConductorManager(Manager):
    def __init__(self, host: str | None = None) -> None:
        LOG.debug('Flows: %s', ', '.join(flows.__all__))
        self.wire = Wire(host or CONF.host)
        self.engine = Engine(host or CONF.host, compute.send, self.wire.steady)

    # -- the daemon --------------------------------------------------------

    def endpoints(self) -> list[Any]:
        return [rpc.Endpoint(self, 'ring', 'cancel', 'report', 'host_started', 'heartbeats', 'hello', 'servers',
                             'paid', 'power_states', 'echo')]

    def start(self) -> None:
        self.engine.start()

    def stop(self) -> None:
        self.engine.stop()

    def periodics(self) -> list[Periodic]:
        conf = CONF.conductor
        return [Periodic(self.engine.sweep, conf.sweep_interval, at_once=True),
                Periodic(self.engine.tick, conf.renew_interval), Periodic(self.engine.due, TIMER_INTERVAL),
                Periodic(self.audit, AUDIT_INTERVAL), Periodic(self.wire.send, wire.INTERVAL)]

    def audit(self) -> None:
        """Give back what is held for servers that are gone, and remind hosts that are back of what they owe."""
        def mend(conn: sa.Connection) -> tuple[list[str], list[str], dict[str, list[str]]]:
            claims, cards = audit.orphan_claims(conn), audit.orphan_ports(conn)
            allocations.release(conn, claims)
            networks.release_ports(conn, cards)
            return claims, cards, _collectable(conn)
        claims, cards, debts = session.write(mend)
        for uuid in claims:
            LOG.warning('The claim of %s was held by nobody: released', uuid)
        for uuid in cards:
            LOG.warning('The addresses of %s were held by nobody: released', uuid)
        for host, uuids in debts.items():
            compute.pay(host, uuids)

    # -- bells -------------------------------------------------------------

    def ring(self, context: RequestContext, items: list[int]) -> None:
        self.engine.ring(items)

    def cancel(self, context: RequestContext, items: list[int]) -> None:
        self.engine.cancel(set(items))

    def report(self, context: RequestContext, items: list[StepReport]) -> None:
        self.engine.report(items)

    def host_started(self, context: RequestContext, host: str) -> None:
        self.engine.host_started(host)

    def echo(self, context: RequestContext, items: list[float]) -> None:
        self.wire.heard()

    # -- computes ----------------------------------------------------------

    def heartbeats(self, context: RequestContext, items: list[dict[str, Any]]) -> None:
        nodes = [item['node'] for item in items if item.get('node')]
        session.write(_beat, [item['host'] for item in items], nodes)

    def hello(self, context: RequestContext, node: ComputeNode) -> dict[str, Any]:
        session.write(_beat, [node.host], [node])
        session.write(compute_nodes.reset_failed_builds, node.host)   # it starts anew
        return self.servers(context, node.host)

    def servers(self, context: RequestContext, host: str) -> dict[str, Any]:
        """What lives on `host`, what is under way there, and what it owes."""
        with session.read() as conn:
            mine = instances.on_host(conn, host)
            return {'instances': list(mine.values()), 'busy': actions.busy_among(conn, host),
                    'owed': owed.of_host(conn, host)}

    def paid(self, context: RequestContext, host: str, uuids: list[str]) -> None:
        session.write(owed.paid, host, uuids)

    def power_states(self, context: RequestContext, host: str, states: dict[str, int]) -> None:
        """Domains that changed by themselves; a server that something is being done to is left alone."""
        self.engine.ring(session.write(_note_power, host, states))


def _collectable(conn: sa.Connection) -> dict[str, list[str]]:
    """{host: uuids} that hosts owe which report again without having been started anew."""
    debts = owed.debts(conn)
    down = servicegroup.down_hosts(conn, set(debts)) if debts else {}
    return {host: uuids for host, uuids in debts.items() if host not in down}


def _beat(conn: sa.Connection, hosts: list[str], nodes: list[ComputeNode]) -> None:
    servicegroup.report_computes(conn, sorted(set(hosts)))
    for node in sorted(nodes, key=lambda n: n.uuid):
        compute_nodes.upsert(conn, node)


_DOWN = (PowerState.SHUTDOWN, PowerState.CRASHED)


def _note_power(conn: sa.Connection, host: str, states: dict[str, int]) -> list[int]:
    """-> actions that this began: a stopped server that runs is stopped again, as its owner asked."""
    begun = []
    for uuid, instance in instances.get_many(conn, states).items():
        state = states[uuid]
        if instance.host != host or instance.task_state is not None or actions.running(conn, uuid):
            continue
        if instance.vm_state == VMState.ACTIVE and state in _DOWN:
            LOG.info('Instance %s has shut itself down', uuid)
            instances.expect(conn, uuid, [VMState.ACTIVE], [None], {'vm_state': VMState.STOPPED, 'power_state': state})
        elif instance.vm_state == VMState.STOPPED and state == PowerState.RUNNING:
            LOG.warning('Instance %s runs although it was stopped: stopped again', uuid)
            if not instances.expect(conn, uuid, [VMState.STOPPED], [None],
                                    {'task_state': TaskState.POWERING_OFF, 'power_state': state}):
                continue
            begun += actions.begin(conn, [Action(
                action='stop', flow='stop', step='power_off', instance_uuid=uuid, busy=uuid,
                request_id='req-' + uuidutils.generate_uuid(), project_id=instance.project_id)])
        elif instance.power_state != state:
            instances.update(conn, uuid, {'power_state': state})
    return begun
