"""Quotas: the configuration's defaults, over them the class `default`, over these the project's own."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from minicompute.conf import CONF
from minicompute.conf.quota import DEFAULTS
from minicompute.db.models import quotas

PROJECT, USER, CLASS = 'project', 'user', 'class'
DEFAULT_CLASS = 'default'


def configured() -> dict[str, int]:
    return {name: CONF.quota[name] for name in DEFAULTS}


def limits(conn: sa.Connection, project_id: str, user_id: str = '') -> dict[str, int]:
    """{resource: most}, -1 for no bound, in one query."""
    return both(conn, project_id, user_id)[1]


def both(conn: sa.Connection, project_id: str, user_id: str) -> tuple[dict[str, int], dict[str, int]]:
    """The limits of the project, and over them those of its user, in one query."""
    by_scope: dict[str, dict[str, int]] = {}
    for scope, resource, hard_limit in conn.execute(_LIMITS, {'project': project_id, 'user': user_id}):
        by_scope.setdefault(scope, {})[resource] = hard_limit
    of_project = {**configured(), **by_scope.get(CLASS, {}), **by_scope.get(PROJECT, {})}
    return of_project, {**of_project, **by_scope.get(USER, {})}


def defaults(conn: sa.Connection) -> dict[str, int]:
    """What a project has of which nothing was said."""
    rows = conn.execute(sa.select(quotas.c.resource, quotas.c.hard_limit).where(_is(CLASS, DEFAULT_CLASS, '')))
    return {**configured(), **{row.resource: row.hard_limit for row in rows}}


def put(conn: sa.Connection, values: Mapping[str, int], project_id: str, *, scope: str = PROJECT,
        user_id: str = '') -> None:
    """Set these limits; the others stay."""
    conn.execute(quotas.delete().where(_is(scope, project_id, user_id), quotas.c.resource.in_(list(values))))
    if values:
        conn.execute(quotas.insert(), [
            {'scope': scope, 'project_id': project_id, 'user_id': user_id, 'resource': name, 'hard_limit': most}
            for name, most in values.items()])


def forget(conn: sa.Connection, project_id: str, *, scope: str = PROJECT, user_id: str = '') -> None:
    """Return to the defaults."""
    conn.execute(quotas.delete().where(_is(scope, project_id, user_id)))


def _is(scope: str, project_id: Any, user_id: Any) -> sa.ColumnElement[bool]:
    return sa.and_(quotas.c.scope == scope, quotas.c.project_id == project_id, quotas.c.user_id == user_id)


#: made once: each create asks it
_LIMITS = sa.select(quotas.c.scope, quotas.c.resource, quotas.c.hard_limit).where(sa.or_(
    _is(CLASS, DEFAULT_CLASS, ''), _is(PROJECT, sa.bindparam('project'), ''),
    _is(USER, sa.bindparam('project'), sa.bindparam('user'))))
