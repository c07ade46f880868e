"""What a conductor tells who measures, and what it forgets."""
from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.db import session
from minicompute.db.api import figures
from minicompute.db.models import events, idempotency_keys, instance_actions
from minicompute.objects import ActionState
from tests.functional.cloud import Cloud


def put(*ages: tuple[str, float]) -> None:
    """Actions of a state that began so many seconds ago, and whose claims ended then."""
    def write(conn: sa.Connection) -> None:
        now = session.now(conn)
        conn.execute(instance_actions.insert(), [
            {'action': 'create', 'flow': 'nobodys', 'instance_uuid': str(number), 'request_id': 'r', 'state': state,
             'start_time': now - datetime.timedelta(seconds=age), 'lease_until': now - datetime.timedelta(seconds=age)}
            for number, (state, age) in enumerate(ages)])
    session.write(write)


@pytest.mark.usefixtures('database')
def test_open_actions_are_counted_by_age() -> None:
    put((ActionState.RUNNING, 1), (ActionState.RUNNING, 70), (ActionState.RUNNING, 90), (ActionState.STUCK, 4000),
        (ActionState.DONE, 5))
    with session.read() as conn:
        assert figures.open_actions(conn) == {('nobodys', 'running', '0'): 1, ('nobodys', 'running', '60'): 2,
                                              ('nobodys', 'stuck', '3600'): 1}
        assert 90 <= figures.unclaimed(conn) < 600


@pytest.mark.usefixtures('database')
def test_nothing_waits() -> None:
    with session.read() as conn:
        assert figures.open_actions(conn) == {} and figures.unclaimed(conn) == 0.0


def test_a_conductor_tells_and_forgets(cloud: Cloud) -> None:
    manager: Any = cloud.services['conductor1'].manager
    server = cloud.request('POST', '/servers', {'server': {
        'name': 'a', 'imageRef': cloud.image(), 'flavorRef': cloud.flavor(disk=1), 'networks': 'none'}},
        **{'Idempotency-Key': 'k'}).json['server']['id']
    cloud.wait(server)
    put((ActionState.STUCK, 700))
    told = {name: values for name, _, _, values in manager.figures()}
    assert told['open_actions'] == {('nobodys', 'stuck', '600'): 1} and told['unclaimed_seconds'] == {(): 0.0}
    assert set(told['engine_actions']) == {('held',), ('parked',), ('waiting',), ('ready',)}
    manager.forget()
    assert rows(events) and rows(idempotency_keys), 'not what is new'
    session.write(lambda conn: [conn.execute(table.update().values(
        created_at=session.now(conn) - datetime.timedelta(hours=25)))
        for table in (events, idempotency_keys)])
    manager.forget()
    assert not rows(events) and not rows(idempotency_keys)


def rows(table: sa.Table) -> int:
    with session.read() as conn:
        return int(conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
