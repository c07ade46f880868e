"""Quotas as operators read and change them: of a project, of one of its users, and of a class.

The resources have the API's names here; that of a path's length is another one in the configuration.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import sqlalchemy as sa

from minicompute import exception
from minicompute.db import session
from minicompute.db.api import instance_groups, instances
from minicompute.db.api import quotas as db

_STORED = {'injected_file_path_bytes': 'injected_file_path_length'}
_SHOWN = {stored: shown for shown, stored in _STORED.items()}
RESOURCES = tuple(sorted(_SHOWN.get(name, name) for name in (*db.DEFAULTS, *db.NETWORK)))


class LimitTooLow(exception.Invalid):
    msg_fmt = 'Quota limit %(limit)s for %(resource)s must not be below %(bound)s, which is in use or given to users.'


class LimitTooHigh(exception.Invalid):
    msg_fmt = ('Quota limit %(limit)s for %(resource)s must not be above %(bound)s, which is what the project has left '
               'to give to this user.')


@dataclasses.dataclass(slots=True, frozen=True)
class Quota:
    """One resource: what may be had (-1: any number), and what is."""

    limit: int
    in_use: int


def show(project_id: str, user_id: str | None = None) -> dict[str, int]:
    """{resource: limit} of the project, or of one of its users."""
    with session.read() as conn:
        return _limits(conn, project_id, user_id)


def detail(project_id: str, user_id: str | None = None) -> dict[str, Quota]:
    with session.read() as conn:
        used = usage(conn, project_id, user_id)
        return {name: Quota(limit, used[name]) for name, limit in _limits(conn, project_id, user_id).items()}


def defaults() -> dict[str, int]:
    return show_class(db.DEFAULT_CLASS)


def show_class(name: str) -> dict[str, int]:
    with session.read() as conn:
        return _shown(db.of_class(conn, name))


def update(project_id: str, user_id: str | None, changes: Mapping[str, int], *, force: bool) -> dict[str, int]:
    """Unless by force a limit is not set below what is used or given to users, nor a user's above what the project
    has. -> all limits as they are then. Raises LimitTooLow, LimitTooHigh."""
    def write(conn: sa.Connection) -> dict[str, int]:
        instances.lock_project(conn, project_id)      # creates count under it, too
        if changes and not force:
            _check(conn, project_id, user_id, changes)
        stored = {_STORED.get(name, name): limit for name, limit in changes.items()}
        mine = {name: limit for name, limit in stored.items() if user_id and name not in db.OF_PROJECTS}
        db.put(conn, {name: limit for name, limit in stored.items() if name not in mine}, project_id)
        if user_id:
            db.put(conn, mine, project_id, scope=db.USER, user_id=user_id)
        return _limits(conn, project_id, user_id)
    return session.write(write)


def update_class(name: str, changes: Mapping[str, int]) -> dict[str, int]:
    """The class `default` is what projects have of which nothing was said. -> all limits of the class."""
    def write(conn: sa.Connection) -> dict[str, int]:
        db.put(conn, {_STORED.get(key, key): limit for key, limit in changes.items()}, name, scope=db.CLASS)
        return _shown(db.of_class(conn, name))
    return session.write(write)


def delete(project_id: str, user_id: str | None = None) -> None:
    """Return to the defaults, with all users of the project, or for one user to the project's limits."""
    session.write(db.forget, project_id, user_id or '')


def usage(conn: sa.Connection, project_id: str, user_id: str | None = None) -> dict[str, int]:
    """{resource: in use}. What belongs to a user or to a group and not to a project counts nothing here."""
    return {**dict.fromkeys(RESOURCES, 0), **instances.usage(conn, project_id, user_id),
            'server_groups': instance_groups.count(conn, project_id, user_id)}


def _limits(conn: sa.Connection, project_id: str, user_id: str | None) -> dict[str, int]:
    of_project, of_user = db.both(conn, project_id, user_id or '')
    return _shown(of_user if user_id else of_project)


def _shown(limits: Mapping[str, int]) -> dict[str, int]:
    return {_SHOWN.get(name, name): limit for name, limit in limits.items()}


def _check(conn: sa.Connection, project_id: str, user_id: str | None, changes: Mapping[str, int]) -> None:
    of_project, given = _limits(conn, project_id, None), _shown(db.given_to_users(conn, project_id))
    own = _shown(db.of_user(conn, project_id, user_id)) if user_id else {}
    used = usage(conn, project_id, user_id)
    for name, limit in changes.items():
        left, mine = of_project[name] - given.get(name, 0), own.get(name, 0)
        low, high = used[name], -1
        if user_id and left >= 0 and mine >= 0:
            high = left + mine
        elif not user_id and of_project[name] >= 0 and left >= 0:
            low = max(low, given.get(name, 0))
        if _endless(limit) < _endless(low):
            raise LimitTooLow(limit=limit, resource=name, bound=low)
        if _endless(limit) > _endless(high):
            raise LimitTooHigh(limit=limit, resource=name, bound=high)


def _endless(limit: int) -> float:
    return float('inf') if limit == -1 else limit
