"""What may be in the way of any action, whatever it does: the lock that owners and administrators put on a server."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from minicompute import exception
from minicompute.compute.api import ring
from minicompute.compute.api.lookup import scope
from minicompute.context import RequestContext
from minicompute.db import session
from minicompute.db.api import actions, instance_list, instances
from minicompute.objects import Instance

OWNER, ADMIN = 'owner', 'admin'
_COLUMNS = ('uuid', 'project_id', 'user_id', 'locked', 'locked_by')


def check_lock(context: RequestContext, instance: Instance) -> None:
    """A locked server is changed by administrators only. Raises InstanceIsLocked."""
    if instance.locked and not context.is_admin:
        raise exception.InstanceIsLocked(instance_uuid=instance.uuid)


def lock(context: RequestContext, uuid: str, allow: Callable[[Any], None], reason: str | None) -> None:
    """Whoever owns a server that is locked changes nothing; an administrator makes the lock his own. A reason stays
    until another is given. Raises InstanceNotFound, and what `allow(row)` does."""
    def write(conn: sa.Connection) -> None:
        row = instance_list.one(conn, uuid, _COLUMNS, project_id=scope(context), lock=True)
        allow(row)
        by = _who(context, row)
        if row.locked and by == OWNER:
            return
        instances.update(conn, uuid, {'locked': True, 'locked_by': by,
                                      **({'locked_reason': reason} if reason else {})})
        _record(conn, context, row, 'lock')
    session.write(write)


def unlock(context: RequestContext, uuid: str, allow: Callable[[Any], None],
           override: Callable[[Any], None]) -> None:
    """`override(row)` is asked as well when somebody else holds the lock. Raises InstanceNotFound, and what they do."""
    def write(conn: sa.Connection) -> None:
        row = instance_list.one(conn, uuid, _COLUMNS, project_id=scope(context), lock=True)
        allow(row)
        if row.locked_by not in (None, _who(context, row)):
            override(row)
        instances.update(conn, uuid, {'locked': False, 'locked_by': None, 'locked_reason': None})
        _record(conn, context, row, 'unlock')
    session.write(write)


def _who(context: RequestContext, row: Any) -> str:
    return OWNER if row.project_id == context.project_id else ADMIN


def _record(conn: sa.Connection, context: RequestContext, row: Any, name: str) -> None:
    instance = Instance(uuid=row.uuid, project_id=row.project_id, user_id=row.user_id)
    actions.record(conn, ring.new_action(context, instance, name, name, ''), f'api_{name}')
