"""Servers for the API's eyes: a page, or one, as narrow rows that go straight into the views.

Documents (flavor, metadata, network_info, ...) stay the text that they are in the table: the views parse
each different text once.  Pages go by key: whatever a page is sorted by, `id` comes last, and a NULL sorts
as the least value on every database.
"""
from __future__ import annotations

import dataclasses
import datetime
import functools
from collections import defaultdict, namedtuple
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from minicompute import exception
from minicompute.db.models import (
    block_device_mappings,
    instance_group_members,
    instance_groups,
    instances,
    services,
    tags,
)
from minicompute.db.models.base import Json, Timestamp

COMPUTE = 'nova-compute'
#: of the host's service, and the database's clock to compare its report with
SERVICE = ('service_disabled', 'service_forced_down', 'service_seen', 'clock')

_EPOCH = datetime.datetime(1900, 1, 1)
_LITERAL = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-@:/=,#%&~"\'<>!;')


@dataclasses.dataclass(slots=True, frozen=True)
class State:
    """One way to be in a status: a vm_state, with a task state in `within` (None: any), not in `without`."""

    vm_state: str
    within: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class Search:
    """What a page shall hold, in columns of `instances`; what is not given does not restrict.

    `equal`: column -> the values of which it must be one.  `matching`: column -> a regular expression that
    matches a part of it.  `at`: column -> a time, to the second.  `metadata`: items that it must all hold.
    `states`: of which it must be in one; [] is none at all, None any.  `deleted` None: both.
    """

    project_id: str | None = None
    deleted: bool | None = False
    equal: dict[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    matching: dict[str, str] = dataclasses.field(default_factory=dict)
    at: dict[str, datetime.datetime] = dataclasses.field(default_factory=dict)
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)
    states: list[State] | None = None
    changed_since: datetime.datetime | None = None
    changed_before: datetime.datetime | None = None
    address: dict[int, str] = dataclasses.field(default_factory=dict)     # IP version -> regular expression
    tags: dict[str, list[str]] = dataclasses.field(default_factory=dict)  # 'tags', 'not-tags-any', ...
    sort: Sequence[tuple[str, str]] = (('created_at', 'desc'), ('id', 'desc'))
    limit: int = 1000
    marker: str | None = None


def page(conn: sa.Connection, search: Search, columns: Sequence[str]) -> list[Any]:
    """One query, two with a marker. Raises MarkerNotFound, and Invalid for an expression that the database
    does not take."""
    if search.limit <= 0 or search.states == []:
        return []
    query = _select(conn, columns).where(*_clauses(conn, search))
    keys = _keys(search.sort)
    if search.marker is not None:
        query = query.where(_behind(conn, search, keys))
    query = query.order_by(*(key.desc() if way == 'desc' else key.asc() for key, way in keys))
    try:
        return _records(columns, conn.execute(query.limit(search.limit)).all())
    except (db_exc.DBError, sa_exc.OperationalError) as error:
        if search.matching or search.address:
            raise exception.Invalid('Invalid regular expression in the query (or one that takes too long): '
                                    f'{min([*search.matching, *map(str, search.address)])}') from error
        raise


def one(conn: sa.Connection, uuid: str, columns: Sequence[str], *, project_id: str | None = None,
        lock: bool = False) -> Any:
    """A live server, with `project_id` only of that project; `lock` holds its row. Raises InstanceNotFound.
    """
    query = _select(conn, columns).where(instances.c.uuid == uuid, instances.c.deleted == 0)
    if project_id is not None:
        query = query.where(instances.c.project_id == project_id)
    row = conn.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise exception.InstanceNotFound(instance_id=uuid)
    return _records(columns, [row])[0]


def tags_of(conn: sa.Connection, uuids: Iterable[str]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for uuid, tag in conn.execute(sa.select(tags.c.resource_id, tags.c.tag).where(
            tags.c.resource_id.in_(list(uuids))).order_by(tags.c.tag)):
        found[uuid].append(tag)
    return found


def volumes_of(conn: sa.Connection, uuids: Iterable[str]) -> Mapping[str, list[tuple[str, bool]]]:
    """{server: [(volume, whether it dies with the server)]}"""
    found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    bdm = block_device_mappings.c
    for uuid, volume_id, dies in conn.execute(sa.select(
            bdm.instance_uuid, bdm.volume_id, bdm.delete_on_termination).where(
            bdm.instance_uuid.in_(list(uuids)), bdm.volume_id.is_not(None)).order_by(bdm.id)):
        found[uuid].append((volume_id, bool(dies)))
    return found


def groups_of(conn: sa.Connection, uuid: str) -> list[str]:
    member = instance_group_members.c
    return list(conn.scalars(sa.select(instance_groups.c.uuid).join(
        instance_group_members, member.group_id == instance_groups.c.id).where(member.instance_uuid == uuid)))


def live_among(conn: sa.Connection, uuids: Sequence[str]) -> set[str]:
    if not uuids:
        return set()
    return set(conn.scalars(sa.select(instances.c.uuid).where(
        instances.c.uuid.in_(uuids), instances.c.deleted == 0)))


# -- columns -------------------------------------------------------------------

def _select(conn: sa.Connection, names: Sequence[str]) -> sa.Select[Any]:
    service = {'service_disabled': services.c.disabled, 'service_forced_down': services.c.forced_down,
               'service_seen': services.c.last_seen_up, 'clock': _clock(conn)}
    query = sa.select(*(service[name].label(name) if name in service else _raw(instances.c[name])
                        for name in names))
    if not service.keys().isdisjoint(names):
        query = query.select_from(instances.outerjoin(services, sa.and_(
            services.c.host == instances.c.host, services.c.binary == COMPUTE)))
    return query


def _records(columns: Sequence[str], rows: Iterable[Any]) -> list[Any]:
    """A view reads thirty columns of a thousand rows: by name they are ten times as fast from these as from
    SQLAlchemy's."""
    make = _record_type(tuple(columns))._make
    return [make(row) for row in rows]


@functools.cache
def _record_type(columns: tuple[str, ...]) -> Any:
    return namedtuple('Record', columns)


def _raw(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.type_coerce(column, sa.Text).label(column.name) if isinstance(column.type, Json) else column


def _clock(conn: sa.Connection) -> sa.ColumnElement[Any]:
    """`db.session.now` as a column, which spares a statement."""
    name = conn.dialect.name
    if name == 'postgresql':
        return sa.func.timezone('UTC', sa.func.clock_timestamp())
    if name in ('mysql', 'mariadb'):
        return sa.literal_column('UTC_TIMESTAMP(6)')
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return sa.literal(now, services.c.last_seen_up.type)


# -- order ---------------------------------------------------------------------

def _keys(sort: Sequence[tuple[str, str]]) -> list[tuple[sa.ColumnElement[Any], str]]:
    """The columns to sort by, without NULLs, made unique by `id`."""
    keys, seen = [], set()
    for name, way in [*sort, ('id', sort[-1][1] if sort else 'desc')]:
        if name not in seen:
            seen.add(name)
            keys.append((_sortable(instances.c[name]), way))
    return keys


def _sortable(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, sa.Boolean):
        return sa.cast(column, sa.Integer)      # what PostgreSQL and SQLAlchemy can compare
    if not column.nullable or column.name in ('created_at', 'updated_at'):
        return column
    least = _EPOCH if isinstance(column.type, Timestamp) else '' if isinstance(column.type, sa.String) else -1
    return sa.func.coalesce(column, sa.literal(least, column.type))


def _behind(conn: sa.Connection, search: Search,
            keys: list[tuple[sa.ColumnElement[Any], str]]) -> sa.ColumnElement[bool]:
    """What comes after the marker, which need not match the filters."""
    query = sa.select(*(key for key, _ in keys)).where(instances.c.uuid == search.marker)
    if search.project_id is not None:
        query = query.where(instances.c.project_id == search.project_id)
    if search.deleted is not None:
        query = query.where(instances.c.deleted != 0 if search.deleted else instances.c.deleted == 0)
    at = conn.execute(query).first()
    if at is None:
        raise exception.MarkerNotFound(marker=search.marker)
    ways: list[sa.ColumnElement[bool]] = []
    same: list[sa.ColumnElement[bool]] = []
    for (key, way), value in zip(keys, at, strict=True):
        ways.append(sa.and_(*same, key < value if way == 'desc' else key > value))
        same.append(key == value)
    first, way = keys[0]
    # The bound on the first key alone is implied, but it is what an index can begin with.
    return sa.and_(first <= at[0] if way == 'desc' else first >= at[0], sa.or_(*ways))


# -- filters -------------------------------------------------------------------

def _clauses(conn: sa.Connection, search: Search) -> list[sa.ColumnElement[bool]]:
    c = instances.c
    made: list[sa.ColumnElement[bool]] = []
    if search.project_id is not None:
        made.append(c.project_id == search.project_id)
    if search.deleted is not None:
        made.append(c.deleted != 0 if search.deleted else c.deleted == 0)
    if search.changed_since is not None:
        made.append(c.updated_at >= search.changed_since)
    if search.changed_before is not None:
        made.append(c.updated_at <= search.changed_before)
    made += [c[name] == values[0] if len(values) == 1 else c[name].in_(values)
             for name, values in search.equal.items()]
    made += [_matches(conn, c[name], pattern) for name, pattern in search.matching.items()]
    made += [sa.and_(c[name] >= when, c[name] < when + datetime.timedelta(seconds=1))
             for name, when in search.at.items()]
    made += [_holds(conn, sa.type_coerce(c['metadata'], sa.Text), _item(key, value))
             for key, value in search.metadata.items()]
    made += [sa.type_coerce(c.network_info, sa.Text).regexp_match(address_pattern(version, text))
             for version, text in search.address.items()]
    made += [_tagged(kind, wanted) for kind, wanted in search.tags.items()]
    if search.states is not None:
        made.append(sa.or_(*map(_in_state, search.states)))
    return made


def _in_state(state: State) -> sa.ColumnElement[bool]:
    clauses = [instances.c.vm_state == state.vm_state]
    if state.within is not None:
        clauses.append(instances.c.task_state.in_(state.within))
    if state.without:
        clauses.append(sa.or_(instances.c.task_state.is_(None), instances.c.task_state.not_in(state.without)))
    return sa.and_(*clauses)


def _matches(conn: sa.Connection, column: sa.ColumnElement[Any], pattern: str) -> sa.ColumnElement[bool]:
    """Most users give a part of the name: then no expression is run."""
    if _LITERAL.issuperset(pattern):
        return _holds(conn, column, pattern)
    return column.regexp_match(pattern)


def _item(key: str, value: str) -> str:
    """As the item stands in the document."""
    return orjson.dumps({key: value}).decode()[1:-1]


def _holds(conn: sa.Connection, text: sa.ColumnElement[Any], part: str) -> sa.ColumnElement[bool]:
    """Not LIKE, which minds the case on some databases only."""
    find = sa.func.strpos if conn.dialect.name == 'postgresql' else sa.func.instr
    return find(text, part) > 0


def _tagged(kind: str, wanted: list[str]) -> sa.ColumnElement[bool]:
    """'tags': all of them; 'tags-any': one of them; 'not-': not so."""
    having = sa.select(tags.c.resource_id).where(tags.c.tag.in_(wanted))
    if not kind.endswith('-any'):
        having = having.group_by(tags.c.resource_id).having(sa.func.count() == len(set(wanted)))
    return instances.c.uuid.not_in(having) if kind.startswith('not-') else instances.c.uuid.in_(having)


_SYNTAX = frozenset('*+?|(){},')
_OF_ADDRESSES = frozenset('0123456789abcdefABCDEF:')


def address_pattern(version: int, text: str) -> str:
    """A user's expression for an address -> the same for the address inside the document.

    It must not match beyond the address, so that a `.` stands for what addresses are made of, and what could
    leave the string is refused.  As in Nova it matches from the beginning of the address.  Raises Invalid.
    """
    body, end = (text[:-1], '"') if text.endswith('$') and not text.endswith('\\$') else (text, '')
    body = body.removeprefix('^')
    made, escaped = [], False
    for char in body:
        if escaped:
            made.append({'.': r'\.', 'd': '[0-9]'}.get(char, ''))
        elif char == '.':
            made.append('[0-9a-fA-F.:]')
        elif char in _SYNTAX or char in _OF_ADDRESSES or char in '[]-':
            made.append(char)
        elif char != '\\':
            made.append('')
        if made[-1:] == ['']:
            raise exception.Invalid(f"Invalid input for query parameters ip{'6' if version == 6 else ''}. "
                                    f'Value: {text[:64]}. It is not an expression for addresses.')
        escaped = char == '\\' and not escaped
    return f'"address":"(?={"[0-9a-f]*:" if version == 6 else "[0-9]+[.]"})(?:{"".join(made)}){end}'
