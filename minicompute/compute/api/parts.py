"""What a user writes on a server without its host knowing: names, metadata, tags.

Each change is one transaction that holds the server's row.  `allow(row)` is the policy's question, which
the resource asks of the server that was found.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa

from minicompute import exception, quota
from minicompute.compute import states
from minicompute.compute.api.lookup import scope
from minicompute.conf import CONF
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import aggregates, instance_list, instances, tags
from minicompute.objects import RequestSpec

MOST_TAGS = 50
Allow = Callable[[Any], None]
T = TypeVar('T')
#: what a lock does not stop: tags are about the server, not in it
PAST_LOCK = frozenset(('update_tags',))
_COLUMNS = ('uuid', 'project_id', 'user_id', 'vm_state', 'task_state', 'locked', 'metadata', 'launched_at')


def find(context: RequestContext, uuid: str, allow: Allow, *columns: str, of_all: bool = False) -> Any:
    """Columns of a live server that the caller may see; `of_all`: `allow` alone refuses the servers of other projects.
    Raises InstanceNotFound."""
    with session.read() as conn:
        row = instance_list.one(conn, uuid, ('uuid', 'project_id', 'user_id', *columns),
                                project_id=None if of_all else scope(context))
    allow(row)
    return row


def update(context: RequestContext, uuid: str, allow: Allow, changes: dict[str, Any], *, pin: bool = False,
           zone: str | None = None) -> None:
    """Change columns that only the API reads; `pin`: also pin the server to the `zone` that it is in, or let it go
    (None). All or nothing. Raises InstanceNotFound, Conflict."""
    def write(conn: sa.Connection) -> None:
        row = instance_list.one(conn, uuid, (*_COLUMNS, 'host'), project_id=scope(context), lock=True)
        allow(row)
        pinned = {'request_spec': _pinned(conn, row, zone)} if pin else {}
        instances.update(conn, uuid, {**changes, **pinned})
    session.write(write)


def _pinned(conn: sa.Connection, row: Any, zone: str | None) -> RequestSpec:
    """The server's request with that zone. Raises Conflict."""
    spec = instances.specs(conn, [row.uuid]).get(row.uuid)
    if spec is None:
        raise exception.Conflict(f'The request of instance {row.uuid} is not in the records.')
    if zone is not None:
        pinned = spec.availability_zone
        if pinned is not None and zone != pinned:
            raise exception.Conflict(f'The server is pinned to availability zone {pinned}: set '
                                     'pinned_availability_zone to null before another one.')
        here = aggregates.zones(conn).get(row.host, CONF.default_availability_zone)
        if pinned is None and row.host is not None and zone != here:
            raise exception.Conflict(f'The server is in availability zone {here}: it cannot be pinned to '
                                     f'{zone} where it stands.')
    spec.availability_zone = zone
    return spec


# -- metadata --------------------------------------------------------------------

def change_metadata(context: RequestContext, uuid: str, allow: Allow,
                    change: Callable[[dict[str, str]], dict[str, str]]) -> dict[str, str]:
    """`change(what is there)` -> what shall be. Raises MetadataLimitExceeded, Conflict, or what `change` does."""
    def write(conn: sa.Connection) -> dict[str, str]:
        row = _to_change(conn, context, uuid, allow, 'update_metadata')
        before = document(row.metadata)
        after = change(dict(before))
        if after.keys() - before.keys() or len(after) == len(before):    # to remove some is never too much
            quota.check_metadata(quota.limits(conn, row.project_id, row.user_id), len(after))
        instances.update(conn, uuid, {'metadata': after})
        return after
    return session.write(write)


def document(text: str | None) -> dict[str, Any]:
    """A column of a narrow row that holds a document."""
    return orjson.loads(text) if text else {}


def _to_change(conn: sa.Connection, context: RequestContext, uuid: str, allow: Allow, rule: str, *,
               of_all: bool = False) -> Any:
    """Held until the transaction ends; `of_all` as in `find`. Raises InstanceNotFound, InstanceIsLocked,
    InstanceInvalidState."""
    row = instance_list.one(conn, uuid, _COLUMNS, project_id=None if of_all else scope(context), lock=True)
    allow(row)
    if row.locked and not context.is_admin and rule not in PAST_LOCK:
        raise exception.InstanceIsLocked(instance_uuid=uuid)
    states.check(rule, uuid, row.vm_state, row.task_state, method=rule.replace('_', ' '),
                 launched=bool(row.launched_at))
    return row


# -- tags ------------------------------------------------------------------------

# As in Nova the tags (and shares) of another project's server are forbidden, where all else is not to be found.

def list_tags(context: RequestContext, uuid: str, allow: Allow) -> list[str]:
    row = find(context, uuid, allow, of_all=True)
    with session.read() as conn:
        return tags.of(conn, row.uuid)


def replace_tags(context: RequestContext, uuid: str, allow: Allow, wanted: Sequence[str]) -> list[str]:
    def replace(conn: sa.Connection) -> None:
        tags.remove_all(conn, uuid)
        tags.add(conn, uuid, wanted)
    _change_tags(context, uuid, allow, replace)
    return sorted(set(wanted))


def add_tag(context: RequestContext, uuid: str, allow: Allow, tag: str) -> bool:
    """-> whether it is new. Raises TagLimitExceeded."""
    def add(conn: sa.Connection) -> bool:
        there = tags.of(conn, uuid)
        if tag in there:
            return False
        if len(there) >= MOST_TAGS:
            raise exception.TagLimitExceeded(limit=MOST_TAGS)
        tags.add(conn, uuid, [tag])
        return True
    return _change_tags(context, uuid, allow, add)


def remove_tag(context: RequestContext, uuid: str, allow: Allow, tag: str) -> None:
    """Raises TagNotFound."""
    _change_tags(context, uuid, allow, lambda conn: tags.remove(conn, uuid, tag))


def _change_tags(context: RequestContext, uuid: str, allow: Allow, change: Callable[[sa.Connection], T]) -> T:
    """`change` under the server's lock; what it answers False to was no change."""
    def write(conn: sa.Connection) -> T:
        _to_change(conn, context, uuid, allow, 'update_tags', of_all=True)
        changed = change(conn)
        if changed is not False:
            instances.update(conn, uuid, {})
        return changed
    return session.write(write)
