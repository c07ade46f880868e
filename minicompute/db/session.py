"""Transactions, the same on SQLite, MariaDB and PostgreSQL.

    with session.read() as conn: ...           a reader's transaction
    result = session.write(fn, *args)          fn(conn, *args) in one transaction, again on a deadlock

READ COMMITTED on the servers; SQLite in WAL, its writes begin with BEGIN IMMEDIATE.  No RPC inside.
"""
from __future__ import annotations

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import enginefacade
from sqlalchemy import exc as sa_exc

from minicompute import exception
from minicompute.conf import CONF
from minicompute.utils import utcnow

T = TypeVar('T')

_lock = threading.Lock()
_engine: sa.Engine | None = None


def engine() -> sa.Engine:
    """The engine of this process, made at first use (after a fork)."""
    global _engine
    if _engine is None:
        with _lock:
            if _engine is None:
                _engine = _make()
    return _engine


def _make() -> sa.Engine:
    if not CONF.database.connection:
        raise exception.ConfigurationError(
            reason='[database] connection is not set: say where the records are, '
                   'such as sqlite:////var/lib/minicompute/minicompute.sqlite')
    context = enginefacade.transaction_context()
    context.configure(sqlite_fk=True, mysql_sql_mode='TRADITIONAL')
    try:
        made = context.writer.get_engine()
    except (sa_exc.ArgumentError, sa_exc.NoSuchModuleError, ImportError) as error:
        raise exception.ConfigurationError(
            reason=f'[database] connection cannot be used: {error}') from None
    if made.dialect.name == 'sqlite':
        _tune_sqlite(made)
        return made
    return made.execution_options(isolation_level='READ COMMITTED')


def _tune_sqlite(made: sa.Engine) -> None:
    @sa.event.listens_for(made, 'connect')
    def on_connect(raw: Any, record: Any) -> None:
        for pragma in ('journal_mode=WAL', 'synchronous=NORMAL', 'busy_timeout=30000'):
            raw.execute(f'PRAGMA {pragma}')

    @sa.event.listens_for(made, 'begin')
    def on_begin(conn: sa.Connection) -> None:
        if conn.get_execution_options().get('minicompute_write'):
            conn.exec_driver_sql('BEGIN IMMEDIATE')


def dispose() -> None:
    """Forget the engine: in a child after a fork, and between tests."""
    global _engine
    with _lock:
        if _engine is not None:
            _engine.dispose(close=True)
        _engine = None


@contextlib.contextmanager
def read() -> Iterator[sa.Connection]:
    with engine().connect() as conn, conn.begin():
        yield conn


@contextlib.contextmanager
def _writing() -> Iterator[sa.Connection]:
    with engine().connect() as conn:
        if conn.dialect.name == 'sqlite':
            # oslo.db begins deferred unless this mark is set; a write must begin immediately, so that two
            # writers queue instead of one failing half-way.
            conn.info['in_transaction'] = True
            conn = conn.execution_options(minicompute_write=True)
        with conn.begin():
            yield conn


def write(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """`fn(conn, *args, **kwargs)` in one transaction; again, from its start, when the database says that
    another one got in between (deadlock, lost connection). `fn` must have no other effect."""
    @oslo_db_api.wrap_db_retry(max_retries=8, retry_on_deadlock=True, retry_interval=0.02,
                               inc_retry_interval=True, max_retry_interval=1, jitter=False,
                               exception_checker=_worth_again)
    def once() -> T:
        with _writing() as conn:
            return fn(conn, *args, **kwargs)
    return once()


def _worth_again(error: Exception) -> bool:
    """A connection that broke before the commit did nothing; one that broke in it is asked for again,
    which our writes allow: they are guarded by unique keys or generations."""
    return isinstance(error, db_exc.DBConnectionError) or 'database is locked' in str(error)


def now(conn: sa.Connection) -> datetime.datetime:
    """The database's clock, UTC. Leases and heartbeats are measured by it alone."""
    if conn.dialect.name == 'sqlite':
        return utcnow()   # one machine, one clock
    clock = {'mysql': 'SELECT UTC_TIMESTAMP(6)',
             'postgresql': "SELECT clock_timestamp() AT TIME ZONE 'UTC'"}[conn.dialect.name]
    value: datetime.datetime = conn.exec_driver_sql(clock).scalar_one()
    return value
