"""For the tests of servers that run without the other roles: what a create needs, and what it rang."""
from __future__ import annotations

import dataclasses
import io
import uuid
from typing import Any

import pytest

from minicompute import rpc
from minicompute.context import admin_context
from minicompute.db import session
from minicompute.db.api import instances
from minicompute.db.models import instance_actions, services
from minicompute.image import base as image_base
from minicompute.objects import VIF, FixedIP, ImageMeta, Instance
from tests.functional.api.client import Client
from tests.functional.api.conftest import api, app, count_queries, member, reader

__all__ = ['api', 'app', 'count_queries', 'member', 'reader', 'image', 'override', 'rung', 'world']


@dataclasses.dataclass
class World:
    """A flavor `1` (64 MiB, 1 core, 1 GiB) and an active image; servers made here run on no host."""

    member: Client
    image: str

    def body(self, **changes: Any) -> dict[str, Any]:
        server = {'name': 'vm', 'imageRef': self.image, 'flavorRef': '1', 'networks': 'none', **changes}
        return {'server': {name: value for name, value in server.items() if value is not None}}

    def boot(self, client: Client | None = None, version: str = '2.104', **changes: Any) -> str:
        answer = (client or self.member).post('/servers', self.body(**changes), code=202, version=version)
        return str(answer['server']['id'])

    def refuse(self, code: int = 400, version: str = '2.104', hints: dict[str, Any] | None = None,
               client: Client | None = None, **changes: Any) -> str:
        """-> the message of the fault"""
        body = self.body(**changes)
        if hints is not None:
            body['os:scheduler_hints'] = hints
        answer = (client or self.member).post('/servers', body, code=code, version=version)
        (_, fault), = answer.items()
        assert actions_of() == [], 'a refused create must write nothing'
        return str(fault['message'])

    def built(self, host: str = 'c1', address: str | None = None, **changes: Any) -> str:
        """A server as it is once its build has ended. -> its id"""
        identity = self.boot()
        return place(identity, host=host, address=address, **changes)


def place(identity: str, host: str | None = 'c1', address: str | None = None, **changes: Any) -> str:
    def write(conn: Any) -> None:
        cards = [VIF(id=str(uuid.uuid4()), network_id=str(uuid.uuid4()), network_name='private',
                     mac_address='fa:16:3e:00:00:01', fixed_ips=[FixedIP(address=address, subnet_id='s')])]
        conn.execute(instance_actions.update().where(instance_actions.c.instance_uuid == identity).values(
            busy=None, state='done'))
        instances.update(conn, identity, {
            'host': host, 'node': host, 'vm_state': 'active', 'task_state': None, 'power_state': 1,
            'network_info': cards if address else [], 'launched_at': session.utcnow(), **changes})
    session.write(write)
    return identity


def compute_service(host: str = 'c1', **changes: Any) -> None:
    now = session.utcnow()
    session.write(lambda conn: conn.execute(services.insert().values({
        'uuid': str(uuid.uuid4()), 'host': host, 'binary': 'nova-compute', 'topic': 'compute', 'version': 1,
        'disabled': False, 'forced_down': False, 'report_count': 1, 'last_seen_up': now, 'created_at': now,
        **changes})))


def instance(identity: str) -> Instance:
    with session.read() as conn:
        return instances.get(conn, identity)


def actions_of(identity: str | None = None) -> list[Any]:
    query = instance_actions.select().order_by(instance_actions.c.id)
    if identity is not None:
        query = query.where(instance_actions.c.instance_uuid == identity)
    with session.read() as conn:
        return list(conn.execute(query))


@pytest.fixture
def rung(monkeypatch):
    """What was put into the outbox: (topic, method, item, server)."""
    found: list[tuple[str, str, Any, str | None]] = []
    monkeypatch.setattr(rpc.outbox, 'put', lambda topic, method, item, server=None: found.append(
        (topic, method, item, server)))
    return found


@pytest.fixture
def override(conf):
    """override('quota', instances=3), until the test ends."""
    done = []

    def change(group: str, **values: Any) -> None:
        for name, value in values.items():
            conf.set_override(name, value, group)
            done.append((name, group))
    yield change
    for name, group in done:
        conf.clear_override(name, group)


def make_image(**changes: Any) -> str:
    data = changes.pop('data', b'\0' * 65536)
    backend, context = image_base.load(), admin_context()
    meta = backend.create(context, ImageMeta(**{
        'id': str(uuid.uuid4()), 'name': 'tiny', 'disk_format': 'raw', 'container_format': 'bare',
        'visibility': 'public', 'owner': 'admin', **changes}))
    if data is not None:
        backend.upload(context, str(meta.id), io.BytesIO(data))
    return str(meta.id)


@pytest.fixture
def image(app):
    return make_image()


@pytest.fixture
def world(api, member, image, rung):
    api.post('/flavors', {'flavor': {'name': 'tiny', 'id': '1', 'ram': 64, 'vcpus': 1, 'disk': 1}})
    return World(member, image)
