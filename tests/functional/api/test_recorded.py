"""Requests that a real Nova 34 was asked, and what it answered: code and shape, line by line of recorded.jsonl.

Each line names its microversion. A section is played in its order over an empty database, because later lines ask for
what earlier ones made.
"""
from __future__ import annotations

from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.api import services
from minicompute.db.models import compute_nodes
from tests.functional.api.client import Client
from tests.functional.api.recorded import NODES, Step, shape, steps
from tests.functional.api.test_hosts import add_node, add_service

SECTIONS = ('quotas', 'usage', 'flavors', 'keypairs', 'hosts', 'aggregates', 'groups', 'legacy')
ROLES = {'admin': ('admin', 'admin'), 'alice': ('demo', 'member'), 'bob': ('demo', 'reader'),
         'eve': ('nowhere', 'member')}


def site() -> dict[str, str]:
    """Two computes and a conductor, as beside Nova. -> what stands for ids in the paths"""
    def fill(conn: Any) -> None:
        number_anew(conn, 'aggregates')    # the recorded paths name the first, the second and the third
        add_service(conn, 'ctl', 'nova-conductor')
        for host, node in NODES.items():
            add_service(conn, host)
            add_node(conn, host, uuid=node)
    session.write(fill)
    with session.read() as conn:
        found = {service.host: str(service.uuid) for service in services.every(conn)}
        first = conn.execute(sa.select(compute_nodes.c.id).where(compute_nodes.c.host == 'c1')).scalar_one()
    return {'$conductor': found['ctl'], '$svc2': found['c2'], '$node': NODES['c1'], '$hypervisor': str(first),
            '$group': 'none'}


def number_anew(conn: Any, table: str) -> None:
    if conn.dialect.name == 'mysql':
        conn.exec_driver_sql(f'ALTER TABLE {table} AUTO_INCREMENT = 1')
    if conn.dialect.name == 'postgresql':
        conn.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1, false)")


def ask(app: Any, step: Step, ids: dict[str, str]) -> Any:
    path = step.path
    for name, identity in ids.items():
        path = path.replace(name, identity)
    project, roles = ROLES[step.who]
    return Client(app, step.who, project, roles).call(step.method, path, step.body, step.version)


@pytest.mark.every_case
@pytest.mark.parametrize('section', SECTIONS)
def test_as_nova(app, conf, section):
    conf.set_override('service_down_time', 100000)
    for name in ('server_groups', 'key_pairs'):
        conf.set_override(name, 10000, 'quota')
    ids, wrong = site(), []
    for step in steps(section):
        answer = ask(app, step, ids)
        body = orjson.loads(answer.body) if answer.body else None
        found = answer.status_int, shape(body)
        if found != (step.code, step.shape):
            wrong.append(f'{step.who} {step.method} {step.path} at {step.version} {step.body}: {found}, '
                         f'not {(step.code, step.shape)}')
        if step.method == 'POST' and step.path == '/os-server-groups' and answer.status_int == 200:
            ids['$group'] = body['server_group']['id']
    assert not wrong, '\n'.join(wrong)


def test_every_section_is_played():
    assert all(len(steps(section)) > 10 for section in SECTIONS)
