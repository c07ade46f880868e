"""The flow engine with real steps, real scheduler, real computes on the fake driver, and no broker: what the
generic flow tests break on purpose."""
from __future__ import annotations

import threading
import time
import uuid as uuidlib
from typing import Any

import sqlalchemy as sa

from minicompute.compute.manager.manager import ComputeManager
from minicompute.conductor import flows  # noqa: F401  (registers them)
from minicompute.conductor import rpcapi as conductor_rpcapi
from minicompute.conductor.engine import Engine
from minicompute.conductor.flow import Flow, Task
from minicompute.conductor.manager import ConductorManager
from minicompute.conf import CONF
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.db.models import allocations, instance_actions, migrations, ports
from minicompute.objects import Action, Flavor, Instance, RequestSpec, StepReport, StepRequest
from minicompute.scheduler.manager import SchedulerManager
from minicompute.scheduler.rpcapi import SchedulerAPI
from minicompute.virt.fake import FakeDriver

HOSTS = ('host1', 'host2')
PATIENCE = 60.0


class Killed(BaseException):
    """What kill -9 looks like from inside."""


class MortalEngine(Engine):
    """Dies after `commits` commits (None: never): its threads stop, what it holds is forgotten."""

    def __init__(self, owner: str, send: Any, commits: int | None = None) -> None:
        super().__init__(owner, send)
        self._left, self.dead, self._count = commits, threading.Event(), threading.Lock()

    def _commit(self, tasks: Any) -> list[Task]:
        with self._count:
            if self.dead.is_set() or self._left == 0:
                self.dead.set()
                self._stopped.set()
                return []
            if self._left is not None and tasks:
                self._left -= 1
        return super()._commit(tasks)


class Bench:
    def __init__(self, monkeypatch: Any) -> None:
        CONF.set_override('stuck_after', 4, 'conductor')
        CONF.set_override('service_down_time', 3600)     # nobody beats here, and a slow test is no lost host
        CONF.set_override('workers', 3, 'conductor')     # dozens of engines a test, with a handful of actions each
        FakeDriver.faults.clear()
        self.computes = {host: ComputeManager(host, FakeDriver(host)) for host in HOSTS}
        self.engines: list[MortalEngine] = []
        self.scheduler = SchedulerManager()
        monkeypatch.setattr(conductor_rpcapi, 'report', self.deliver)
        for manager in self.computes.values():
            manager.guard._reply = self.deliver
        monkeypatch.setattr(SchedulerAPI, 'select_destinations',
                            lambda _, ctx, requests, timeout=0: self.scheduler.select_destinations(ctx, requests))
        self.conductor = ConductorManager('reception')
        monkeypatch.setattr(conductor_rpcapi.ConductorAPI, 'wanted',
                            lambda _, ctx, **asked: self.conductor.wanted(ctx, **asked))
        for manager in self.computes.values():
            self.conductor.hello(admin_context(), manager.housekeeping.inventory())
        self.scheduler.start()

    def close(self) -> None:
        for engine in self.engines:
            engine.stop()
        self.scheduler.stop()
        FakeDriver.faults.clear()
        for manager in self.computes.values():
            manager.stop()

    # -- wires -------------------------------------------------------------

    def send(self, host: str, request: StepRequest) -> None:
        self.computes[host].guard.admit(request)

    def deliver(self, report: StepReport, reply_to: str | None) -> None:
        for engine in self.engines:
            if not engine.dead.is_set() and reply_to in (None, engine.owner):
                engine.report([report])
                return

    def engine(self, owner: str = 'conductor1', commits: int | None = None) -> MortalEngine:
        made = MortalEngine(owner, self.send, commits)
        made.start()
        self.engines.append(made)
        return made

    def rest(self) -> None:
        """Nobody works any more: also what comes behind a commit is over."""
        for engine in self.engines:
            engine.stop()

    def expire_leases(self) -> None:
        """As if ten seconds had passed."""
        def write(conn: sa.Connection) -> None:
            conn.execute(instance_actions.update().values(lease_until=None, owner=None))
        session.write(write)

    # -- servers -----------------------------------------------------------

    def new_server(self, count: int = 1, networks: list[dict[str, Any]] | None = None) -> list[int]:
        """Accepted requests, as the API writes them. -> ids of the build actions, the leader's first"""
        flavor = Flavor('1', 'small', 64, 1, 1)
        spec = RequestSpec(project_id='p', user_id='u', flavor=flavor, num_instances=count,
                           requested_networks=networks or [{'mode': 'none'}])
        servers = [Instance(uuid=str(uuidlib.uuid4()), project_id='p', user_id='u', flavor=flavor,
                            task_state='scheduling') for _ in range(count)]
        request_id = 'req-' + str(uuidlib.uuid4())

        def write(conn: sa.Connection) -> list[int]:
            instances.create(conn, [(servers, spec)])
            made = [Action(action='create', flow='build', step='schedule', instance_uuid=s.uuid,
                           request_id=request_id, busy=s.uuid, data={}) for s in servers]
            made[0].data['group'] = [s.uuid for s in servers]
            ids = actions.begin(conn, made[:1])
            for follower in made[1:]:
                follower.state, follower.after = 'queued', ids[0]
            return ids + (actions.begin(conn, made[1:]) if made[1:] else [])
        return session.write(write)

    def new_action(self, uuid: str, name: str, **data: Any) -> int:
        flow = Flow.registry[name]

        def write(conn: sa.Connection) -> int:
            return actions.begin(conn, [Action(action=name, flow=name, step=flow.first, instance_uuid=uuid,
                                               request_id='req-' + str(uuidlib.uuid4()), busy=uuid, data=data)])[0]
        return session.write(write)

    def built(self) -> str:
        """-> uuid of a server that is there"""
        engine = self.engine('builder')
        ids = self.new_server()
        engine.ring(ids)
        self.finish(ids)
        engine.stop()
        engine.dead.set()
        return self.action(ids[0]).instance_uuid

    def action(self, action_id: int) -> Action:
        with session.read() as conn:
            return actions.load(conn, [action_id])[0]

    def server(self, uuid: str) -> Instance:
        with session.read() as conn:
            return instances.get_many(conn, [uuid], deleted=True)[uuid]

    def finish(self, ids: list[int], *, states: tuple[str, ...] = ('done', 'failed', 'stuck')) -> list[str]:
        """Until all have ended, with timers and sweeps as a daemon has them. -> their states"""
        end = time.monotonic() + PATIENCE
        while True:
            alive = [engine for engine in self.engines if not engine.dead.is_set()]
            for engine in alive:
                engine.due()
            found = [self.action(i).state for i in ids]
            if all(state in states for state in found):
                return found
            assert time.monotonic() < end, [(self.action(i), e.load()) for i in ids for e in alive]
            time.sleep(0.01)

    def domains(self) -> dict[str, str]:
        return dict(self.homes())

    def homes(self) -> list[tuple[str, str]]:
        """(server, host) of each domain"""
        return [(d.uuid, host) for host, m in self.computes.items() for d in m.driver.domains()]

    def check(self) -> None:
        """Nothing is held for a server that has no place, and each that has one holds what it needs."""
        with session.read() as conn:
            live = {u: s for u, s in instances.get_many(conn, self._uuids(conn)).items()}
            claims = list(conn.execute(sa.select(allocations.c.instance_uuid)).scalars())
            cards = set(conn.execute(sa.select(ports.c.instance_uuid)).scalars())
            locks = set(conn.execute(sa.select(instance_actions.c.busy)).scalars()) - {None}
            moves = {row.instance_uuid: row.source_compute for row in conn.execute(
                sa.select(migrations).where(migrations.c.status == 'finished'))}
        placed = {u: s.host for u, s in live.items() if s.host}
        # What may go back keeps its disks, and its claim, where it came from.
        back = {u: moves[u] for u, s in live.items() if s.vm_state == 'resized'}
        assert sorted(claims) == sorted([*placed, *back]), (claims, placed, back)
        assert sorted(self.homes()) == sorted([*placed.items(), *back.items()])
        running = [uuid for uuid, host in self.homes() if self.computes[host].driver.power_state(uuid) == 1]
        assert len(running) == len(set(running)), running
        assert cards <= set(live)
        assert not locks
        for server in live.values():
            assert server.task_state is None, server
            # A server that could not be evacuated has a host still, and is in ERROR.
            assert server.host or server.vm_state in ('error', 'shelved_offloaded'), server
            assert server.host is None or server.vm_state != 'shelved_offloaded', server
            self._check_devices(server)

    def _check_devices(self, server: Instance) -> None:
        """What was plugged into its domain is what the record says, and nothing is on its way."""
        driver: Any = self.computes[server.host].driver if server.host else None
        plugged = driver.plugged(server.uuid) if driver else set()
        mapped = [device for device in server.block_devices if device.volume_id]
        assert {device.connection_info.get('state') for device in mapped} <= {'attached'}, mapped
        assert {name for name in plugged if name.startswith('volume.')} == {f'volume.{d.volume_id}' for d in mapped}
        assert {name for name in plugged if name.startswith('vif.')} <= {f'vif.{c.id}' for c in server.network_info}
        with session.read() as conn:
            held = set(conn.scalars(sa.select(ports.c.id).where(ports.c.instance_uuid == server.uuid)))
        assert held == {card.id for card in server.network_info}

    def _uuids(self, conn: sa.Connection) -> list[str]:
        from minicompute.db.models import instances as table
        return list(conn.execute(sa.select(table.c.uuid).where(table.c.deleted == 0)).scalars())
