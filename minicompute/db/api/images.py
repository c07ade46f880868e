"""Images of the local store. Functions take an open connection; nothing here looks at files."""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute import exception
from minicompute.db import session
from minicompute.db.models import images
from minicompute.objects import ImageMeta

#: being deleted: nobody sees it any more, its file may still be there
GONE = 'pending_delete'
#: rows that a page which is filtered by documents reads at once
LEAST = 200

_FIELDS = {field.name: images.c['uuid' if field.name == 'id' else field.name]
           for field in dataclasses.fields(ImageMeta)}

# NULL sorts first on some databases and last on others, and cannot be compared with: it is '' or -1 here.
SORTABLE: dict[str, sa.ColumnElement[Any]] = {
    'id': images.c.uuid, 'created_at': images.c.created_at, 'updated_at': images.c.updated_at,
    'name': sa.func.coalesce(images.c.name, ''), 'status': images.c.status,
    'container_format': sa.func.coalesce(images.c.container_format, ''),
    'disk_format': sa.func.coalesce(images.c.disk_format, ''), 'size': sa.func.coalesce(images.c.size, -1)}

#: compared as they are: a value, or a list of which one must be it
PLAIN = ('id', 'name', 'status', 'visibility', 'owner', 'disk_format', 'container_format', 'protected',
         'min_disk', 'min_ram', 'checksum', 'os_hash_algo', 'os_hash_value')
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    'eq': lambda a, b: a == b, 'neq': lambda a, b: a != b, 'gt': lambda a, b: a > b,
    'gte': lambda a, b: a >= b, 'lt': lambda a, b: a < b, 'lte': lambda a, b: a <= b}

Sort = Sequence[tuple[str, str]]
Keys = list[tuple[sa.ColumnElement[Any], bool]]    # and whether it goes down
NEWEST_FIRST: Sort = (('created_at', 'desc'), ('id', 'desc'))


@dataclasses.dataclass(slots=True, frozen=True)
class Viewer:
    """Whose eyes a list is for."""

    project_id: str | None
    is_admin: bool = False


def _meta(row: Any) -> ImageMeta:
    image = ImageMeta(**row._mapping)
    image.tags = image.tags or []
    image.properties = image.properties or {}
    return image


def _select() -> sa.Select[Any]:
    return sa.select(*(column.label(name) for name, column in _FIELDS.items())).where(images.c.status != GONE)


#: made once: each create of a server asks it
_BY_ID = _select().where(images.c.uuid.in_(sa.bindparam('uuids', expanding=True)))


def insert(conn: sa.Connection, meta: ImageMeta) -> None:
    """Raises Conflict when the id is taken."""
    values = {_FIELDS[f.name].name: getattr(meta, f.name) for f in dataclasses.fields(meta)}
    values['created_at'] = values['updated_at'] = session.utcnow()
    try:
        conn.execute(images.insert().values(**values))
    except db_exc.DBDuplicateEntry:
        raise exception.Conflict(f'Image ID {meta.id} already exists.') from None


def get(conn: sa.Connection, image_id: str) -> ImageMeta | None:
    return next(iter(get_many(conn, [image_id])), None)


def get_many(conn: sa.Connection, image_ids: Iterable[str]) -> list[ImageMeta]:
    """Those of them that are there."""
    return [_meta(row) for row in conn.execute(_BY_ID, {'uuids': list(image_ids)})]


def change(conn: sa.Connection, image_id: str, *, was: str | None = None, **values: Any) -> bool:
    """-> whether the image was there, in status `was` when that is given."""
    query = images.update().where(images.c.uuid == image_id, images.c.status != GONE)
    if was is not None:
        query = query.where(images.c.status == was)
    return conn.execute(query.values(updated_at=session.utcnow(), **values)).rowcount > 0


def remove(conn: sa.Connection, image_id: str) -> None:
    """The row of an image whose file is gone."""
    conn.execute(images.delete().where(images.c.uuid == image_id, images.c.status == GONE))


def in_status(conn: sa.Connection, status: str, age: datetime.timedelta | None = None) -> list[str]:
    """With `age` only those that nothing has changed for so long."""
    query = sa.select(images.c.uuid).where(images.c.status == status)
    if age is not None:
        query = query.where(images.c.updated_at < session.utcnow() - age)
    return list(conn.scalars(query))


# -- lists -------------------------------------------------------------------

def visible(viewer: Viewer, visibility: str | None) -> sa.ColumnElement[bool]:
    """Glance's rule. Others' community images are listed only when they are asked for, or `all` are."""
    own = images.c.owner == viewer.project_id if viewer.project_id else sa.false()
    shown = ['public', 'community'] if visibility in ('community', 'all') else ['public']
    rule = sa.true() if viewer.is_admin else sa.or_(own, images.c.visibility.in_(shown))
    if visibility in (None, 'all'):
        return rule
    return sa.and_(rule, images.c.visibility == visibility)


def page(conn: sa.Connection, viewer: Viewer, *, filters: dict[str, Any] | None = None,
         sort: Sort = NEWEST_FIRST, limit: int | None = None, marker: str | None = None) -> list[ImageMeta]:
    """`filters`: the names in PLAIN, `size_min`, `size_max`, `created_at` and `updated_at` as lists of
    (operator, time), `tags` (all of them), `properties` (equal as text).  Raises MarkerNotFound."""
    filters = dict(filters or {})
    keys = _keys(sort)
    query = _select().where(visible(viewer, filters.pop('visibility', None)), *_conditions(filters))
    query = query.order_by(*(column.desc() if down else column.asc() for column, down in keys))
    after = None if marker is None else _position(conn, keys, marker)
    found: list[ImageMeta] = []
    # A filter that few match must not cost a query for each image.
    size = None if limit is None else max(limit, LEAST)
    while True:
        # Tags and properties are documents, which no database looks into: what does not match is made up
        # for by a further page.
        batch = query if after is None else query.where(_behind(keys, after))
        rows = [_meta(row) for row in conn.execute(batch.limit(size))]
        found += [image for image in rows if _matches(image, filters)]
        if limit is None or size is None or len(rows) < size or len(found) >= limit:
            return found[:limit]
        after = _position(conn, keys, str(rows[-1].id))


def _keys(sort: Sort) -> Keys:
    names = [name for name, _ in sort]
    rest = [] if 'id' in names else [('id', sort[-1][1] if sort else 'desc')]
    return [(SORTABLE[name], direction == 'desc') for name, direction in [*sort, *rest]]


def _position(conn: sa.Connection, keys: Keys, image_id: str) -> Sequence[Any]:
    row = conn.execute(sa.select(*(column for column, _ in keys)).where(images.c.uuid == image_id)).first()
    if row is None:
        raise exception.MarkerNotFound(marker=image_id)
    return list(row)


def _behind(keys: Keys, at: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Rows after `at` in the order of `keys`: equal in the first n keys, beyond in the next."""
    cases = []
    for index, (column, down) in enumerate(keys):
        equal = [other == value for (other, _), value in zip(keys[:index], at, strict=False)]
        cases.append(sa.and_(*equal, column < at[index] if down else column > at[index]))
    return sa.or_(*cases)


def _conditions(filters: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    made: list[sa.ColumnElement[bool]] = []
    for name in PLAIN:
        if name in filters:
            value = filters[name]
            made.append(_FIELDS[name].in_(value) if isinstance(value, list) else _FIELDS[name] == value)
    if 'size_min' in filters:
        made.append(images.c.size >= filters['size_min'])
    if 'size_max' in filters:
        made.append(images.c.size <= filters['size_max'])
    for name in ('created_at', 'updated_at'):
        times: list[tuple[str, datetime.datetime]] = filters.get(name, [])
        made += [_COMPARE[operator](images.c[name], time) for operator, time in times]
    return made


def _matches(image: ImageMeta, filters: dict[str, Any]) -> bool:
    wanted = filters.get('properties', {})
    return (set(filters.get('tags', ())) <= set(image.tags)
            and all(str(image.properties.get(name)) == str(value) for name, value in wanted.items())
            and filters.get('os_hidden', False) == is_hidden(image))


def is_hidden(image: ImageMeta) -> bool:
    """`os_hidden` has no column: it lies with the properties."""
    return str(image.properties.get('os_hidden', False)).lower() == 'true'
