"""Key pairs of users."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from oslo_db import exception as db_exc

from minicompute import exception
from minicompute.db import watch
from minicompute.db.models import key_pairs
from minicompute.db.session import utcnow
from minicompute.objects import KeyPair

_COLUMNS = [key_pairs.c[name] for name in KeyPair.__dataclass_fields__]


def from_row(row: Any) -> KeyPair:
    return KeyPair(**row._mapping)


def get(conn: sa.Connection, user_id: str, name: str) -> KeyPair:
    """Raises KeypairNotFound."""
    row = conn.execute(sa.select(*_COLUMNS).where(key_pairs.c.user_id == user_id, key_pairs.c.name == name)).first()
    if row is None:
        raise exception.KeypairNotFound(name=name, user_id=user_id)
    return from_row(row)


def page(conn: sa.Connection, user_id: str, *, limit: int | None = None, marker: str | None = None) -> list[KeyPair]:
    """By name; all of them without a limit. Raises MarkerNotFound."""
    query = sa.select(*_COLUMNS).where(key_pairs.c.user_id == user_id)
    if marker is not None:
        own = sa.select(key_pairs.c.id).where(key_pairs.c.user_id == user_id, key_pairs.c.name == marker)
        if conn.execute(own).first() is None:
            raise exception.MarkerNotFound(marker=marker)
        query = query.where(key_pairs.c.name > marker)
    return [from_row(row) for row in conn.execute(query.order_by(key_pairs.c.name).limit(limit))]


def count(conn: sa.Connection, user_id: str) -> int:
    return int(conn.execute(sa.select(sa.func.count()).where(key_pairs.c.user_id == user_id)).scalar_one())


def create(conn: sa.Connection, keypair: KeyPair, *, imported: bool = True) -> KeyPair:
    """`imported`: its owner made it elsewhere. Raises KeyPairExists."""
    keypair.created_at = utcnow()
    values = {column.name: getattr(keypair, column.name) for column in _COLUMNS if column.name != 'id'}
    try:
        done = conn.execute(key_pairs.insert().values(**values))
    except db_exc.DBDuplicateEntry:
        raise exception.KeyPairExists(key_name=keypair.name) from None
    assert done.inserted_primary_key is not None
    keypair.id = int(done.inserted_primary_key[0])
    watch.changed(conn, 'keypair', 'import' if imported else 'create', keypair)
    return keypair


def destroy(conn: sa.Connection, user_id: str, name: str) -> None:
    """Raises KeypairNotFound."""
    if watch.on():
        watch.changed(conn, 'keypair', 'delete', get(conn, user_id, name))
    done = conn.execute(key_pairs.delete().where(key_pairs.c.user_id == user_id, key_pairs.c.name == name))
    if not done.rowcount:
        raise exception.KeypairNotFound(name=name, user_id=user_id)
