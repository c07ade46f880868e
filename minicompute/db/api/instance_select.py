"""The statements of `instance_list`, each built once.

A statement depends on what is asked for (the columns, which filters, which order) and never on the values,
which are bound: `Shape` is a search without its values.  Building one costs ten times what running it costs.

The short columns of a row come as one JSON array that the database makes and orjson reads: thirty fields of a
thousand rows cost the drivers more than all else together, PyMySQL's above all.  Hence times are text here,
'2026-11-22 18:56:03.000001' (perhaps with a T between, or with less of a fraction), and booleans may be 0 and 1.
"""
from __future__ import annotations

import datetime
import functools
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from minicompute.db.models import block_device_mappings, instance_group_members, instance_groups, instances, tags
from minicompute.db.models.base import Json, Timestamp
from minicompute.objects import VMState

_EPOCH = datetime.datetime(1900, 1, 1)
#: columns that may be NULL by their definition, and never are
_ALWAYS_SET = frozenset(('created_at', 'updated_at', 'display_name'))


class Shape(NamedTuple):
    """What a page restricts and sorts by: names and numbers of values, as `instance_list.Search` explains."""

    project: bool
    deleted: bool | None
    soft_deleted: bool | None
    changed_since: bool
    changed_before: bool
    equal: tuple[tuple[str, int], ...]
    matching: tuple[tuple[str, bool], ...]      # whether it is plain text
    at: tuple[str, ...]
    address: tuple[int, ...]
    tags: tuple[tuple[str, int], ...]
    sort: tuple[tuple[str, str], ...]
    marker: bool


# -- columns -------------------------------------------------------------------

def _exists(column: sa.Column[Any], *more: sa.ColumnElement[bool]) -> sa.ColumnElement[Any]:
    # MariaDB's JSON would hold the bytes of an EXISTS.
    return sa.case((sa.exists().where(column == instances.c.uuid, *more), 1), else_=0)


#: what is not in the table but is told with a row: whether there is more to ask for elsewhere
_BESIDES: dict[str, sa.ColumnElement[Any]] = {
    'has_tags': _exists(tags.c.resource_id),
    'has_volumes': _exists(block_device_mappings.c.instance_uuid, block_device_mappings.c.volume_id.is_not(None)),
    'group': sa.select(sa.func.min(instance_groups.c.uuid)).join(
        instance_group_members, instance_group_members.c.group_id == instance_groups.c.id).where(
        instance_group_members.c.instance_uuid == instances.c.uuid).scalar_subquery(),
}


#: documents and texts that most servers have none of
_MOSTLY_EMPTY = frozenset(('fault', 'metadata', 'trusted_certs', 'user_data'))


def _is_long(name: str) -> bool:
    """Documents that each server has stay columns: to write them as JSON in JSON would only cost."""
    return name in instances.c and name not in _MOSTLY_EMPTY and isinstance(instances.c[name].type, (Json, sa.Text))


def _select(dialect: str, names: Sequence[str]) -> sa.Select[Any]:
    short = [_BESIDES[name] if name in _BESIDES else sa.type_coerce(instances.c[name], sa.Text)
             if name in _MOSTLY_EMPTY else instances.c[name] for name in names if not _is_long(name)]
    pack = sa.func.json_build_array if dialect == 'postgresql' else sa.func.json_array
    return sa.select(sa.cast(pack(*short), sa.Text) if dialect == 'postgresql' else pack(*short),
                     *(sa.type_coerce(instances.c[name], sa.Text) for name in names if _is_long(name))
                     ).select_from(instances)


@functools.cache
def _record(names: tuple[str, ...]) -> Any:
    fields = [name for name in names if not _is_long(name)] + [name for name in names if _is_long(name)]
    return namedtuple('Record', fields)


def records(names: tuple[str, ...], rows: Iterable[Any]) -> list[Any]:
    """Rows of `page` or `one` -> named tuples. (A view reads thirty columns of a thousand rows: by name they are
    ten times as fast from these as from SQLAlchemy's.)"""
    make, loads = _record(names)._make, orjson.loads
    return [make([*loads(row[0]), *row[1:]]) for row in rows]


# -- statements ----------------------------------------------------------------

@functools.lru_cache(maxsize=256)
def one(dialect: str, names: tuple[str, ...], project: bool, lock: bool) -> sa.Select[Any]:
    """Binds `uuid`, `project`."""
    query = _select(dialect, names).where(instances.c.uuid == sa.bindparam('uuid'), instances.c.deleted == 0)
    if project:
        query = query.where(instances.c.project_id == sa.bindparam('project'))
    return query.with_for_update() if lock else query


@functools.lru_cache(maxsize=1024)
def page(dialect: str, names: tuple[str, ...], shape: Shape) -> sa.Select[Any]:
    """Binds `limit`, with a marker `key0`, `key1`, ..., and what `_clauses` says."""
    keys, limit = _keys(shape.sort), sa.bindparam('limit', type_=sa.Integer)
    clauses = [*_clauses(dialect, shape), *([_behind(keys)] if shape.marker else [])]
    ways = [way for _, way in keys]
    if not _find_first(dialect, shape):
        return _ordered(_select(dialect, names).where(*clauses).limit(limit), [key for key, _ in keys], ways)
    few = _ordered(sa.select(instances.c.id.label('row'), *(key.label(f'key{place}') for place, (key, _) in
                                                            enumerate(keys))).where(*clauses).limit(limit),
                   [key for key, _ in keys], ways).subquery('page')
    return _ordered(_select(dialect, names).join(few, few.c.row == instances.c.id),
                    [few.c[f'key{place}'] for place in range(len(keys))], ways)


def _find_first(dialect: str, shape: Shape) -> bool:
    """Is the page found by its keys alone before its rows are read? Where all must be sorted the databases would
    pack all before; MariaDB may walk an index from its end up to the marker: then the index alone, not the rows."""
    by_index = shape.sort[:1] and shape.sort[0][0] in ('created_at', 'display_name') and shape.deleted is not None
    return not by_index or shape.changed_since or shape.changed_before or (dialect == 'mysql' and shape.marker)


def _ordered(query: sa.Select[Any], keys: Sequence[sa.ColumnElement[Any]], ways: Sequence[str]) -> sa.Select[Any]:
    return query.order_by(*(key.desc() if way == 'desc' else key.asc() for key, way in zip(keys, ways, strict=True)))


@functools.lru_cache(maxsize=256)
def marker(project: bool, sort: tuple[tuple[str, str], ...]) -> sa.Select[Any]:
    """The keys of a server, also of one that was deleted between two pages. Binds `uuid`, `project`."""
    query = sa.select(*(key for key, _ in _keys(sort))).where(instances.c.uuid == sa.bindparam('uuid'))
    if project:
        query = query.where(instances.c.project_id == sa.bindparam('project'))
    return query


# -- order ---------------------------------------------------------------------

def _keys(sort: tuple[tuple[str, str], ...]) -> list[tuple[sa.ColumnElement[Any], str]]:
    """The columns to sort by, without NULLs, made unique by `id`."""
    keys, seen = [], set()
    for name, way in [*sort, ('id', sort[0][1] if sort else 'desc')]:
        if name not in seen:
            seen.add(name)
            keys.append((_sortable(instances.c[name]), way))
    return keys


def _sortable(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, sa.Boolean):
        return sa.cast(column, sa.Integer)      # what PostgreSQL and SQLAlchemy can compare
    if not column.nullable or column.name in _ALWAYS_SET:
        return column
    least = _EPOCH if isinstance(column.type, Timestamp) else '' if isinstance(column.type, sa.String) else -1
    return sa.func.coalesce(column, sa.literal(least, column.type))


def _behind(keys: list[tuple[sa.ColumnElement[Any], str]]) -> sa.ColumnElement[bool]:
    """What comes after the marker, which need not match the filters."""
    binds = [sa.bindparam(f'key{place}', type_=key.type) for place, (key, _) in enumerate(keys)]
    ways: list[sa.ColumnElement[bool]] = []
    same: list[sa.ColumnElement[bool]] = []
    for (key, way), value in zip(keys, binds, strict=True):
        ways.append(sa.and_(*same, key < value if way == 'desc' else key > value))
        same.append(key == value)
    first, way = keys[0]
    # The bound on the first key alone is implied, but it is what an index can begin with.
    return sa.and_(first <= binds[0] if way == 'desc' else first >= binds[0], sa.or_(*ways))


# -- filters -------------------------------------------------------------------

def _is_deleted(shape: Shape) -> sa.ColumnElement[bool]:
    """One that may be restored is both: it is found by its id, and listed among the deleted."""
    c = instances.c
    if shape.deleted:
        # Each side is a range of the index of states; `!=` would be none.
        gone, soft = c.deleted > 0, sa.and_(c.deleted == 0, c.vm_state == VMState.SOFT_DELETED)
        return gone if shape.soft_deleted is False else sa.or_(gone, soft)
    if shape.soft_deleted:
        return c.deleted == 0
    return sa.and_(c.deleted == 0, c.vm_state != VMState.SOFT_DELETED)


def _clauses(dialect: str, shape: Shape) -> list[sa.ColumnElement[bool]]:
    """Binds `project`, `since`, `before`, `equal_COLUMN`, `part_COLUMN`, `at_COLUMN`, `until_COLUMN`, `address4`...,
    and what `tags_bind` names."""
    c = instances.c
    made: list[sa.ColumnElement[bool]] = []
    if shape.project:
        made.append(c.project_id == sa.bindparam('project'))
    if shape.deleted is not None:
        made.append(_is_deleted(shape))
    if shape.changed_since:
        made.append(c.updated_at >= sa.bindparam('since'))
    if shape.changed_before:
        made.append(c.updated_at <= sa.bindparam('before'))
    for name, count in shape.equal:
        bind: Any = sa.bindparam(f'equal_{name}', expanding=count != 1)
        made.append(c[name] == bind if count == 1 else c[name].in_(bind))
    for name, plain in shape.matching:
        part: Any = sa.bindparam(f'part_{name}', type_=sa.String)
        text = c[name] if isinstance(c[name].type, sa.String) else sa.cast(c[name], sa.Text)
        made.append(_holds(dialect, text, part) if plain else text.regexp_match(part))
    made += [sa.and_(c[name] >= sa.bindparam(f'at_{name}'), c[name] < sa.bindparam(f'until_{name}'))
             for name in shape.at]
    if shape.address:       # of ip and ip6 one will do
        made.append(sa.or_(*(sa.type_coerce(c.network_info, sa.Text).regexp_match(
            sa.bindparam(f'address{version}', type_=sa.String)) for version in shape.address)))
    made += [_tagged(kind, count) for kind, count in shape.tags]
    return made


def _holds(dialect: str, text: sa.ColumnElement[Any], part: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Not LIKE, which minds the case on some databases only."""
    return (sa.func.strpos if dialect == 'postgresql' else sa.func.instr)(text, part) > 0


def tags_bind(kind: str) -> str:
    return kind.replace('-', '_')


def _tagged(kind: str, count: int) -> sa.ColumnElement[bool]:
    """'tags': all of them; 'tags-any': one of them; 'not-': not so."""
    having = sa.select(tags.c.resource_id).where(tags.c.tag.in_(sa.bindparam(tags_bind(kind), expanding=True)))
    if not kind.endswith('-any'):
        having = having.group_by(tags.c.resource_id).having(sa.func.count() == count)
    return instances.c.uuid.not_in(having) if kind.startswith('not-') else instances.c.uuid.in_(having)
