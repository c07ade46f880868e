"""Events: what followers of a project's servers are told.

    note       in the transaction of a change: one INSERT for all servers that it changes
    sequence   gives committed events their number, one who does it at a time
    since      what comes after a number

`id` is given when a row is inserted, and transactions commit in another order: who has read up to 7 may find 6 there
later.  `seq` is given to rows that are committed, under a lock, so that what is read up to a number stays complete.
Who follows does it; without followers the conductor does, once a minute and before it purges: nobody finds a day's
worth to number, and what is removed had a number, so that a gap is seen.
"""
from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.models import event_heads as heads
from minicompute.db.models import events, instances
from minicompute.db.session import utcnow

CREATED, CHANGED, DELETED = 'created', 'changed', 'deleted'
#: the columns of a server whose change is an event
SHOWN = frozenset(('vm_state', 'task_state', 'power_state', 'host', 'display_name', 'flavor', 'image_ref', 'locked',
                   'metadata', 'fault', 'availability_zone'))
#: servers of one INSERT, events of one UPDATE, and of one DELETE
MOST = 500

_HEAD = 'events'
_KIND, _NOW = sa.bindparam('kind', type_=events.c.kind.type), sa.bindparam('now', type_=events.c.created_at.type)
_NOTE = events.insert().from_select(
    ['kind', 'instance_uuid', 'project_id', 'name', 'vm_state', 'task_state', 'power_state', 'host', 'created_at'],
    sa.select(_KIND, instances.c.uuid, instances.c.project_id, instances.c.display_name,
              instances.c.vm_state, instances.c.task_state, instances.c.power_state, instances.c.host,
              _NOW).where(
                  instances.c.uuid.in_(sa.bindparam('uuids', expanding=True))))
_NEW = sa.select(events.c.id).where(events.c.seq.is_(None)).order_by(events.c.id).limit(MOST)
_ANY = sa.select(events.c.id).where(events.c.seq.is_(None)).limit(1)
_HIGHEST = sa.select(heads.c.seq).where(heads.c.name == _HEAD)


@dataclasses.dataclass(slots=True, frozen=True)
class Event:
    seq: int
    kind: str
    instance_uuid: str
    project_id: str
    name: str | None
    vm_state: str
    task_state: str | None
    power_state: int | None
    host: str | None
    created_at: datetime.datetime


_SHOWN = [events.c[field.name] for field in dataclasses.fields(Event)]


def kept() -> bool:
    return bool(CONF.events.keep_hours)


def note(conn: sa.Connection, uuids: Collection[str], kind: str = CHANGED) -> None:
    """These servers are as they will be when the transaction is committed."""
    if not uuids or not CONF.events.keep_hours:
        return
    some, now = sorted(uuids), utcnow()
    for start in range(0, len(some), MOST):
        conn.execute(_NOTE, {'kind': kind, 'now': now, 'uuids': some[start:start + MOST]})


def head(conn: sa.Connection) -> int:
    """The last number that was given."""
    return int(conn.execute(_HIGHEST).scalar() or 0)


def sequence() -> None:
    """Number what is committed and has none yet."""
    while True:
        with session.read() as conn:
            if conn.execute(_ANY).first() is None:
                return
        try:
            if session.write(_sequence) < MOST:
                return
        except db_exc.DBDuplicateEntry:
            continue     # two made the row of the head at once


def _sequence(conn: sa.Connection) -> int:
    """-> how many"""
    last = conn.execute(_HIGHEST.with_for_update()).scalar()
    if last is None:
        conn.execute(heads.insert().values(name=_HEAD, seq=0))
    last = int(last or 0)
    ids = list(conn.scalars(_NEW))
    if ids:
        ahead = max(0, last + 1 - ids[0])
        conn.execute(events.update().where(events.c.id.in_(ids)).values(seq=events.c.id + ahead))
        conn.execute(heads.update().where(heads.c.name == _HEAD).values(seq=ids[-1] + ahead))
    return len(ids)


def since(conn: sa.Connection, seq: int, *, project_id: str | None = None, instance_uuid: str | None = None,
          limit: int = MOST) -> Sequence[Event]:
    """What comes after `seq`, in its order."""
    query = sa.select(*_SHOWN).where(events.c.seq > seq).order_by(events.c.seq).limit(limit)
    if project_id is not None:
        query = query.where(events.c.project_id == project_id)
    if instance_uuid is not None:
        query = query.where(events.c.instance_uuid == instance_uuid)
    return [Event(*row) for row in conn.execute(query)]


def complete_since(conn: sa.Connection, seq: int) -> bool:
    """Whether nothing that came after `seq` has been removed."""
    oldest = conn.execute(sa.select(sa.func.min(events.c.seq)).where(events.c.seq.is_not(None))).scalar()
    return seq >= (head(conn) if oldest is None else int(oldest) - 1)


def purge(conn: sa.Connection) -> int:
    """Remove what is older than [events] keep_hours. -> how many, `MOST` at most."""
    until = session.now(conn) - datetime.timedelta(hours=CONF.events.keep_hours)
    old = list(conn.scalars(sa.select(events.c.id).where(events.c.created_at < until).order_by(
        events.c.created_at).limit(MOST)))
    if old:
        conn.execute(events.delete().where(events.c.id.in_(old)))
    return len(old)


def state_of(conn: sa.Connection, uuid: str) -> Any:
    """A server's columns that an event shows, deleted or not; None: there never was one."""
    return conn.execute(sa.select(
        instances.c.uuid, instances.c.project_id, instances.c.user_id, instances.c.display_name, instances.c.vm_state,
        instances.c.task_state, instances.c.power_state, instances.c.deleted).where(instances.c.uuid == uuid)).first()
