"""All roles in one process: real daemons' code, in-process transport, one database, fake driver."""
from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import oslo_messaging as messaging
from webob import Request

from minicompute import rpc, servicegroup
from minicompute.compute.manager.manager import ComputeManager
from minicompute.conductor.manager import ConductorManager
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.scheduler.host_table import HostTable
from minicompute.scheduler.manager import SchedulerManager
from minicompute.service import Service
from minicompute.virt.fake import FakeDriver
from minicompute.wsgi import paste

#: what a test waits at most for something that takes milliseconds
PATIENCE = 90.0


def until(look: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """-> what `look` answers, once that is true"""
    end = time.monotonic() + patience
    while True:
        if found := look():
            return found
        assert time.monotonic() < end, f'waited {patience} s for {what}'
        time.sleep(0.05)


class Cloud:
    """`api(...)` speaks REST to it; the daemons are in `services`, by name."""

    def __init__(self, computes: int = 2, conductors: int = 1, schedulers: int = 1, *,
                 sweep_interval: float = 0.5) -> None:
        messaging.get_rpc_transport(CONF, url='fake://')   # registers oslo.messaging's options
        CONF.set_override('transport_url', 'fake://')
        CONF.set_override('compute_driver', 'fake.FakeDriver')
        CONF.set_override('auth_strategy', 'noauth2', 'api')
        CONF.set_override('response_validation', 'error', 'api')
        CONF.set_override('sweep_interval', sweep_interval, 'conductor')
        CONF.set_override('renew_interval', 0.5, 'conductor')
        rpc.cleanup()
        rpc.outbox = rpc.Outbox()
        FakeDriver.faults.clear()
        self.services: dict[str, Service] = {}
        for number in range(conductors):
            self.start_conductor(f'conductor{number + 1}')
        for number in range(schedulers):
            name = f'scheduler{number + 1}'
            self._start(name, Service(servicegroup.SCHEDULER, rpc.SCHEDULER, SchedulerManager(), host=name))
        for number in range(computes):
            self.start_compute(f'compute{number + 1}')
        self.app = paste.load()

    def start_conductor(self, name: str) -> None:
        self._start(name, Service(servicegroup.CONDUCTOR, rpc.CONDUCTOR, ConductorManager(name), host=name))

    def start_compute(self, name: str) -> None:
        manager = ComputeManager(name, FakeDriver(name))
        self._start(name, Service(servicegroup.COMPUTE, rpc.COMPUTE, manager, database=False, host=name))

    def _start(self, name: str, service: Service) -> None:
        service.start()
        self.services[name] = service

    def stop(self, name: str | None = None) -> None:
        with contextlib.ExitStack() as rest:    # one that fails to stop must not leave the others to the next test
            if name is None:
                rest.callback(FakeDriver.faults.clear)
                rest.callback(rpc.cleanup)
            for each in [name] if name else reversed(list(self.services)):
                rest.callback(self.services.pop(each).stop)

    # -- REST --------------------------------------------------------------

    def api(self, method: str, path: str, body: Any = None, *, version: str = '2.104', expect: int | None = None,
            user: str = 'admin', project: str = 'demo', **headers: str) -> Any:
        """-> the answer's document (None when empty). Fails when the status is not `expect` (default: any 2xx)."""
        answer = self.request(method, path, body, version=version, user=user, project=project, **headers)
        good = answer.status_int == expect if expect else answer.status_int < 300
        assert good, f'{method} {path}: {answer.status} {answer.text}'
        return answer.json if answer.body else None

    def request(self, method: str, path: str, body: Any = None, *, version: str = '2.104', user: str = 'admin',
                project: str = 'demo', **headers: str) -> Any:
        request = Request.blank('/v2.1' + path, method=method)
        request.headers.update({'OpenStack-API-Version': f'compute {version}', 'X-Auth-Token': f'{user}:{project}',
                                **headers})
        if body is not None:
            request.body, request.content_type = json.dumps(body).encode(), 'application/json'
        return request.get_response(self.app)

    # -- shortcuts ---------------------------------------------------------

    def flavor(self, **changes: Any) -> str:
        """-> id of a new flavor"""
        body = {'name': 'f-' + uuid.uuid4().hex[:8], 'ram': 64, 'vcpus': 1, 'disk': 0, **changes}
        return str(self.api('POST', '/flavors', {'flavor': body})['flavor']['id'])

    def set_service(self, host: str, status: str) -> None:
        """A compute, 'enabled' or 'disabled', and every scheduler knows: they read such things once a second."""
        found = self.api('GET', f'/os-services?host={host}&binary=nova-compute')['services'][0]
        self.api('PUT', f'/os-services/{found["id"]}', {'status': status})
        self.until(lambda: all((host in table._disabled) == (status == 'disabled') for table in self._tables()),
                   f'the schedulers to see {host} {status}')

    def force_down(self, host: str, down: bool = True) -> None:
        """An operator says that a compute is dead, or is not after all, and every scheduler knows."""
        found = self.api('GET', f'/os-services?host={host}&binary=nova-compute')['services'][0]
        self.api('PUT', f'/os-services/{found["id"]}', {'forced_down': down})
        self.until(lambda: all((host in table._down) == down for table in self._tables()),
                   f'the schedulers to see {host} down: {down}')

    def _tables(self) -> list[HostTable]:
        return [service.manager._placer.table for service in self.services.values()    # type: ignore[attr-defined]
                if isinstance(service.manager, SchedulerManager)]

    def boot(self, name: str = 'vm', *, expect: int = 202, version: str = '2.104', user: str = 'admin',
             project: str = 'demo', hints: dict[str, Any] | None = None, **changes: Any) -> Any:
        """-> the server of the answer"""
        if 'flavorRef' not in changes:
            changes['flavorRef'] = self.flavor(disk=1)
        body: dict[str, Any] = {'server': {'name': name, 'imageRef': '', 'networks': 'none', **changes}}
        if not body['server']['imageRef'] and 'block_device_mapping_v2' not in body['server']:
            body['server']['imageRef'] = self.image()
        if hints:
            body['os:scheduler_hints'] = hints
        answer = self.api('POST', '/servers', body, version=version, expect=expect, user=user, project=project)
        return answer['server'] if expect == 202 and 'server' in answer else answer

    def image(self, name: str = 'tiny', **facts: Any) -> str:
        """-> id of a small raw image that is there for everybody"""
        import io

        from minicompute.context import admin_context
        from minicompute.image import base as image_base
        from minicompute.objects import ImageMeta

        backend = image_base.load()
        found = backend.list(admin_context(), filters={'name': name})
        if found:
            return str(found[0].id)
        meta = backend.create(admin_context(), ImageMeta(
            id=str(uuid.uuid4()), name=name, status='queued', disk_format='raw', container_format='bare',
            visibility='public', owner='admin', **facts))
        return str(backend.upload(admin_context(), str(meta.id), io.BytesIO(b'\0' * 65536)).id)

    def show(self, uuid: str) -> Any:
        return self.api('GET', f'/servers/{uuid}')['server']

    def wait(self, uuid: str, status: str = 'ACTIVE', *, task: str | None = None) -> Any:
        """Until the server has `status` and no task. -> the server"""
        def look() -> Any:
            server = self.show(uuid)
            assert status == 'ERROR' or server['status'] != 'ERROR', server.get('fault')
            return server if server['status'] == status and server['OS-EXT-STS:task_state'] == task else None
        return self.until(look, f'{uuid} to be {status}')

    def wait_gone(self, uuid: str) -> None:
        self.until(lambda: self.request('GET', f'/servers/{uuid}').status_int == 404, f'{uuid} to be gone')

    def until(self, look: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        return until(look, what, patience)

    def domains(self) -> dict[str, str]:
        """{uuid: host} of all domains on all fake hosts"""
        return {domain.uuid: name for name, service in self.services.items() if name.startswith('compute')
                for domain in service.manager.driver.domains()}   # type: ignore[attr-defined]

    def leaks(self) -> dict[str, Any]:
        """What is held for servers that are not there: must be empty once all is quiet."""
        import sqlalchemy as sa

        from minicompute.db.models import allocations, block_device_mappings, instance_actions, ports
        from minicompute.db.models import instances as table
        with session.read() as conn:
            live = set(conn.execute(sa.select(table.c.uuid).where(table.c.deleted == 0)).scalars())
            placed = {uuid for uuid, server in instances.get_many(conn, live).items() if server.host}
            held = {
                'claims': set(conn.execute(sa.select(allocations.c.instance_uuid)).scalars()) - placed,
                'unclaimed': placed - set(conn.execute(sa.select(allocations.c.instance_uuid)).scalars()),
                'ports': set(conn.execute(sa.select(ports.c.instance_uuid).where(
                    ports.c.instance_uuid.is_not(None))).scalars()) - live,
                'bdms': set(conn.execute(sa.select(block_device_mappings.c.instance_uuid)).scalars()) - live,
                'domains': set(self.domains()) - placed,
                'locks': set(conn.execute(sa.select(instance_actions.c.busy).where(
                    instance_actions.c.busy.is_not(None))).scalars())}
        return {name: found for name, found in held.items() if found}
