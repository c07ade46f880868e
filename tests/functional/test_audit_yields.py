"""Whatever begins between the auditor's look and its mending wins, and what it compares it takes in parts."""
from __future__ import annotations

import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from minicompute.conductor import auditor
from minicompute.conductor.auditor import Auditor
from minicompute.db import session
from minicompute.db.api import audit, audit_hosts, block_devices
from minicompute.db.api.audit_hosts import Told
from minicompute.db.models import allocations, block_device_mappings, instance_actions, instances, migrations
from minicompute.objects import ActionState
from tests.functional import test_audit as seeds
from tests.functional.cloud import Cloud
from tests.functional.counting import told
from tests.functional.test_audit import LONG_AGO, execute, healthy, quiet_cloud, rows

__all__ = ['quiet_cloud']


def found_by(find: Any) -> list[audit.Finding]:
    with session.read() as conn:
        made: list[audit.Finding] = find(conn)
    return made


def begins(uuid: str, state: str = 'running') -> None:
    """An action, as the API begins it; one that has `ended` left the server changed."""
    seeds.action(uuid, state=state, busy=uuid if state in ActionState.LIVE else None,
                 lease_until=datetime.datetime(2999, 1, 1), owner='somebody')
    execute(instances.update().where(instances.c.uuid == uuid).values(updated_at=session.utcnow()))


CHECKS = [(seeds.task_of_nothing, audit.tasks_without_action, audit.end_tasks),
          (seeds.no_claim, audit.servers_without_claim, audit.claim_for),
          (seeds.claim_without_place, audit.claims_without_place, audit.release_unplaced),
          (seeds.attachment_of_nothing, audit.attachments_of_nothing, audit.attach_for_good),
          (seeds.wrong_size, lambda conn: audit.Sizes().find(conn), audit.resize)]


@pytest.mark.every_case
@pytest.mark.parametrize('state', ['running', 'done'])
@pytest.mark.parametrize(('seed', 'find', 'mend'), CHECKS, ids=[seed.__name__ for seed, _, _ in CHECKS])
def test_what_began_meanwhile_wins(quiet_cloud: Cloud, seed: Any, find: Any, mend: Any, state: str) -> None:
    uuid, node = healthy(quiet_cloud)
    other, _ = healthy(quiet_cloud)
    for each in (uuid, other):
        seed(each, node)
    found = found_by(find)
    assert sorted(finding.subject for finding in found) == sorted([uuid, other])
    begins(uuid, state)
    before = state_of(uuid)
    assert [finding.subject for finding in session.write(mend, found)] == [other]
    assert state_of(uuid) == before


@pytest.mark.every_case
@pytest.mark.parametrize('changed', ['action', 'status'])
def test_a_move_that_goes_on_is_not_ended(quiet_cloud: Cloud, changed: str) -> None:
    uuid, node = healthy(quiet_cloud)
    other, _ = healthy(quiet_cloud)
    for each in (uuid, other):
        seeds.move_of_nothing(each, node)
    found = found_by(audit.moves_without_action)
    assert sorted(finding.subject for finding in found) == sorted([uuid, other])
    if changed == 'action':
        begins(uuid)
    else:
        execute(migrations.update().where(migrations.c.instance_uuid == uuid).values(status='finished'))
    before = rows(sa.select(migrations).where(migrations.c.instance_uuid == uuid))
    assert [finding.subject for finding in session.write(audit.end_moves, found)] == [other]
    assert rows(sa.select(migrations).where(migrations.c.instance_uuid == uuid)) == before


@pytest.mark.every_case
@pytest.mark.parametrize('changed', ['action', 'status'])
def test_the_claim_of_a_move_that_goes_on(quiet_cloud: Cloud, changed: str) -> None:
    uuid, node = healthy(quiet_cloud)
    other, _ = healthy(quiet_cloud)
    for each in (uuid, other):
        seeds.claim_of_an_ended_move(each, node)
    found = found_by(audit.claims_of_ended_moves)
    if changed == 'action':
        begins(uuid)
    else:
        execute(migrations.update().where(migrations.c.instance_uuid == uuid).values(status='finished'))
    before = state_of(uuid)
    assert [finding.subject for finding in session.write(audit.release_ended, found)] == [other]
    assert state_of(uuid) == before


def state_of(uuid: str) -> list[Any]:
    return [rows(sa.select(table).where(column == uuid)) for table, column in (
        (instances, instances.c.uuid), (allocations, allocations.c.instance_uuid),
        (block_device_mappings, block_device_mappings.c.instance_uuid))]


def test_a_claim_that_came_back_meanwhile(quiet_cloud: Cloud) -> None:
    uuid, node = healthy(quiet_cloud)
    seeds.no_claim(uuid, node)
    found = found_by(audit.servers_without_claim)
    seeds.claim(uuid, uuid, node)
    assert session.write(audit.claim_for, found) == []


def test_two_that_let_go_of_one_server(quiet_cloud: Cloud) -> None:
    """What holds the server by now keeps it, and costs the others nothing."""
    uuid, node = healthy(quiet_cloud)
    other, _ = healthy(quiet_cloud)
    for each in (uuid, other):
        seeds.queued_behind_nothing(each, node)
    found = found_by(audit.waits_for_nothing)
    begins(uuid)
    assert [finding.subject for finding in session.write(audit.let_go, found)] == [other]
    assert {row.state for row in rows(sa.select(instance_actions).where(
        instance_actions.c.instance_uuid == uuid, instance_actions.c.after.is_not(None)))} == {'queued'}


def test_a_swap_that_was_given_up_leaves_its_volumes_held(quiet_cloud: Cloud) -> None:
    uuid, _ = healthy(quiet_cloud)
    seeds.attachment_of_nothing(uuid, 0)
    execute(block_device_mappings.update().where(block_device_mappings.c.volume_id.is_not(None)).values(
        connection_info={'state': 'swapping'}))
    assert [finding.kind for finding in auditor.look(audit.checks(), mend=True)] == ['attachment without an action']
    with session.read() as conn:
        (row,) = conn.execute(sa.select(block_device_mappings.c.uuid).where(
            block_device_mappings.c.volume_id.is_not(None)))
        device = block_devices.get(conn, row.uuid)
    assert device is not None and device.connection_info['state'] == 'attached'


# -- what hosts have -------------------------------------------------------------------

def test_hosts_are_compared_in_parts(quiet_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, 'PART', 3)
    looked: list[list[str]] = []
    monkeypatch.setattr(audit_hosts, 'broken', lambda conn, told: looked.append(list(told)) or [])
    made = Auditor()
    made.take([{'host': f'h{number}', 'uuids': ['x'] * size} for number, size in enumerate((1, 2, 0, 9, 1))])
    for _ in range(4):
        made.compare()
    assert looked == [['h0', 'h1'], ['h2'], ['h3'], ['h4']]


def test_only_of_what_is_missing_it_is_asked_what_it_does(quiet_cloud: Cloud) -> None:
    """The look at hosts that have all that they should is one statement of two columns."""
    uuid, _ = healthy(quiet_cloud)
    execute(instances.update().where(instances.c.uuid == uuid).values(updated_at=LONG_AGO))
    home = quiet_cloud.show(uuid)['OS-EXT-SRV-ATTR:host']
    asked: list[tuple[Any, str]] = []
    with session.read() as conn:
        with told('before_cursor_execute', lambda on, _cursor, statement, *_: asked.append((on, statement))):
            assert audit_hosts.broken(conn, {home: Told([uuid], (), ())}) == []
        # The daemons ask for this and that meanwhile, on connections of their own.
        looks = [statement for on, statement in asked if on is conn and statement.startswith('SELECT')]
        assert len(looks) == 1 and 'instance_actions' not in looks[0]
        assert [finding.subject for finding in audit_hosts.broken(conn, {home: Told([], (), ())})] == [uuid]
