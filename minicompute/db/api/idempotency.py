"""Requests that may come again: the records behind `Idempotency-Key`.

A row is written before the request runs.  What the request then writes marks the row in its own transaction (`mark`,
by way of `session.guarded` or, for creates that share a transaction, by name), so that an effect and the knowledge of
it are one.  Who holds the row has a lease; a request that outlives its lease and was taken over cannot write any more.

The client's key is not in the row: its hash finds the row, and the key itself, with the row's salt, makes the secrets
that the answer needs (a generated password) and encrypts the answer.
"""
from __future__ import annotations

import dataclasses
import datetime
import hashlib
import hmac
import secrets
from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc
from oslo_utils import uuidutils

from minicompute import exception
from minicompute.conf import CONF
from minicompute.db import session
from minicompute.db.models import idempotency_keys as keys

#: for so long the same key gives the same answer
KEPT = datetime.timedelta(hours=24)
#: a request whose daemon was killed is taken over after so many seconds
LEASE = 10.0
#: and so many after it has written something: it may wait for a host then (changePassword: 15 s), and there is no hurry
#: to run again what was done
LEASE_OF_EFFECT = 60.0
#: rows of one DELETE
MOST = 500

_ROW = sa.select(keys).where(keys.c.identity == sa.bindparam('who'))


@dataclasses.dataclass(slots=True)
class Ticket:
    """A request with a key, while it runs. `effect` is what an earlier run of it wrote before it was killed: {} when
    nothing more is known than that it did, None when there was none."""

    identity: str
    key: bytes
    fingerprint: str
    project_id: str | None = None
    owner: str = dataclasses.field(default_factory=uuidutils.generate_uuid)
    salt: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))
    effect: dict[str, Any] | None = None
    marked: bool = False

    def secret(self, purpose: str) -> bytes:
        """The same 32 bytes each time that the same client asks with the same key, and nobody else's."""
        return hmac.digest(self.key, f'{self.salt}/{self.identity}/{purpose}'.encode(), hashlib.sha256)

    @property
    def done(self) -> bool:
        """An earlier run has written something of which the answer cannot be told again."""
        return self.effect == {}

    def mark(self, conn: sa.Connection, effect: dict[str, Any] | None = None) -> None:
        """What this transaction writes is the effect of the request. Raises Conflict when another run has it."""
        if self.done:
            raise AnswerLost
        values: dict[str, Any] = {'effect': effect}
        if effect is None:
            values = {'effect': {}, 'lease_until': session.now(conn) + datetime.timedelta(seconds=LEASE_OF_EFFECT)}
        found = conn.execute(keys.update().where(
            keys.c.identity == self.identity, keys.c.owner == self.owner).values(values))
        if found.rowcount != 1:
            raise TakenOver
        self.marked = True

    def unmark(self, conn: sa.Connection) -> None:
        """It was refused after all."""
        conn.execute(keys.update().where(
            keys.c.identity == self.identity, keys.c.owner == self.owner).values(effect=sa.null()))
        self.marked = False


class AnswerLost(exception.Conflict):
    msg_fmt = ('The request with this Idempotency-Key was carried out, but the daemon that did it was killed before it '
               'answered: look at what it asked for. It is not carried out again.')


class TakenOver(exception.Conflict):
    msg_fmt = ('The request with this Idempotency-Key took so long that its next attempt was let in before it. '
               'Ask again for the answer of that one.')


class OtherRequest(exception.Invalid):
    msg_fmt = 'Idempotency-Key: it was used for another request (its method, path, microversion or body differ)'
    code = 422


class TooManyKeys(exception.ComputeException):
    msg_fmt = ('Idempotency-Key: this project has used %(most)d keys in the last 24 hours, which are as many as are '
               'kept. The request was not carried out; without a key it can be.')
    code = 429


class StillRunning(exception.Conflict):
    msg_fmt = 'The request with this Idempotency-Key is being carried out: ask again in a moment.'


def identity(project_id: str | None, user_id: str | None, key: str) -> str:
    """Each user of each project has keys of its own."""
    return hashlib.sha256('\0'.join((project_id or '', user_id or '', key)).encode()).hexdigest()


def look(ticket: Ticket) -> str | None:
    """Begin to run it. -> the (encrypted) answer that it has already, with the ticket's salt set; None: run it.
    Raises OtherRequest, StillRunning."""
    while True:
        with session.read() as conn:
            row = conn.execute(_ROW, {'who': ticket.identity}).first()
            if row is not None and not _free(row, session.now(conn)):
                return _answered(row, ticket)
        try:
            session.write(_take, ticket)
            return None
        except (db_exc.DBDuplicateEntry, _Moved):
            continue     # somebody was faster: the next look sees what it did


class _Moved(Exception):
    pass


def _free(row: Any, now: datetime.datetime) -> bool:
    """Too old to count, or its daemon was killed."""
    return row.created_at < now - KEPT or row.answer is None and row.lease_until < now


def _answered(row: Any, ticket: Ticket) -> str:
    if row.fingerprint != ticket.fingerprint:
        raise OtherRequest
    if row.answer is None:
        raise StillRunning
    ticket.salt = row.salt
    return str(row.answer)


def _take(conn: sa.Connection, ticket: Ticket) -> None:
    now = session.now(conn)
    row = conn.execute(_ROW.with_for_update(), {'who': ticket.identity}).first()
    values = {'owner': ticket.owner, 'lease_until': now + datetime.timedelta(seconds=LEASE)}
    if row is None:
        _check_room(conn, ticket.project_id)
        conn.execute(keys.insert().values(
            identity=ticket.identity, project_id=ticket.project_id, fingerprint=ticket.fingerprint, salt=ticket.salt,
            created_at=now, **values))
        return
    if row.owner == ticket.owner:
        return     # our first try was committed, and nobody heard it
    if not _free(row, now):
        raise _Moved
    if row.created_at < now - KEPT:
        conn.execute(keys.update().where(keys.c.id == row.id).values(
            fingerprint=ticket.fingerprint, salt=ticket.salt, effect=sa.null(), answer=None, created_at=now, **values))
        return
    if row.fingerprint != ticket.fingerprint:
        raise OtherRequest
    ticket.salt, ticket.effect = row.salt, row.effect
    conn.execute(keys.update().where(keys.c.id == row.id).values(values))


def _check_room(conn: sa.Connection, project_id: str | None) -> None:
    """So many keys of a project are kept; none goes before its time, for then its request would be done twice.
    Raises TooManyKeys."""
    most = CONF.api.max_idempotency_keys
    if most < 0:
        return
    mine = sa.select(keys.c.id).where(keys.c.project_id == project_id).limit(most).subquery()
    if int(conn.scalar(sa.select(sa.func.count()).select_from(mine)) or 0) >= most:
        raise TooManyKeys(most=most)


def answer(conn: sa.Connection, ticket: Ticket, sealed: str) -> None:
    """Keep the answer; one that was taken over leaves it to the other."""
    conn.execute(keys.update().where(keys.c.identity == ticket.identity, keys.c.owner == ticket.owner).values(
        answer=sealed))


def forget(conn: sa.Connection, ticket: Ticket) -> bool:
    """The request may come again, if it has written nothing. -> whether that is so"""
    return conn.execute(keys.delete().where(
        keys.c.identity == ticket.identity, keys.c.owner == ticket.owner, keys.c.answer.is_(None),
        keys.c.effect.is_(None))).rowcount == 1


def purge(conn: sa.Connection) -> int:
    """Remove what is too old to count. -> how many, `MOST` at most."""
    old = list(conn.scalars(sa.select(keys.c.id).where(
        keys.c.created_at < session.now(conn) - KEPT).order_by(keys.c.created_at).limit(MOST)))
    if old:
        conn.execute(keys.delete().where(keys.c.id.in_(old)))
    return len(old)
