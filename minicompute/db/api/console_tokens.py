"""Tokens of consoles: each opens one console once, for as long as nothing has happened to its server.

What ends a token is looked for when it is used: that costs no flow a statement, and no flow can forget it.
"""
from __future__ import annotations

import datetime
import hashlib

import sqlalchemy as sa

from minicompute import exception
from minicompute.db.models import console_auth_tokens as tokens
from minicompute.db.models import instance_actions, instances
from minicompute.db.session import now
from minicompute.objects import ConsoleToken, TaskState, VMState

_COLUMNS = [tokens.c[name] for name in ConsoleToken.__dataclass_fields__]

#: a server has no console that somebody may see while it is in one of these
BUSY = (TaskState.DELETING, TaskState.SOFT_DELETING, TaskState.MIGRATING)
OFF = (VMState.BUILDING, VMState.STOPPED, VMState.SUSPENDED, VMState.SHELVED, VMState.SHELVED_OFFLOADED,
       VMState.SOFT_DELETED, VMState.DELETED)
#: flows that leave a guest where it runs, and its console what it was; after any other a new token is due
HARMLESS = ('attach_volume', 'detach_volume', 'swap_volume', 'attach_interface', 'detach_interface', 'snapshot',
            'pause', 'unpause', 'trigger_crash_dump', 'set_password', 'inject_network_info')


def digest(token: str) -> str:
    """What is kept of a token. It has 122 random bits: no salt, no stretching."""
    return hashlib.sha256(token.encode('utf-8', 'surrogatepass')).hexdigest()


def create(conn: sa.Connection, token: ConsoleToken, ttl: int) -> ConsoleToken:
    """It expires after `ttl` seconds of the database's clock; what has expired goes."""
    at = now(conn)
    token.created_at, token.expires_at = at, at + datetime.timedelta(seconds=ttl)
    conn.execute(tokens.delete().where(tokens.c.expires_at <= at))
    values = {column.name: getattr(token, column.name) for column in _COLUMNS if column.name != 'id'}
    conn.execute(tokens.insert().values(**values))
    return token


def find(conn: sa.Connection, token: str) -> ConsoleToken:
    """Without using it up. Raises ConsoleTokenInvalid."""
    row = conn.execute(sa.select(*_COLUMNS).where(
        tokens.c.token_hash == digest(token), tokens.c.expires_at > now(conn))).first()
    found = ConsoleToken(**row._mapping) if row is not None else None
    if found is None or not _still_there(conn, found):
        raise exception.ConsoleTokenInvalid
    return found


def use(conn: sa.Connection, token: str, *kinds: str) -> ConsoleToken:
    """Use it up, for a console of one of these kinds: of two that come at a time one gets it.
    Raises ConsoleTokenInvalid."""
    found = find(conn, token)
    if found.console_type not in kinds or not conn.execute(tokens.delete().where(tokens.c.id == found.id)).rowcount:
        raise exception.ConsoleTokenInvalid
    return found


def _still_there(conn: sa.Connection, token: ConsoleToken) -> bool:
    """The server lives where it did, and nothing has stopped, moved or made it anew since."""
    server = conn.execute(sa.select(instances.c.host, instances.c.vm_state, instances.c.task_state).where(
        instances.c.uuid == token.instance_uuid, instances.c.deleted == 0)).first()
    if server is None or server.host != token.compute_host or server.vm_state in OFF or server.task_state in BUSY:
        return False
    since = conn.execute(sa.select(instance_actions.c.id).where(
        instance_actions.c.instance_uuid == token.instance_uuid, instance_actions.c.start_time > token.created_at,
        instance_actions.c.flow.not_in(HARMLESS)).limit(1)).first()
    return since is None
