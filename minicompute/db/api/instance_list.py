"""Servers for the API's eyes: a page, or one, as narrow rows that go straight into the views.

Documents (flavor, metadata, network_info, ...) stay the text that they are in the table: the views parse
each different text once; times are text, too (`instance_select` says why).  Pages go by key: whatever a page
is sorted by, `id` comes last, and a NULL sorts as the least value on every database.
"""
from __future__ import annotations

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from minicompute import exception
from minicompute.db import session
from minicompute.db.api import instance_select as select
from minicompute.db.api.instance_select import Shape
from minicompute.db.models import block_device_mappings, instances, services, tags

__all__ = ['Around', 'Report', 'Search', 'address_pattern', 'around', 'live_among', 'one', 'page']

COMPUTE = 'nova-compute'
_PLAIN = frozenset('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-@:/=,#%&~"\'<>!;')


@dataclasses.dataclass(slots=True)
class Search:
    """What a page shall hold, in columns of `instances`; what is not given does not restrict.

    `equal`: column -> the values of which it must be one.  `matching`: column -> a regular expression that
    matches a part of it.  `at`: column -> a time, to the second.  `deleted` None: both.  Servers that may be
    restored are told with the deleted, unless `soft_deleted` tells them with the others (True) or leaves them out
    (False).
    """

    project_id: str | None = None
    deleted: bool | None = False
    soft_deleted: bool | None = None
    equal: dict[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    matching: dict[str, str] = dataclasses.field(default_factory=dict)
    at: dict[str, datetime.datetime] = dataclasses.field(default_factory=dict)
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
    if search.limit <= 0 or not all(search.equal.values()):
        return []
    names, shape, values = tuple(columns), _shape(search), _values(search)
    if search.marker is not None:
        values.update(_marker(conn, search, shape))
    try:
        return select.records(names, conn.execute(select.page(conn.dialect.name, names, shape), values).all())
    except (db_exc.DBConnectionError, db_exc.DBDeadlock):    # an outage is no fault of the expression
        raise
    except (db_exc.DBError, sa_exc.OperationalError) as error:
        if search.matching or search.address:
            raise exception.Invalid('Invalid regular expression in the query (or one that takes too long): '
                                    f'{min([*search.matching, *map(str, search.address)])}') from error
        raise


def one(conn: sa.Connection, uuid: str, columns: Sequence[str], *, project_id: str | None = None,
        lock: bool = False) -> Any:
    """A live server, with `project_id` only of that project; `lock` holds its row. Raises InstanceNotFound.
    """
    names = tuple(dict.fromkeys(columns))
    row = conn.execute(select.one(conn.dialect.name, names, project_id is not None, lock),
                       {'uuid': uuid} if project_id is None else {'uuid': uuid, 'project': project_id}).first()
    if row is None:
        raise exception.InstanceNotFound(instance_id=uuid)
    return select.records(names, [row])[0]


def live_among(conn: sa.Connection, uuids: Sequence[str]) -> set[str]:
    if not uuids:
        return set()
    return set(conn.scalars(sa.select(instances.c.uuid).where(
        instances.c.uuid.in_(uuids), instances.c.deleted == 0)))


# -- what belongs to servers -----------------------------------------------------

@dataclasses.dataclass(slots=True)
class Report:
    """What a compute last said of itself; `age` in seconds, None: it never did."""

    disabled: bool
    forced_down: bool
    age: float | None


@dataclasses.dataclass(slots=True)
class Around:
    """By server its tags and its volumes (each with whether it dies with the server); the reports by host."""

    tags: Mapping[str, list[str]]
    volumes: Mapping[str, list[tuple[str, bool]]]
    reports: Mapping[str, Report]


_TAGS = sa.select(tags.c.resource_id, tags.c.tag).where(
    tags.c.resource_id.in_(sa.bindparam('uuids', expanding=True))).order_by(tags.c.tag)
_VOLUMES = sa.select(
    block_device_mappings.c.instance_uuid, block_device_mappings.c.volume_id,
    block_device_mappings.c.delete_on_termination).where(
    block_device_mappings.c.instance_uuid.in_(sa.bindparam('uuids', expanding=True)),
    block_device_mappings.c.volume_id.is_not(None)).order_by(block_device_mappings.c.id)
_REPORTS = sa.select(services.c.host, services.c.disabled, services.c.forced_down, services.c.last_seen_up).where(
    services.c.binary == COMPUTE, services.c.host.in_(sa.bindparam('hosts', expanding=True)))


def around(conn: sa.Connection, rows: Sequence[Any], columns: Sequence[str], *, reports: bool) -> Around:
    """At most three queries: only servers that have tags or volumes are asked for them, if `columns` tells."""
    tagged = [row.uuid for row in rows if row.has_tags] if 'has_tags' in columns else []
    volumed = [row.uuid for row in rows if row.has_volumes] if 'has_volumes' in columns else []
    found, volumes = defaultdict(list), defaultdict(list)
    for uuid, tag in conn.execute(_TAGS, {'uuids': tagged}) if tagged else ():
        found[uuid].append(tag)
    for uuid, volume_id, dies in conn.execute(_VOLUMES, {'uuids': volumed}) if volumed else ():
        volumes[uuid].append((volume_id, bool(dies)))
    return Around(found, volumes, _reports(conn, {row.host for row in rows if row.host}) if reports else {})


def _reports(conn: sa.Connection, hosts: Iterable[str]) -> dict[str, Report]:
    wanted = sorted(hosts)
    if not wanted:
        return {}
    now = session.now(conn)
    return {row.host: Report(row.disabled, row.forced_down, None if row.last_seen_up is None else (
        now - row.last_seen_up).total_seconds()) for row in conn.execute(_REPORTS, {'hosts': wanted})}


# -- a search as shape and values --------------------------------------------------

def _shape(search: Search) -> Shape:
    return Shape(
        project=search.project_id is not None, deleted=search.deleted, soft_deleted=search.soft_deleted,
        changed_since=search.changed_since is not None, changed_before=search.changed_before is not None,
        equal=tuple((name, len(values)) for name, values in search.equal.items()),
        matching=tuple((name, _PLAIN.issuperset(text)) for name, text in search.matching.items()),
        at=tuple(search.at), address=tuple(search.address),
        tags=tuple((kind, len(set(wanted))) for kind, wanted in search.tags.items()),
        sort=tuple(search.sort), marker=search.marker is not None)


def _values(search: Search) -> dict[str, Any]:
    made: dict[str, Any] = {'limit': search.limit}
    if search.project_id is not None:
        made['project'] = search.project_id
    if search.changed_since is not None:
        made['since'] = search.changed_since
    if search.changed_before is not None:
        made['before'] = search.changed_before
    for name, values in search.equal.items():
        made[f'equal_{name}'] = values[0] if len(values) == 1 else list(values)
    for name, text in search.matching.items():
        made[f'part_{name}'] = text
    for name, when in search.at.items():
        made[f'at_{name}'], made[f'until_{name}'] = when, when + datetime.timedelta(seconds=1)
    for version, text in search.address.items():
        made[f'address{version}'] = address_pattern(version, text)
    for kind, wanted in search.tags.items():
        made[select.tags_bind(kind)] = wanted
    return made


def _marker(conn: sa.Connection, search: Search, shape: Shape) -> dict[str, Any]:
    values = {'uuid': search.marker}
    if search.project_id is not None:
        values['project'] = search.project_id
    at = conn.execute(select.marker(shape.project, shape.sort), values).first()
    if at is None:
        raise exception.MarkerNotFound(f'marker [{str(search.marker)[:64]}] not found')
    return {f'key{place}': value for place, value in enumerate(at)}


# -- expressions for addresses -------------------------------------------------------

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
