"""Two that want the same server at once, and what is left of servers that are gone."""
from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.compute.api import delete, ring
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instances
from minicompute.db.models import instance_actions, instance_group_members
from minicompute.objects import Action, Instance
from tests.functional.cloud import Cloud
from tests.functional.counting import counting


def test_a_delete_is_not_lost_to_what_begins_beside_it(
        make_cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On MariaDB and PostgreSQL a start may commit between the delete's look and its insert."""
    cloud = make_cloud(computes=0)
    uuid = cloud.boot()['id']
    cloud.wait(uuid, 'ERROR')
    looked: list[Any] = []
    holder = delete._holder

    def look(conn: sa.Connection, server: str) -> Any:
        looked.append(server)
        return None if len(looked) == 1 else holder(conn, server)
    monkeypatch.setattr(delete, '_holder', look)
    session.write(lambda conn: actions.begin(conn, [Action(
        action='start', flow='start', step='power_on', instance_uuid=uuid, busy=uuid, request_id='req-1')]))
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    with session.read() as conn:
        found = conn.execute(sa.select(instance_actions.c.state).where(
            instance_actions.c.instance_uuid == uuid, instance_actions.c.action == 'delete')).all()
    assert len(found) == 1
    cloud.wait_gone(uuid)


def test_a_server_that_is_gone_counts_in_no_group(cloud: Cloud) -> None:
    group = cloud.api('POST', '/os-server-groups', {'server_group': {
        'name': 'g', 'policy': 'soft-anti-affinity'}})['server_group']['id']
    for _ in range(12):    # more than [quota] server_group_members
        uuid = cloud.boot(hints={'group': group})['id']
        cloud.api('DELETE', f'/servers/{uuid}')
        cloud.wait_gone(uuid)
    with session.read() as conn:
        assert not conn.execute(sa.select(instance_group_members)).all()


def test_a_stuck_action_gives_way_to_the_delete_that_waits(make_cloud: Any) -> None:
    cloud = make_cloud(computes=0)
    uuid = cloud.boot()['id']
    cloud.wait(uuid, 'ERROR')
    session.write(lambda conn: actions.begin(conn, [Action(
        action='start', flow='start', step='power_on', instance_uuid=uuid, busy=uuid, request_id='req-1')]))
    session.write(_put_off, uuid)
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    session.write(_get_stuck, uuid)
    cloud.api('DELETE', f'/servers/{uuid}', expect=204)
    with session.read() as conn:
        found = conn.execute(sa.select(instance_actions.c.id).where(
            instance_actions.c.instance_uuid == uuid, instance_actions.c.action == 'delete')).all()
    assert len(found) == 1
    cloud.wait_gone(uuid)


def test_an_orphan_of_a_busy_server_does_not_stop_the_sweep(database: str) -> None:
    def orphan(conn: sa.Connection) -> list[int]:
        first, second = (Action(action='delete', flow='delete', step='destroy', instance_uuid='u', busy=busy,
                                request_id=f'req-{busy}') for busy in ('u', 'u/queued'))
        actions.begin(conn, [first])
        actions.put_aside(conn, first.id or 0, '')
        second.state, second.after = 'queued', first.id
        third = Action(action='delete', flow='delete', step='destroy', instance_uuid='u', busy='u', request_id='req-3')
        actions.begin(conn, [second, third])
        return actions.release_orphans(conn)
    assert session.write(orphan) == []


def _put_off(conn: sa.Connection, uuid: str) -> None:
    """No conductor of this test takes it."""
    conn.execute(instance_actions.update().where(instance_actions.c.busy == uuid).values(
        owner='elsewhere', lease_until=session.now(conn) + datetime.timedelta(hours=1)))


def _get_stuck(conn: sa.Connection, uuid: str) -> None:
    conn.execute(instance_actions.update().where(instance_actions.c.busy == uuid).values(state='stuck'))


def test_deletes_of_one_moment(make_cloud: Any) -> None:
    """Those that nothing holds go in one transaction; one that is held, and one asked for twice, as if alone."""
    cloud = make_cloud(computes=0)
    uuids = [cloud.boot(f'd{number}')['id'] for number in range(5)]
    for uuid in uuids:
        cloud.wait(uuid, 'ERROR')
    free = delete._commit([_asked(uuid) for uuid in uuids[:2]])
    assert free == [(None, False), (None, False)]
    session.write(lambda conn: actions.begin(conn, [Action(
        action='start', flow='start', step='power_on', instance_uuid=uuids[2], busy=uuids[2], request_id='req-1')]))
    asked = [_asked(uuid) for uuid in (uuids[2], uuids[3], uuids[4], uuids[4])]
    held, *others, again = delete._commit(asked)
    assert held[0].flow == 'start' and others == [(None, False)] * 2
    assert again[0].flow == 'delete' and asked[3][1].id is None
    for uuid in uuids:
        cloud.wait_gone(uuid)


def test_deletes_of_one_moment_cost_what_one_costs(make_cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = make_cloud(computes=0)
    uuids = [cloud.boot(f'd{number}')['id'] for number in range(6)]
    for uuid in uuids:
        cloud.wait(uuid, 'ERROR')
    costs = []
    for some in (uuids[:2], uuids[2:]):
        asked = [_asked(uuid) for uuid in some]
        with counting(monkeypatch) as counts:
            delete._commit(asked)
        costs.append(counts.statements['other'])    # called by the test, so by none of the roles
    assert costs[0] == costs[1] <= 5, counts.seen


def _asked(uuid: str) -> tuple[Instance, Action]:
    with session.read() as conn:
        instance = instances.get(conn, uuid)
    context = RequestContext(user_id='admin', project_id='demo', is_admin=True)
    return instance, ring.new_action(context, instance, 'delete', 'delete', 'destroy')
