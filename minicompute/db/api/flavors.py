"""Flavors, who may use them, and their extra specs. All functions take an open connection."""
from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from minicompute import exception
from minicompute.db import watch
from minicompute.db.models import flavor_projects, flavors
from minicompute.db.session import utcnow
from minicompute.objects import Flavor

_FIELDS = tuple(name for name in Flavor.__dataclass_fields__)
_COLUMNS = [flavors.c[name] for name in _FIELDS]
SORT_KEYS = ('created_at', 'description', 'disabled', 'ephemeral_gb', 'flavorid', 'id', 'is_public', 'memory_mb',
             'name', 'root_gb', 'rxtx_factor', 'swap', 'updated_at', 'vcpu_weight', 'vcpus')
#: no flavor has one: the order is what it is without
_ABSENT = {'vcpu_weight': 'id'}


def from_row(row: Any) -> Flavor:
    made = Flavor(**row._mapping)
    made.extra_specs = made.extra_specs or {}
    return made


# Building a statement costs more than running it here, so the read path keeps its statements.
_BY_ID = sa.select(*_COLUMNS).where(flavors.c.flavorid.in_(sa.bindparam('flavorids', expanding=True)))
_USABLE = sa.or_(flavors.c.is_public.is_(True), flavors.c.id.in_(
    sa.select(flavor_projects.c.flavor_id).where(flavor_projects.c.project_id == sa.bindparam('project'))))
_USABLE_BY_ID = _BY_ID.where(_USABLE)


def get(conn: sa.Connection, flavorid: str, *, project_id: str | None = None) -> Flavor:
    """By the id that users know; with `project_id` only if that project may use it. Raises FlavorNotFound."""
    found = get_many(conn, [flavorid], project_id=project_id)
    if not found:
        raise exception.FlavorNotFound(flavor_id=flavorid)
    return found[flavorid]


def get_many(conn: sa.Connection, flavorids: Iterable[str], *, project_id: str | None = None) -> dict[str, Flavor]:
    """Those of them that are there, and may be used."""
    params: dict[str, Any] = {'flavorids': list(flavorids)}
    if project_id is not None:
        params['project'] = project_id
    query = _BY_ID if project_id is None else _USABLE_BY_ID
    return {row.flavorid: from_row(row) for row in conn.execute(query, params)}


def page(conn: sa.Connection, *, project_id: str | None, is_public: bool | None = True, disabled: bool | None = None,
         min_ram: int = 0, min_disk: int = 0, name: str | None = None, sort_key: str = 'flavorid',
         descending: bool = False, limit: int = 1000, marker: str | None = None) -> list[Flavor]:
    """One page, in one query (two with a marker). `is_public` True also shows what is granted to the project,
    None shows all; `name` is a regular expression that fits somewhere in the name. Raises MarkerNotFound, and Invalid
    for an expression that the database cannot work with."""
    sort_key = _ABSENT.get(sort_key, sort_key)
    value, identity = _marker(conn, sort_key, marker)
    after = None if identity is None else 'null' if value is None else 'value'
    query = _page(is_public, disabled, bool(name), sort_key, descending, after)
    params = {'project': project_id or '', 'ram': min_ram, 'disk': min_disk, 'limit': limit, 'value': value,
              'identity': identity, 'part': name}
    try:
        return [from_row(row) for row in conn.execute(query, params)]
    except (db_exc.DBError, sa_exc.OperationalError) as error:
        if not name or isinstance(error, db_exc.DBConnectionError):
            raise
        raise exception.Invalid('Invalid input for query parameters name: the regular expression '
                                f"'{name[:64]}' is wrong, or takes too long.") from None


def _marker(conn: sa.Connection, sort_key: str, marker: str | None) -> tuple[Any, int | None]:
    """-> what the marker has in the sort column, and its id."""
    if marker is None:
        return None, None
    row = conn.execute(sa.select(flavors.c[sort_key], flavors.c.id).where(flavors.c.flavorid == marker)).first()
    if row is None:
        raise exception.MarkerNotFound(marker=marker)
    return row[0], row[1]


@functools.lru_cache(maxsize=512)
def _page(is_public: bool | None, disabled: bool | None, named: bool, sort_key: str, descending: bool,
          after: str | None) -> sa.Select[Any]:
    """Sorted by (nulls first, sort_key, id); `after`: whether there is a marker and what its value is."""
    column = flavors.c[sort_key]
    query = sa.select(*_COLUMNS).where(flavors.c.memory_mb >= sa.bindparam('ram'),
                                       flavors.c.root_gb >= sa.bindparam('disk')).limit(sa.bindparam('limit'))
    if is_public is not None:
        query = query.where(_USABLE if is_public else flavors.c.is_public.is_(False))
    if disabled is not None:
        query = query.where(flavors.c.disabled.is_(disabled))
    if named:
        query = query.where(flavors.c.name.regexp_match(sa.bindparam('part', type_=sa.String)))
    if after is not None:
        query = query.where(_behind(column, descending, after))
    nulls = [sa.case((column.is_(None), 0), else_=1)] if column.nullable else []    # no more than an index has
    keys = [*nulls, column, *([] if column.unique else [flavors.c.id])]
    return query.order_by(*(key.desc() if descending else key for key in keys))


def _behind(column: sa.Column[Any], descending: bool, after: str) -> sa.ColumnElement[bool]:
    identity: sa.BindParameter[Any] = sa.bindparam('identity')
    value: sa.BindParameter[Any] = sa.bindparam('value')
    later = flavors.c.id < identity if descending else flavors.c.id > identity
    if after == 'null':
        behind = sa.and_(column.is_(None), later)
        return behind if descending else sa.or_(behind, column.is_not(None))
    beyond = sa.or_(column < value if descending else column > value, sa.and_(column == value, later))
    return sa.or_(beyond, column.is_(None)) if descending else beyond


def create(conn: sa.Connection, flavor: Flavor) -> Flavor:
    """Raises FlavorExists, FlavorIdExists. -> the flavor with its id."""
    found = conn.execute(sa.select(flavors.c.flavorid).where(
        sa.or_(flavors.c.flavorid == flavor.flavorid, flavors.c.name == flavor.name))).first()
    if found is not None and found.flavorid == flavor.flavorid:
        raise exception.FlavorIdExists(flavor_id=flavor.flavorid)
    values = {name: getattr(flavor, name) for name in _FIELDS if name != 'id'}
    try:
        if found is not None:
            raise exception.FlavorExists(name=flavor.name)
        done = conn.execute(flavors.insert().values(**values, created_at=utcnow()))
    except db_exc.DBDuplicateEntry:
        raise exception.FlavorExists(name=flavor.name) from None
    assert done.inserted_primary_key is not None
    flavor.id = int(done.inserted_primary_key[0])
    watch.changed(conn, 'flavor', 'create', flavor.flavorid)
    return flavor


def set_description(conn: sa.Connection, flavorid: str, description: str | None) -> Flavor:
    conn.execute(flavors.update().where(flavors.c.flavorid == flavorid).values(
        description=description, updated_at=utcnow()))
    watch.changed(conn, 'flavor', 'update', flavorid)
    return get(conn, flavorid)


def destroy(conn: sa.Connection, flavorid: str) -> None:
    """Servers keep their own copy. Raises FlavorNotFound."""
    flavor = get(conn, flavorid)
    conn.execute(flavor_projects.delete().where(flavor_projects.c.flavor_id == flavor.id))
    conn.execute(flavors.delete().where(flavors.c.id == flavor.id))
    watch.changed(conn, 'flavor', 'delete', flavor)


# -- access ----------------------------------------------------------------------

def projects(conn: sa.Connection, flavor: Flavor) -> list[str]:
    query = sa.select(flavor_projects.c.project_id).where(flavor_projects.c.flavor_id == flavor.id)
    return [row.project_id for row in conn.execute(query.order_by(flavor_projects.c.project_id))]


def grant(conn: sa.Connection, flavor: Flavor, project_id: str) -> None:
    """Raises FlavorAccessExists."""
    try:
        conn.execute(flavor_projects.insert().values(flavor_id=flavor.id, project_id=project_id))
    except db_exc.DBDuplicateEntry:
        raise exception.FlavorAccessExists(flavor_id=flavor.flavorid, project_id=project_id) from None
    watch.changed(conn, 'flavor', 'update', flavor.flavorid)


def revoke(conn: sa.Connection, flavor: Flavor, project_id: str) -> None:
    """Raises FlavorAccessNotFound."""
    done = conn.execute(flavor_projects.delete().where(
        flavor_projects.c.flavor_id == flavor.id, flavor_projects.c.project_id == project_id))
    if not done.rowcount:
        raise exception.FlavorAccessNotFound(flavor_id=flavor.flavorid, project_id=project_id)
    watch.changed(conn, 'flavor', 'update', flavor.flavorid)


# -- extra specs -------------------------------------------------------------------

def _locked_specs(conn: sa.Connection, flavorid: str) -> dict[str, str]:
    row = conn.execute(sa.select(flavors.c.extra_specs).where(
        flavors.c.flavorid == flavorid).with_for_update()).first()
    if row is None:
        raise exception.FlavorNotFound(flavor_id=flavorid)
    return row.extra_specs or {}


def set_extra_specs(conn: sa.Connection, flavorid: str, specs: Mapping[str, str]) -> None:
    """Add or overwrite these. Raises FlavorNotFound."""
    merged = {**_locked_specs(conn, flavorid), **specs}
    conn.execute(flavors.update().where(flavors.c.flavorid == flavorid).values(
        extra_specs=merged, updated_at=utcnow()))
    watch.changed(conn, 'flavor', 'update', flavorid)


def delete_extra_spec(conn: sa.Connection, flavorid: str, key: str) -> None:
    """Raises FlavorNotFound, FlavorExtraSpecsNotFound."""
    specs = _locked_specs(conn, flavorid)
    if key not in specs:
        raise exception.FlavorExtraSpecsNotFound(flavor_id=flavorid, key=key)
    del specs[key]
    conn.execute(flavors.update().where(flavors.c.flavorid == flavorid).values(
        extra_specs=specs, updated_at=utcnow()))
    watch.changed(conn, 'flavor', 'update', flavorid)
