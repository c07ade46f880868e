"""Server groups: their rows, their members, and the hosts that the members hold."""
from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

import sqlalchemy as sa
from oslo_utils import uuidutils

from minicompute import exception
from minicompute.db import watch
from minicompute.db.models import allocations, compute_nodes, instance_group_members, instance_groups, instances
from minicompute.objects import InstanceGroup
from minicompute.utils import utcnow

_FIELDS = ('id', 'uuid', 'name', 'project_id', 'user_id', 'policy', 'rules')
_COLUMNS = [instance_groups.c[name] for name in _FIELDS]


def _with_members(conn: sa.Connection, rows: Sequence[Any]) -> list[InstanceGroup]:
    groups = {row.id: InstanceGroup(**{**row._mapping, 'rules': row.rules or {}}) for row in rows}
    member = instance_group_members.c
    found = conn.execute(sa.select(member.group_id, member.instance_uuid).where(
        member.group_id.in_(groups)).order_by(member.instance_uuid)) if groups else ()
    for group_id, instance_uuid in found:
        groups[group_id].members.append(instance_uuid)
    return list(groups.values())


def create(conn: sa.Connection, group: InstanceGroup) -> InstanceGroup:
    """Insert `group` (its uuid is made when empty). -> the same, with its id."""
    group.uuid = group.uuid or uuidutils.generate_uuid()
    now = utcnow()
    done = conn.execute(instance_groups.insert().values(
        **{name: getattr(group, name) for name in _FIELDS if name != 'id'}, created_at=now, updated_at=now))
    assert done.inserted_primary_key is not None
    group.id = int(done.inserted_primary_key[0])
    watch.changed(conn, 'server_group', 'create', group)
    add_members(conn, group.id, group.members)
    return group


def get(conn: sa.Connection, uuid: str) -> InstanceGroup:
    """With its members. Raises InstanceGroupNotFound."""
    rows = conn.execute(sa.select(*_COLUMNS).where(instance_groups.c.uuid == uuid)).all()
    if not rows:
        raise exception.InstanceGroupNotFound(group_uuid=uuid)
    return _with_members(conn, rows)[0]


def by_id(conn: sa.Connection, group_id: int) -> InstanceGroup:
    """The same by the id that other tables name it by."""
    return _with_members(conn, conn.execute(sa.select(*_COLUMNS).where(instance_groups.c.id == group_id)).all())[0]


def get_many(conn: sa.Connection, uuids: Iterable[str]) -> dict[str, InstanceGroup]:
    """uuid -> the group with its members, of those that exist."""
    rows = conn.execute(sa.select(*_COLUMNS).where(instance_groups.c.uuid.in_(set(uuids)))).all()
    return {group.uuid: group for group in _with_members(conn, rows)}


def policies(conn: sa.Connection, uuids: Iterable[str]) -> dict[str, Any]:
    """uuid -> row (id, policy, rules) of those that exist; without members, which may be many."""
    c = instance_groups.c
    rows = conn.execute(sa.select(c.uuid, c.id, c.policy, c.rules).where(c.uuid.in_(set(uuids))))
    return {row.uuid: row for row in rows}


def of_instance(conn: sa.Connection, instance_uuid: str) -> InstanceGroup | None:
    """The group that a server is in."""
    member = instance_group_members.c
    rows = conn.execute(sa.select(*_COLUMNS).join(
        instance_group_members, member.group_id == instance_groups.c.id).where(
        member.instance_uuid == instance_uuid)).all()
    return _with_members(conn, rows)[0] if rows else None


def list_groups(conn: sa.Connection, project_id: str | None = None, limit: int | None = None,
                offset: int = 0) -> list[InstanceGroup]:
    """By id; `project_id` None: of all projects. (Nova's API pages groups by offset.)"""
    query = sa.select(*_COLUMNS).order_by(instance_groups.c.id).limit(limit).offset(offset)
    if project_id is not None:
        query = query.where(instance_groups.c.project_id == project_id)
    return _with_members(conn, conn.execute(query).all())


def count(conn: sa.Connection, project_id: str, user_id: str | None = None) -> int:
    """How many groups the project has, or this user of it."""
    query = sa.select(sa.func.count()).where(instance_groups.c.project_id == project_id)
    if user_id is not None:
        query = query.where(instance_groups.c.user_id == user_id)
    return conn.execute(query).scalar_one()


def members_of_user(conn: sa.Connection, group_id: int, user_id: str) -> int:
    """How many live servers this user has in the group."""
    member = instance_group_members.c
    return conn.execute(sa.select(sa.func.count()).select_from(instance_group_members).join(
        instances, instances.c.uuid == member.instance_uuid).where(
        member.group_id == group_id, instances.c.user_id == user_id, instances.c.deleted == 0)).scalar_one()


def delete(conn: sa.Connection, uuid: str) -> None:
    """Raises InstanceGroupNotFound. Its members stay where they are."""
    if watch.on():
        watch.changed(conn, 'server_group', 'delete', get(conn, uuid))
    if not conn.execute(instance_groups.delete().where(instance_groups.c.uuid == uuid)).rowcount:
        raise exception.InstanceGroupNotFound(group_uuid=uuid)


def add_members(conn: sa.Connection, group_id: int, instance_uuids: Iterable[str]) -> None:
    """Those that are members already stay members."""
    join(conn, {(group_id, uuid) for uuid in instance_uuids})


def join(conn: sa.Connection, pairs: Set[tuple[int, str]]) -> None:
    """`add_members` of several groups at once: (group id, server)."""
    member = instance_group_members.c
    if not pairs:
        return
    there = {(row[0], row[1]) for row in conn.execute(sa.select(member.group_id, member.instance_uuid).where(
        member.group_id.in_({group for group, _ in pairs}), member.instance_uuid.in_({uuid for _, uuid in pairs})))}
    fresh = [{'group_id': group, 'instance_uuid': uuid} for group, uuid in sorted(pairs - there)]
    if fresh:
        conn.execute(instance_group_members.insert(), fresh)
        for group_id in sorted({group for group, _ in pairs - there}) if watch.on() else ():
            watch.changed(conn, 'server_group', 'add_member', group_id)


def remove_members(conn: sa.Connection, instance_uuids: Iterable[str]) -> None:
    """Servers that are gone leave their groups."""
    conn.execute(instance_group_members.delete().where(
        instance_group_members.c.instance_uuid.in_(list(instance_uuids))))


def lock(conn: sa.Connection, group_ids: Iterable[int]) -> None:
    """Hold the groups' rows, in the order of their ids, until the end of the transaction."""
    conn.execute(sa.select(instance_groups.c.id).where(
        instance_groups.c.id.in_(sorted(set(group_ids)))).order_by(instance_groups.c.id).with_for_update()).all()


def hosts(conn: sa.Connection, group_ids: Iterable[int]) -> dict[int, list[tuple[str, str]]]:
    """group id -> (host, server) for each claim that a member holds. A server that moves holds two."""
    member = instance_group_members.c
    found: dict[int, list[tuple[str, str]]] = {group_id: [] for group_id in group_ids}
    rows = conn.execute(
        sa.select(member.group_id, compute_nodes.c.host, member.instance_uuid)
        .join(allocations, allocations.c.instance_uuid == member.instance_uuid)
        .join(compute_nodes, compute_nodes.c.id == allocations.c.node_id)
        .where(member.group_id.in_(found)))
    for group_id, host, instance_uuid in rows:
        found[group_id].append((host, instance_uuid))
    return found
