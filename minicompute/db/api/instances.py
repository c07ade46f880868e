"""Servers: rows to records and back. Lists for the API live in instance_list."""
from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_utils import uuidutils

from minicompute import exception
from minicompute.db import bulk, watch
from minicompute.db.api import events, instance_groups
from minicompute.db.models import block_device_mappings as bdms
from minicompute.db.models import instances, projects, tags
from minicompute.db.session import utcnow
from minicompute.objects import (
    BlockDevice,
    Flavor,
    Instance,
    RequestSpec,
    TaskState,
    VMState,
    from_primitive,
    to_primitive,
)

_PLAIN = tuple(c.name for c in instances.c if c.name in Instance.__dataclass_fields__
               and c.name not in ('deleted', 'flavor', 'old_flavor', 'network_info', 'metadata', 'image_properties',
                                  'system_metadata'))
_RECORDS = ('network_info', 'flavor', 'old_flavor', 'request_spec')
_COLUMNS = [c for c in instances.c if c.name != 'request_spec']
_LIVE = instances.c.deleted == 0
# Statements of the main path are made once: to build one costs more than to run it.
_UUIDS: sa.BindParameter[Any] = sa.bindparam('uuids', expanding=True)
_NOW = sa.bindparam('now', type_=instances.c.deleted_at.type)
_DESTROY = instances.update().where(instances.c.uuid.in_(_UUIDS), _LIVE).values(
    deleted=instances.c.id, deleted_at=_NOW, updated_at=_NOW, terminated_at=_NOW, vm_state='deleted',
    task_state=None, power_state=0, due_at=None)
_ALL = sa.select(*_COLUMNS).where(instances.c.uuid.in_(_UUIDS))
_THERE = _ALL.where(_LIVE)
_WITH_SPECS = sa.select(instances).where(instances.c.uuid.in_(_UUIDS), _LIVE)
_BDMS = sa.select(bdms).where(bdms.c.instance_uuid.in_(_UUIDS)).order_by(bdms.c.id)
_TAGS = sa.select(tags).where(tags.c.resource_id.in_(_UUIDS)).order_by(tags.c.tag)
_SPECS = sa.select(instances.c.uuid, instances.c.request_spec).where(instances.c.uuid.in_(_UUIDS))
_FORGET_BDMS = bdms.delete().where(bdms.c.instance_uuid.in_(_UUIDS))
_FORGET_TAGS = tags.delete().where(tags.c.resource_id.in_(_UUIDS))
_NEW, _NEW_BDM, _NEW_TAG = instances.insert(), bdms.insert(), tags.insert()
_BDM = tuple(c.name for c in bdms.c if c.name in BlockDevice.__dataclass_fields__)


def from_row(row: Any) -> Instance:
    """A row of all columns but request_spec -> Instance, without bdms and tags."""
    values = row._mapping
    made = Instance(**{name: values[name] for name in _PLAIN})
    made.deleted = bool(values['deleted'])
    made.flavor = from_primitive(values['flavor']) if values['flavor'] else None
    made.network_info = from_primitive(values['network_info'] or [])
    made.metadata = values['metadata'] or {}
    made.image_properties = values['image_properties'] or {}
    made.old_flavor = from_primitive(values['old_flavor']) if values['old_flavor'] else None
    made.system_metadata = values['system_metadata'] or {}
    return made


def bdm_from_row(row: Any) -> BlockDevice:
    values = row._mapping
    made = BlockDevice(**{name: values[name] for name in _BDM})
    made.connection_info = made.connection_info or {}
    return made


def to_columns(instance: Instance) -> dict[str, Any]:
    """Everything of a new row but id, deleted and request_spec."""
    flavor = instance.flavor or Flavor('', '', 0, 0, 0)
    values = {name: getattr(instance, name) for name in _PLAIN if name != 'id'}
    values.update(flavor=to_primitive(instance.flavor), flavorid=flavor.flavorid, vcpus=flavor.vcpus,
                  memory_mb=flavor.memory_mb, network_info=to_primitive(instance.network_info),
                  metadata=instance.metadata, image_properties=instance.image_properties,
                  old_flavor=to_primitive(instance.old_flavor), system_metadata=instance.system_metadata or None)
    return values


def create(conn: sa.Connection, requests: Iterable[tuple[Sequence[Instance], RequestSpec]]) -> None:
    """Insert the servers of some requests with their bdms and tags; created_at grows by a microsecond each, so
    that a list of one request keeps its order. A request's spec is kept with each of its servers."""
    now = utcnow()
    rows, devices, labels = [], [], []
    ordered = [(instance, to_primitive(spec)) for many, spec in requests for instance in many]
    for place, (instance, spec) in enumerate(ordered):
        instance.created_at = instance.updated_at = now + datetime.timedelta(microseconds=place)
        rows.append({**to_columns(instance), 'request_spec': spec, 'deleted': 0})
        for device in instance.block_devices:
            device.uuid, device.instance_uuid = uuidutils.generate_uuid(), instance.uuid
            devices.append({**{n: getattr(device, n) for n in _BDM if n != 'id'}, 'created_at': now})
        labels += [{'resource_id': instance.uuid, 'tag': tag} for tag in instance.tags]
    for insert, values in ((_NEW, rows), (_NEW_BDM, devices), (_NEW_TAG, labels)):
        if values:
            conn.execute(insert, values)
    new = [instance.uuid for instance, _ in ordered]
    events.note(conn, new, events.CREATED)
    if watch.listener is not None and watch.listener.alterations:
        watch.note(conn, watch.Altered(dict.fromkeys(new, (None, None, None)), frozenset(), None))


def get(conn: sa.Connection, uuid: str, *, deleted: bool = False) -> Instance:
    """One server with bdms and tags, in three narrow queries. Raises InstanceNotFound."""
    found = get_many(conn, [uuid], deleted=deleted)
    if not found:
        raise exception.InstanceNotFound(instance_id=uuid)
    return found[uuid]


def hold(conn: sa.Connection, uuid: str) -> None:
    """Nobody else changes the server until the transaction ends."""
    conn.execute(sa.select(instances.c.id).where(instances.c.uuid == uuid, instances.c.deleted == 0).with_for_update())


def get_many(conn: sa.Connection, uuids: Iterable[str], *, deleted: bool = False) -> dict[str, Instance]:
    """{uuid: Instance} of those that are there; `deleted` also shows what is gone."""
    query = _ALL if deleted else _THERE
    return _with_parts(conn, {row.uuid: from_row(row) for row in conn.execute(query, {'uuids': list(uuids)})})


def with_specs(conn: sa.Connection, uuids: Iterable[str]) -> tuple[dict[str, Instance], dict[str, RequestSpec]]:
    """What `get_many` and `specs` say, in one query less."""
    rows = conn.execute(_WITH_SPECS, {'uuids': list(uuids)}).all()
    found = _with_parts(conn, {row.uuid: from_row(row) for row in rows})
    return found, {row.uuid: from_primitive(row.request_spec) for row in rows if row.request_spec}


def _with_parts(conn: sa.Connection, found: dict[str, Instance]) -> dict[str, Instance]:
    if found:
        for row in conn.execute(_BDMS, {'uuids': list(found)}):
            found[row.instance_uuid].block_devices.append(bdm_from_row(row))
        for row in conn.execute(_TAGS, {'uuids': list(found)}):
            found[row.resource_id].tags.append(row.tag)
    return found


def specs(conn: sa.Connection, uuids: Iterable[str]) -> dict[str, RequestSpec]:
    """{uuid: RequestSpec} as they were accepted."""
    wanted = list(uuids)
    rows = conn.execute(_SPECS, {'uuids': wanted}) if wanted else ()
    return {row.uuid: from_primitive(row.request_spec) for row in rows if row.request_spec}


def update(conn: sa.Connection, uuid: str, changes: dict[str, Any]) -> bool:
    """Change columns of one live server (records in them are made primitive). -> whether it was there."""
    statement = instances.update().where(instances.c.uuid == uuid, _LIVE)
    return _shown(conn, uuid, changes, statement)


def _shown(conn: sa.Connection, uuid: str, changes: dict[str, Any], statement: Any) -> bool:
    """Run it; who follows is told if it met the server."""
    before = watch.before(conn, [uuid], changes)
    met = bool(conn.execute(statement.values(**_values(changes, utcnow()))).rowcount == 1)
    if met and not events.SHOWN.isdisjoint(changes):
        events.note(conn, [uuid])
        watch.after(conn, before)
    return met


def update_many(conn: sa.Connection, changes: Mapping[str, dict[str, Any]]) -> int:
    """The same for {uuid: changes}, in few statements. -> how many were there."""
    now, shown = utcnow(), [uuid for uuid, some in changes.items() if not events.SHOWN.isdisjoint(some)]
    before = watch.before(conn, shown, {name for uuid in shown for name in changes[uuid]})
    met = bulk.update(conn, instances.c.uuid, {uuid: _values(some, now) for uuid, some in changes.items()}, _LIVE)
    events.note(conn, shown)
    watch.after(conn, before)
    return met


def _values(changes: dict[str, Any], now: datetime.datetime) -> dict[str, Any]:
    values = {name: to_primitive(value) if name in _RECORDS else value for name, value in changes.items()}
    flavor = changes.get('flavor')
    if flavor is not None:      # what is searched and counted goes with it
        values.update(flavorid=flavor.flavorid, vcpus=flavor.vcpus, memory_mb=flavor.memory_mb)
    values['updated_at'] = now
    return values


def expect(conn: sa.Connection, uuid: str, vm_states: Sequence[str] | None, task_states: Sequence[str | None] | None,
           changes: dict[str, Any]) -> bool:
    """The guarded form of `update`: only from these states (None in `task_states` means no task)."""
    where = [instances.c.uuid == uuid, instances.c.deleted == 0]
    if vm_states is not None:
        where.append(instances.c.vm_state.in_(vm_states))
    if task_states is not None:
        named = [state for state in task_states if state is not None]
        clauses = [instances.c.task_state.in_(named)] if named else []
        if None in task_states:
            clauses.append(instances.c.task_state.is_(None))
        where.append(sa.or_(*clauses))
    return _shown(conn, uuid, changes, instances.update().where(*where))


def set_root_image(conn: sa.Connection, uuid: str, image_id: str | None) -> None:
    """The root disk, if it is made from an image, is made from this one."""
    conn.execute(bdms.update().where(
        bdms.c.instance_uuid == uuid, bdms.c.boot_index == 0, bdms.c.source_type == 'image',
        bdms.c.destination_type == 'local').values(image_id=image_id))


def destroy(conn: sa.Connection, uuids: Iterable[str]) -> None:
    """The servers are gone: their rows stay for admins, their bdms, tags and memberships go."""
    gone = sorted(uuids)
    before = watch.before(conn, gone, ('vm_state', 'task_state'))
    conn.execute(_DESTROY, {'uuids': gone, 'now': utcnow()})
    events.note(conn, gone, events.DELETED)
    watch.after(conn, before)
    conn.execute(_FORGET_BDMS, {'uuids': gone})
    conn.execute(_FORGET_TAGS, {'uuids': gone})
    instance_groups.remove_members(conn, gone)


def due(conn: sa.Connection, now: datetime.datetime, limit: int = 100) -> list[str]:
    """Servers whose time has come and that do nothing, those that wait longest first."""
    query = sa.select(instances.c.uuid).where(
        instances.c.due_at <= now, _LIVE, instances.c.task_state.is_(None)).order_by(instances.c.due_at).limit(limit)
    return list(conn.scalars(query))


def lock_project(conn: sa.Connection, project_id: str) -> None:
    """Hold the project's row until the transaction ends: quota is counted under it."""
    query = sa.select(projects.c.project_id).where(projects.c.project_id == project_id).with_for_update()
    if conn.execute(query).first() is None:
        try:
            with conn.begin_nested():
                conn.execute(projects.insert().values(project_id=project_id))
        except db_exc.DBDuplicateEntry:
            pass   # another api made it first: now it is there to be locked
        conn.execute(query)


def usage(conn: sa.Connection, project_id: str, user_id: str | None = None) -> dict[str, int]:
    """What the project's live servers add up to: {'instances', 'cores', 'ram' (MiB)}. One that is deleted but may be
    restored counts again when it is."""
    query = sa.select(sa.func.count(), sa.func.sum(instances.c.vcpus), sa.func.sum(instances.c.memory_mb)).where(
        instances.c.project_id == project_id, instances.c.deleted == 0,
        sa.or_(instances.c.vm_state != VMState.SOFT_DELETED, instances.c.task_state == TaskState.RESTORING))
    if user_id is not None:
        query = query.where(instances.c.user_id == user_id)
    count, cores, ram = conn.execute(query).one()
    return {'instances': int(count), 'cores': int(cores or 0), 'ram': int(ram or 0)}


def fault(error: dict[str, Any]) -> dict[str, Any]:
    """What a server in ERROR says of itself, from an engine's error record."""
    return {'code': int(error.get('code') or 500), 'message': str(error.get('message') or '')[:255],
            'details': str(error.get('details') or error.get('message') or '')[:8000], 'created': utcnow().isoformat()}
