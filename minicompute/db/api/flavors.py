"""Flavors, who may use them, and their extra specs. All functions take an open connection."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute import exception
from minicompute.db.models import flavor_projects, flavors
from minicompute.db.session import utcnow
from minicompute.objects import Flavor

_FIELDS = tuple(name for name in Flavor.__dataclass_fields__)
_COLUMNS = [flavors.c[name] for name in _FIELDS]
SORT_KEYS = ('created_at', 'description', 'disabled', 'ephemeral_gb', 'flavorid', 'id', 'is_public', 'memory_mb',
             'name', 'root_gb', 'rxtx_factor', 'swap', 'updated_at', 'vcpus')


def from_row(row: Any) -> Flavor:
    made = Flavor(**row._mapping)
    made.extra_specs = made.extra_specs or {}
    return made


def get(conn: sa.Connection, flavorid: str, *, project_id: str | None = None) -> Flavor:
    """By the id that users know; with `project_id` only if that project may use it. Raises FlavorNotFound."""
    query = sa.select(*_COLUMNS).where(flavors.c.flavorid == flavorid)
    if project_id is not None:
        query = query.where(_usable_by(project_id))
    row = conn.execute(query).first()
    if row is None:
        raise exception.FlavorNotFound(flavor_id=flavorid)
    return from_row(row)


def _usable_by(project_id: str) -> sa.ColumnElement[bool]:
    granted = sa.select(flavor_projects.c.flavor_id).where(flavor_projects.c.project_id == project_id)
    return sa.or_(flavors.c.is_public.is_(True), flavors.c.id.in_(granted))


def page(conn: sa.Connection, *, project_id: str | None, is_public: bool | None = True, disabled: bool | None = None,
         min_ram: int = 0, min_disk: int = 0, name: str | None = None, sort_key: str = 'flavorid',
         descending: bool = False, limit: int = 1000, marker: str | None = None) -> list[Flavor]:
    """One page, in one query (two with a marker). `is_public` True also shows what is granted to the project,
    None shows all; `name` is a part of the name. Raises MarkerNotFound."""
    query = sa.select(*_COLUMNS)
    if is_public is True:
        query = query.where(_usable_by(project_id) if project_id else flavors.c.is_public.is_(True))
    elif is_public is False:
        query = query.where(flavors.c.is_public.is_(False))
    if disabled is not None:
        query = query.where(flavors.c.disabled.is_(disabled))
    if min_ram:
        query = query.where(flavors.c.memory_mb >= min_ram)
    if min_disk:
        query = query.where(flavors.c.root_gb >= min_disk)
    if name is not None:
        query = query.where(flavors.c.name.contains(name, autoescape=True))
    query = _after(conn, query, sort_key, descending, marker)
    return [from_row(row) for row in conn.execute(query.limit(limit))]


def _after(conn: sa.Connection, query: sa.Select[Any], sort_key: str, descending: bool,
           marker: str | None) -> sa.Select[Any]:
    """Sort by (nulls first, sort_key, id), and begin behind the marker."""
    column = flavors.c[sort_key]
    keys = [sa.case((column.is_(None), 0), else_=1), column, flavors.c.id]
    if marker is not None:
        row = conn.execute(sa.select(column, flavors.c.id).where(flavors.c.flavorid == marker)).first()
        if row is None:
            raise exception.MarkerNotFound(marker=marker)
        value, identity = row
        behind = flavors.c.id < identity if descending else flavors.c.id > identity
        if value is None:
            beyond = sa.and_(column.is_(None), behind)
            query = query.where(beyond if descending else sa.or_(beyond, column.is_not(None)))
        else:
            further = column < value if descending else column > value
            beyond = sa.or_(further, sa.and_(column == value, behind))
            query = query.where(sa.or_(beyond, column.is_(None)) if descending else beyond)
    return query.order_by(*(key.desc() if descending else key for key in keys))


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
    flavor.id = int(done.inserted_primary_key[0])
    return flavor


def set_description(conn: sa.Connection, flavorid: str, description: str | None) -> Flavor:
    conn.execute(flavors.update().where(flavors.c.flavorid == flavorid).values(
        description=description, updated_at=utcnow()))
    return get(conn, flavorid)


def destroy(conn: sa.Connection, flavorid: str) -> None:
    """Servers keep their own copy. Raises FlavorNotFound."""
    flavor = get(conn, flavorid)
    conn.execute(flavor_projects.delete().where(flavor_projects.c.flavor_id == flavor.id))
    conn.execute(flavors.delete().where(flavors.c.id == flavor.id))


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


def revoke(conn: sa.Connection, flavor: Flavor, project_id: str) -> None:
    """Raises FlavorAccessNotFound."""
    done = conn.execute(flavor_projects.delete().where(
        flavor_projects.c.flavor_id == flavor.id, flavor_projects.c.project_id == project_id))
    if not done.rowcount:
        raise exception.FlavorAccessNotFound(flavor_id=flavor.flavorid, project_id=project_id)


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


def delete_extra_spec(conn: sa.Connection, flavorid: str, key: str) -> None:
    """Raises FlavorNotFound, FlavorExtraSpecsNotFound."""
    specs = _locked_specs(conn, flavorid)
    if key not in specs:
        raise exception.FlavorExtraSpecsNotFound(flavor_id=flavorid, key=key)
    del specs[key]
    conn.execute(flavors.update().where(flavors.c.flavorid == flavorid).values(
        extra_specs=specs, updated_at=utcnow()))
