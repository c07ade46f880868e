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
#: of a network service that is not ours any more: they are kept for who sets and shows them, and bound nothing
NETWORK = ('fixed_ips', 'floating_ips', 'security_groups', 'security_group_rules')
#: limits of the project as a whole, whichever user they are set for
OF_PROJECTS = ('fixed_ips', 'floating_ips')
_NO_BOUND = dict.fromkeys(NETWORK, -1)


def configured() -> dict[str, int]:
    return {**{name: CONF.quota[name] for name in DEFAULTS}, **_NO_BOUND}


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


def of_class(conn: sa.Connection, name: str = DEFAULT_CLASS) -> dict[str, int]:
    """The limits of a class; those of `default` are what a project has of which nothing was said."""
    return {**configured(), **_set(conn, CLASS, name)}


def of_user(conn: sa.Connection, project_id: str, user_id: str) -> dict[str, int]:
    """What was set for this user of the project."""
    return _set(conn, USER, project_id, user_id)


def given_to_users(conn: sa.Connection, project_id: str) -> dict[str, int]:
    """{resource: sum} of what was set for users of the project."""
    query = sa.select(quotas.c.resource, sa.func.sum(quotas.c.hard_limit)).where(
        quotas.c.scope == USER, quotas.c.project_id == project_id).group_by(quotas.c.resource)
    return {resource: int(total) for resource, total in conn.execute(query)}


def _set(conn: sa.Connection, scope: str, name: str, user_id: str = '') -> dict[str, int]:
    rows = conn.execute(sa.select(quotas.c.resource, quotas.c.hard_limit).where(_is(scope, name, user_id)))
    return {row.resource: row.hard_limit for row in rows}


def put(conn: sa.Connection, values: Mapping[str, int], project_id: str, *, scope: str = PROJECT,
        user_id: str = '') -> None:
    """Set these limits; the others stay."""
    if values:
        conn.execute(quotas.delete().where(_is(scope, project_id, user_id), quotas.c.resource.in_(list(values))))
        conn.execute(quotas.insert(), [
            {'scope': scope, 'project_id': project_id, 'user_id': user_id, 'resource': name, 'hard_limit': most}
            for name, most in values.items()])


def forget(conn: sa.Connection, project_id: str, user_id: str = '') -> None:
    """Return the user to the project's limits; without one, the project and all its users to the defaults."""
    mine = _is(USER, project_id, user_id) if user_id else sa.and_(
        quotas.c.scope.in_((PROJECT, USER)), quotas.c.project_id == project_id)
    conn.execute(quotas.delete().where(mine))


def _is(scope: str, project_id: Any, user_id: Any) -> sa.ColumnElement[bool]:
    return sa.and_(quotas.c.scope == scope, quotas.c.project_id == project_id, quotas.c.user_id == user_id)


#: made once: each create asks it
_LIMITS = sa.select(quotas.c.scope, quotas.c.resource, quotas.c.hard_limit).where(sa.or_(
    _is(CLASS, DEFAULT_CLASS, ''), _is(PROJECT, sa.bindparam('project'), ''),
    _is(USER, sa.bindparam('project'), sa.bindparam('user'))))
