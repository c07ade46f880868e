from __future__ import annotations

import pytest

from minicompute import exception
from minicompute.db import session
from minicompute.db.api import allocations, instance_groups
from minicompute.db.api.allocations import Wanted
from tests.unit.scheduler.support import node, store, store_group

pytestmark = pytest.mark.usefixtures('database')


def test_groups_and_their_members() -> None:
    made = store_group('anti-affinity', ['s2', 's1'], max_server_per_host=2)
    other = store_group('affinity', [])
    with session.read() as conn:
        found = instance_groups.get(conn, made.uuid)
        assert (found.policy, found.rules, found.members) == ('anti-affinity', {'max_server_per_host': 2}, ['s1', 's2'])
        assert instance_groups.of_instance(conn, 's1') == found
        assert instance_groups.of_instance(conn, 's9') is None
        assert [g.uuid for g in instance_groups.list_groups(conn, 'project')] == [made.uuid, other.uuid]
        assert [g.uuid for g in instance_groups.list_groups(conn, None, 1, 1)] == [other.uuid]
        assert instance_groups.list_groups(conn, 'stranger') == []
        assert instance_groups.count(conn, 'project') == 2
        assert set(instance_groups.get_many(conn, [made.uuid, 'unknown'])) == {made.uuid}


def test_members_come_and_go() -> None:
    group = store_group('affinity', ['s1'])
    assert group.id is not None
    session.write(instance_groups.add_members, group.id, ['s1', 's2', 's2'])
    session.write(instance_groups.remove_members, ['s1', 'unknown'])
    with session.read() as conn:
        assert instance_groups.get(conn, group.uuid).members == ['s2']
    session.write(instance_groups.delete, group.uuid)
    with session.read() as conn, pytest.raises(exception.InstanceGroupNotFound):
        instance_groups.get(conn, group.uuid)
    with pytest.raises(exception.InstanceGroupNotFound):
        session.write(instance_groups.delete, group.uuid)


def test_hosts_are_those_that_members_hold_room_on() -> None:
    at = store(node('a'))['a']
    group = store_group('affinity', ['s1', 's2'])
    assert group.id is not None
    session.write(allocations.claim, [Wanted('s1', 's1', at, 1, 1, 1), Wanted('x', 'x', at, 1, 1, 1, together=1)])
    with session.read() as conn:
        assert instance_groups.hosts(conn, [group.id]) == {group.id: [('a', 's1')]}
