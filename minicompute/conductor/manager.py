"""The conductor daemon: runs the flows, and is the database's door for the computes."""
from __future__ import annotations

import contextlib
import threading
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_log import log as logging
from oslo_utils import uuidutils

from minicompute import exception, metrics, rpc, servicegroup
from minicompute.compute import rpcapi as compute
from minicompute.conductor import (
    auditor,
    debts,
    due,
    flows,
    healing,
    image_caching,
    late,
    progress,
    usage_audits,
    volume_copies,
    wire,
)
from minicompute.conductor.engine import Engine
from minicompute.conductor.wire import Wire
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import (
    actions,
    audit,
    compute_nodes,
    events,
    figures,
    idempotency,
    instances,
    live_migrations,
    owed,
    residents,
    returned,
    security_groups,
    services,
    undecided,
)
from minicompute.image import base as image
from minicompute.objects import Action, ComputeNode, PowerState, StepProgress, StepReport, TaskState, VMState
from minicompute.service import Manager, Periodic
from minicompute.volume import base as volume

LOG = logging.getLogger(__name__)

#: seconds between two reminders of hosts that owe something
REMIND_INTERVAL = 60
TIMER_INTERVAL = 0.1
#: seconds between two looks for events and answers that are too old, and how many go at once
FORGET_INTERVAL = 60.0
MOST_FORGOTTEN = 500
#: seconds between two looks for volumes and images that are to be deleted
COLLECT_INTERVAL = 10
#: seconds that heartbeats gather, so that those of thousands of hosts are one commit and not one each
BEAT_INTERVAL = 1.0


class ConductorManager(Manager):
    def __init__(self, host: str | None = None) -> None:
        LOG.debug('Flows: %s', ', '.join(flows.__all__))
        self.wire = Wire(host or CONF.host)
        self.engine = Engine(host or CONF.host, compute.send, self.wire.steady)
        self.desk = progress.ProgressDesk(self.engine)
        self.auditor = auditor.Auditor()
        self.healer = healing.Healer()
        self._lock = threading.Lock()
        self._beats: dict[str, ComputeNode | None] = {}

    # -- the daemon --------------------------------------------------------

    def endpoints(self) -> list[Any]:
        return [rpc.Endpoint(self, 'ring', 'cancel', 'report', 'progress', 'host_started', 'hosts_started',
                             'heartbeats', 'hello', 'hellos', 'servers', 'strangers', 'deleted', 'paid', 'present',
                             'power_states', 'echo', 'removed', 'images_cached', 'move_order', 'firewalls',
                             'volumes_copied', 'wanted', 'unknown')]

    def start(self) -> None:
        self.engine.start()
        metrics.gauges(self.figures)

    def stop(self) -> None:
        self.engine.stop()

    def periodics(self) -> list[Periodic]:
        conf = CONF.conductor
        healing_too = [Periodic(self.heal, CONF.heal_instance_info_cache_interval)] if healing.wanted() else []
        return [*healing_too,
                Periodic(self.engine.sweep, conf.sweep_interval, at_once=True),
                Periodic(self.engine.tick, conf.renew_interval), Periodic(self.engine.due, TIMER_INTERVAL),
                Periodic(self.remind, REMIND_INTERVAL), Periodic(self.wire.send, wire.INTERVAL),
                Periodic(self.write_heartbeats, BEAT_INTERVAL),
                Periodic(debts.pay, debts.INTERVAL),
                Periodic(self.collect, COLLECT_INTERVAL), Periodic(self.begin_due, conf.sweep_interval),
                Periodic(self.refuse_hopeless, conf.sweep_interval),
                Periodic(image_caching.sweep, image_caching.INTERVAL),
                Periodic(volume_copies.sweep, volume_copies.INTERVAL),
                Periodic(usage_audits.sweep, usage_audits.INTERVAL),
                Periodic(self.desk.write, progress.INTERVAL), Periodic(self.forget, FORGET_INTERVAL),
                Periodic(self.auditor.watch, auditor.INTERVAL),
                Periodic(self.auditor.watch_volumes, auditor.INTERVAL), Periodic(self.auditor.compare, BEAT_INTERVAL)]

    def figures(self) -> metrics.Gauges:
        """What there is to do, for who measures."""
        with session.read() as conn:
            open_actions, unclaimed = figures.open_actions(conn), figures.unclaimed(conn)
        yield 'open_actions', 'Actions that have not ended, by age. All conductors say the same.', (
            'flow', 'state', 'older_than'), open_actions
        yield 'unclaimed_seconds', 'For how long the oldest action that may run waits for a conductor.', (), {
            (): unclaimed}
        yield 'engine_actions', 'Actions in the hands of this conductor.', ('what',), {
            (what,): float(number) for what, number in self.engine.load().items()}

    def forget(self) -> None:
        """Remove events and answers that are too old to count."""
        if events.kept():
            events.sequence()   # one that goes without a number leaves no gap that a follower could be told of
        for purge in (events.purge, idempotency.purge):
            while session.write(purge) == MOST_FORGOTTEN:
                pass

    def images_cached(self, context: RequestContext, items: list[dict[str, Any]]) -> None:
        image_caching.note(items)

    def volumes_copied(self, context: RequestContext, items: list[dict[str, Any]]) -> None:
        """What hosts say of copies of volumes that no server has; {}: one is wanted."""
        volume_copies.note([item for item in items if item])
        if not all(items):
            volume_copies.sweep()

    def refuse_hopeless(self) -> None:
        """What waits to attach or detach something behind an action that waits for a silent host would wait with it,
        only to hear in the end that the host is silent."""
        with session.read() as conn:
            waiting = actions.queued_at_hosts(conn)
            hosts = {host for _, host in waiting}
            down = servicegroup.down_hosts(conn, hosts) if hosts else {}
            if down and not self.wire.steady():
                down = servicegroup.forced_down(conn, hosts)
        hopeless = [action_id for action_id, host in waiting if host in down]
        if hopeless:
            LOG.warning('Actions %s are not waited for any longer: their hosts are silent', hopeless)
            error = {'message': 'The host of the server does not answer.', 'code': 409}
            self.engine.ring(session.write(actions.refuse_queued, hopeless, error))

    def begin_due(self) -> None:
        """What servers wait for that nobody has to ask for again."""
        self.engine.ring(due.sweep())
        self.engine.ring(due.resume_moves())

    def heal(self) -> None:
        """What the network service has said and nobody has heard."""
        self.engine.ring(self.healer.look())

    def remind(self) -> None:
        """Hosts that are back of what they owe."""
        with session.read() as conn:
            found = _collectable(conn)
        for host, uuids in found.items():
            compute.pay(host, uuids)

    def collect(self) -> None:
        """Volumes and images whose deletion, or making, was broken off."""
        for volume_id in volume.load().collect():
            LOG.info('Volume %s is deleted', volume_id)
        for image_id in image.load().collect():
            LOG.info('Image %s, which a killed daemon left, is deleted', image_id)

    def ring(self, context: RequestContext, items: list[int]) -> None:
        self.engine.ring(items)

    def cancel(self, context: RequestContext, items: list[int]) -> None:
        self.engine.cancel(set(items))

    def report(self, context: RequestContext, items: list[StepReport]) -> None:
        self.engine.report(items)

    def progress(self, context: RequestContext, items: list[StepProgress]) -> None:
        self.desk.take(items)

    def host_started(self, context: RequestContext, host: str) -> None:
        self.engine.host_started(host)

    def hosts_started(self, context: RequestContext, hosts: list[str]) -> None:
        for host in hosts:
            self.engine.host_started(host)

    def echo(self, context: RequestContext, items: list[float]) -> None:
        self.wire.heard()

    # -- computes ----------------------------------------------------------

    def heartbeats(self, context: RequestContext, items: list[dict[str, Any] | str]) -> None:
        """Each is {'host', 'node'}, or the host's name alone. One that is lost with this daemon is no loss."""
        with self._lock:
            for item in items:
                if isinstance(item, str):
                    self._beats.setdefault(item, None)
                else:
                    self._beats[item['host']] = item.get('node') or self._beats.get(item['host'])

    def write_heartbeats(self) -> None:
        """What gathered, in one transaction for the hosts and one for what they have."""
        with self._lock:
            beats, self._beats = self._beats, {}
        if not beats:
            return
        nodes = [node for node in beats.values() if node is not None]
        try:
            with self.wire.writing():
                strangers = session.write(servicegroup.report_computes, sorted(beats))
            for refusal in session.write(compute_nodes.upsert_many, nodes) if nodes else ():
                LOG.error('%s', refusal)
        except (db_exc.DBConnectionError, db_exc.DBDeadlock, db_exc.RetryRequest):
            with self._lock:
                self._beats = {**beats, **self._beats}
            self.wire.cut()      # nobody's silence means anything while what is heard is not written
            raise
        for host in strangers:
            if beats[host] is None:
                compute.ask_inventory(host)

    def hello(self, context: RequestContext, node: ComputeNode) -> dict[str, Any]:
        answer: dict[str, Any] = self.hellos(context, [node])[node.host]
        return answer

    def hellos(self, context: RequestContext, nodes: list[ComputeNode]) -> dict[str, dict[str, Any]]:
        """Raises Conflict when the node of one of them belongs to another host, or the host is Nova's again."""
        hosts = sorted(node.host for node in nodes)
        session.write(_take_down, hosts, nodes)
        with session.read() as conn:
            return residents.of_hosts(conn, hosts)

    def servers(self, context: RequestContext, host: str) -> dict[str, Any]:
        """What lives on `host`, what is under way there, and what it owes."""
        with session.read() as conn:
            return residents.of_hosts(conn, [host])[host]

    def strangers(self, context: RequestContext, host: str, uuids: list[str]) -> dict[str, str | None]:
        with session.read() as conn:
            # What a host has that is Nova's again, Nova knows.
            if services.handed_back(conn, [host]):
                return {}
            return audit.compare(conn, {host: uuids}).strangers.get(host, {})

    def deleted(self, context: RequestContext, uuids: list[str]) -> list[str]:
        with session.read() as conn:
            return audit.deleted(conn, uuids)

    def unknown(self, context: RequestContext, uuids: list[str]) -> list[str]:
        with session.read() as conn:
            return audit.unknown(conn, uuids)

    def move_order(self, context: RequestContext, migration: str) -> str | None:
        with session.read() as conn:
            return live_migrations.ordered(conn, migration)

    def firewalls(self, context: RequestContext, host: str) -> dict[str, Any]:
        if CONF.network_backend != 'local':
            return {}
        with session.read() as conn:
            return security_groups.on_host(conn, host)

    def wanted(self, context: RequestContext, host: str, action_id: int, step: str) -> bool:
        """Whether `host` is to do what it was asked as this `step`: `late.wanted`. Who asks is there, and is noted as
        such: nobody is to end the action for the host's silence while that is done."""
        with session.read() as conn:
            if not late.wanted(conn, host, action_id, step):
                return False
            silent = servicegroup.down_hosts(conn, {host}, silent=True)
        if silent:
            session.write(servicegroup.report_computes, [host])
            with session.read() as conn:
                return late.wanted(conn, host, action_id, step)
        return True

    def paid(self, context: RequestContext, host: str, uuids: list[str]) -> None:
        session.write(returned.settle, host, uuids, 'left from before')

    def removed(self, context: RequestContext, host: str, uuids: list[str]) -> None:
        """A host that came back had domains that are not its own, and removed them."""
        session.write(returned.settle, host, uuids, 'not of this host any more')

    def present(self, context: RequestContext, items: list[dict[str, Any]]) -> None:
        """What lies on hosts: see `Auditor.take`."""
        self.auditor.take(items)

    def power_states(self, context: RequestContext, host: str, states: dict[str, int]) -> None:
        """Domains that changed by themselves; a server that something is being done to is left alone."""
        for uuid in session.write(_note_power, host, states):
            # Each by itself: what somebody begins with one of them at this moment costs the others nothing.
            with contextlib.suppress(exception.ActionInProgress):
                self.engine.ring(session.write(_stop_again, uuid, states[uuid]))


def _collectable(conn: sa.Connection) -> dict[str, list[str]]:
    """{host: uuids} that hosts owe which report again without having been started anew. One that an operator has
    forced down pays, too: only then may it be taken back."""
    found = owed.debts(conn)
    down = servicegroup.down_hosts(conn, set(found), silent=True) if found else {}
    return {host: uuids for host, uuids in found.items() if host not in down}


def _take_down(conn: sa.Connection, hosts: list[str], nodes: list[ComputeNode]) -> None:
    """Hosts that start anew. Raises Conflict."""
    if back := services.handed_back(conn, hosts):
        raise exception.Conflict(f'{", ".join(back)}: the host was handed back to Nova, and what runs there is not '
                                 'ours. Stop and disable minicompute-compute there, or take the host over again with '
                                 'minicompute-manage import nova')
    servicegroup.report_computes(conn, hosts)
    for refusal in compute_nodes.upsert_many(conn, nodes):
        raise refusal
    compute_nodes.reset_failed_builds(conn, hosts)


_DOWN = (PowerState.SHUTDOWN, PowerState.CRASHED)
#: servers whose domain is there. One that is suspended or rescued is what it is whatever its domain does by itself:
#: a resume or an unrescue makes it whole. A pause that nobody asked for may be libvirt's own, and passes.
_ON = (VMState.ACTIVE, VMState.PAUSED)
#: servers that shall not run -> the flow that stops them, and the task state meanwhile
_OFF = {VMState.STOPPED: ('stop', TaskState.POWERING_OFF),
        VMState.SOFT_DELETED: ('soft_delete', TaskState.SOFT_DELETING)}


def _note_power(conn: sa.Connection, host: str, states: dict[str, int]) -> list[str]:
    """-> servers that run although they were stopped."""
    running = []
    for uuid, instance in instances.get_many(conn, states).items():
        state = states[uuid]
        if instance.host != host or instance.task_state is not None or actions.running(conn, uuid):
            continue
        if undecided.of(instance):      # its guest may be elsewhere
            continue
        if instance.vm_state in _ON and state in _DOWN:
            LOG.info('Instance %s has shut itself down', uuid)
            instances.expect(conn, uuid, _ON, [None], {'vm_state': VMState.STOPPED, 'power_state': state})
        elif instance.vm_state in _OFF and state in (PowerState.RUNNING, PowerState.PAUSED):
            running.append(uuid)
        elif instance.power_state != state:
            instances.update(conn, uuid, {'power_state': state})
    return running


def _stop_again(conn: sa.Connection, uuid: str, state: int) -> list[int]:
    """As its owner asked. -> the action, if it is still so. Raises ActionInProgress."""
    instance = instances.get_many(conn, [uuid]).get(uuid)
    if instance is None or instance.vm_state not in _OFF:
        return []
    flow, task_state = _OFF[instance.vm_state]
    if not instances.expect(conn, uuid, [instance.vm_state], [None], {'task_state': task_state, 'power_state': state}):
        return []
    LOG.warning('Instance %s runs although it was stopped: stopped again', uuid)
    return actions.begin(conn, [Action(
        action='stop', flow=flow, step='power_off', instance_uuid=uuid, busy=uuid,
        request_id='req-' + uuidutils.generate_uuid(), project_id=instance.project_id)])
