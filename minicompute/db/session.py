"""Transactions, the same on SQLite, MariaDB and PostgreSQL.

    with session.read() as conn: ...           a reader; each statement sees what is committed
    result = session.write(fn, *args)          fn(conn, *args) in one transaction, again on a deadlock

READ COMMITTED on the servers, where readers have connections of their own that commit by themselves: a
read costs its statements and nothing else.  SQLite in WAL, its writes begin with BEGIN IMMEDIATE.  No RPC inside.
"""
from __future__ import annotations

import contextlib
import datetime
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import regex
import sqlalchemy as sa
from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import exc as sa_exc

from minicompute import exception
from minicompute.conf import CONF
from minicompute.db import watch
from minicompute.utils import utcnow

T = TypeVar('T')

_EPOCH = datetime.datetime(1970, 1, 1)
#: a connection that lay idle for so many seconds is asked whether it is still there before it is used
IDLE = 1.0
#: for so many seconds the database's clock is reckoned from this machine's steady one
CLOCK_KEEPS = 10.0
#: seconds within which its answer came, if it is to be kept
PROMPT = 0.5

#: seconds that a statement waits for a row that somebody holds; then the transaction starts anew
LOCK_WAIT = 10
#: PostgreSQL's word for it
_NOT_AVAILABLE = '55P03'
#: seconds after which PostgreSQL ends a transaction whose client says nothing: it may have lost its power
IDLE_IN_TRANSACTION = 60

_lock = threading.Lock()
_engines: tuple[sa.Engine, sa.Engine] | None = None
#: (database's time - our monotonic one, in seconds; monotonic time of the comparison)
_clock: tuple[datetime.timedelta, float] | None = None


def engines() -> tuple[sa.Engine, sa.Engine]:
    """The writers' and the readers' engine of this process, made at first use (after a fork)."""
    global _engines
    if _engines is None:
        with _lock:
            if _engines is None:
                _engines = _make()
    return _engines


def engine() -> sa.Engine:
    """The writers' engine."""
    return engines()[0]


def _make() -> tuple[sa.Engine, sa.Engine]:
    if not CONF.database.connection:
        raise exception.ConfigurationError(
            reason='[database] connection is not set: say where the records are, '
                   'such as sqlite:////var/lib/minicompute/minicompute.sqlite')
    try:
        url = sa.make_url(CONF.database.connection)
        if url.get_backend_name() == 'sqlite':
            both = _sqlite(url)
            return both, both
        # A write ends its transaction itself, whatever happens: a ROLLBACK at the return would be one way more.
        return (_server(url, pool_reset_on_return=None),
                _server(url, isolation_level='AUTOCOMMIT', skip_autocommit_rollback=True))
    except (sa_exc.ArgumentError, sa_exc.NoSuchModuleError, ImportError) as error:
        raise exception.ConfigurationError(reason=f'[database] connection cannot be used: {error}') from None


def _server(url: sa.URL, **options: Any) -> sa.Engine:
    """MariaDB or PostgreSQL, with oslo.db's options and exceptions. (Its own engine asks the server whether
    it is there before each use of a connection; under load that is one statement in three.)"""
    conf = CONF.database
    if url.get_backend_name() == 'mysql':
        # oslo.db's default is the utf8 that has no room for every character of a name.
        url = url.update_query_dict({'charset': 'utf8mb4'})
    pool = {'pool_size': conf.max_pool_size, 'max_overflow': conf.max_overflow, 'pool_timeout': conf.pool_timeout,
            'pool_recycle': conf.connection_recycle_time}
    made = sa.create_engine(url, **{name: value for name, value in pool.items() if value is not None}, **options)
    sa.event.listen(made, 'handle_error', _name_what_is_away)    # before oslo.db's, which raises
    exc_filters.register_engine(made)
    if made.dialect.driver == 'pymysql':
        from minicompute.db import mysql  # its driver need not be there for other databases
        mysql.share(made)

    @sa.event.listens_for(made, 'connect', insert=True)
    def on_connect(raw: Any, record: Any) -> None:
        if made.dialect.name == 'mysql':     # PostgreSQL reads what is committed by itself
            with contextlib.closing(raw.cursor()) as cursor:
                cursor.execute('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
                cursor.execute('SET SESSION sql_mode = %s', [conf.mysql_sql_mode])
                cursor.execute('SET SESSION innodb_lock_wait_timeout = %s', [LOCK_WAIT])
        else:
            with contextlib.closing(raw.cursor()) as cursor:
                cursor.execute(f"SET lock_timeout = '{LOCK_WAIT}s'")
                cursor.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}s'")
            raw.commit()

    @sa.event.listens_for(made, 'checkin')
    def on_checkin(raw: Any, record: Any) -> None:
        record.info['idle_since'] = time.monotonic()

    @sa.event.listens_for(made, 'checkout')
    def on_checkout(raw: Any, record: Any, proxy: Any) -> None:
        if time.monotonic() - record.info.get('idle_since', time.monotonic()) > IDLE and not _answers(made, raw):
            raise sa_exc.DisconnectionError     # the pool connects anew
    return made


def _name_what_is_away(context: Any) -> None:
    """An error while connecting says that the database is away, or has no connection left for us: what waits
    for it elsewhere knows it by this name. (Drivers and oslo.db tell it only of connections that were there.)"""
    if context.connection is None and isinstance(context.sqlalchemy_exception, sa_exc.DBAPIError):
        raise db_exc.DBConnectionError(context.original_exception)


def _answers(made: sa.Engine, raw: Any) -> bool:
    try:
        return bool(made.dialect.do_ping(raw))
    except Exception:    # whatever it was: a connection that cannot say that it is there is none
        return False


def _sqlite(url: sa.URL) -> sa.Engine:
    """oslo.db would connect anew for each transaction and begin it deferred. Ours are pooled, and a write
    begins immediately, so that two writers queue instead of one failing half-way."""
    made = sa.create_engine(url, poolclass=sa.pool.QueuePool, pool_size=5, max_overflow=50,
                            connect_args={'check_same_thread': False})
    exc_filters.register_engine(made)

    @sa.event.listens_for(made, 'connect')
    def on_connect(raw: Any, record: Any) -> None:
        raw.isolation_level = None
        record.record_info['expressions'] = expressions = Expressions()
        raw.create_function('regexp', 2, expressions.search)
        for pragma in ('journal_mode=WAL', 'synchronous=NORMAL', 'busy_timeout=30000', 'foreign_keys=ON'):
            raw.execute(f'PRAGMA {pragma}')

    @sa.event.listens_for(made, 'begin')
    def on_begin(conn: sa.Connection) -> None:
        write = conn.get_execution_options().get('minicompute_write')
        conn.connection.record_info['expressions'].begin()    # type: ignore[index]
        conn.exec_driver_sql('BEGIN IMMEDIATE' if write else 'BEGIN')
    return made


#: how often the repetitions of one expression, taken one within the other, may come to
MOST_REPEATED = 100_000
_COUNTED = re.compile(r'\{\s*(\d{0,10})\s*,?\s*(\d{0,10})\s*\}', re.ASCII)


def repeats_too_often(pattern: str) -> bool:
    """`regex` writes counted repetitions out when it compiles, where no timeout bounds it: a few characters can ask
    for years."""
    counts = [max(int(text or 1) for text in pair) for pair in _COUNTED.findall(pattern)]
    return math.prod(max(count, 1) for count in counts) > MOST_REPEATED


class Expressions:
    """Regular expressions of users, on SQLite, whose own they are not: all that one transaction runs has
    `SECONDS` together, because a few characters of an expression can ask for years.

    The servers bound theirs themselves: PostgreSQL's do not backtrack, MariaDB's stop at a count of steps.
    """

    SECONDS = 1.0

    def __init__(self) -> None:
        self._left = self.SECONDS

    def begin(self) -> None:
        self._left = self.SECONDS

    def search(self, pattern: str, value: Any) -> bool:
        """Raises what SQLite turns into an error of the query: TimeoutError, regex.error."""
        if value is None:
            return False
        if self._left <= 0 or repeats_too_often(pattern):
            raise TimeoutError
        began = time.monotonic()
        try:
            return regex.search(pattern, str(value), timeout=self._left) is not None
        finally:
            self._left -= time.monotonic() - began


def dispose() -> None:
    """Forget the engines: in a child after a fork, and between tests."""
    global _engines, _clock
    with _lock:
        for made in _engines or ():
            made.dispose(close=True)
        _engines = _clock = None


def after_fork() -> None:
    """In a child: connections of its own, from the engines that the parent made."""
    for made in _engines or ():
        made.dispose(close=False)


@contextlib.contextmanager
def read() -> Iterator[sa.Connection]:
    with engines()[1].connect() as conn:
        yield conn


@contextlib.contextmanager
def _writing(**options: Any) -> Iterator[sa.Connection]:
    with engine().connect().execution_options(minicompute_write=True, **options) as conn, conn.begin():
        yield conn


class _Guard(threading.local):
    """What every transaction of this thread begins with; set while an API request with an Idempotency-Key runs."""

    check: Callable[[sa.Connection], None] | None = None


_guard = _Guard()


@contextlib.contextmanager
def guarded(check: Callable[[sa.Connection], None] | None) -> Iterator[None]:
    """Each `write` of this thread begins with `check(conn)`, in the same transaction; None: with nothing."""
    before, _guard.check = _guard.check, check
    try:
        yield
    finally:
        _guard.check = before


def write(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """`fn(conn, *args, **kwargs)` in one transaction; again, from its start, when the database says that
    another one got in between (deadlock, lost connection). `fn` must have no other effect."""
    check = _guard.check

    @oslo_db_api.wrap_db_retry(max_retries=8, retry_on_deadlock=True, retry_interval=0.02,
                               inc_retry_interval=True, max_retry_interval=1, jitter=False,
                               exception_checker=_worth_again)
    def once() -> T:
        listener = watch.listener
        if listener is not None:
            return _watched(listener, check, fn, *args, **kwargs)
        with _writing() as conn:
            if check is not None:
                check(conn)
            return fn(conn, *args, **kwargs)
    return once()


def _watched(listener: watch.Listener, check: Callable[[sa.Connection], None] | None, fn: Callable[..., T],
             *args: Any, **kwargs: Any) -> T:
    """The same, and who listens has what was noted in it, once it is committed."""
    facts: list[Any] = []
    ready = None
    with _writing(**{watch.SHEET: facts}) as conn:
        if check is not None:
            check(conn)
        result = fn(conn, *args, **kwargs)
        if facts:
            ready = listener.prepare(conn, facts)
    if ready is not None:
        listener.committed(ready)
    return result


def _worth_again(error: Exception) -> bool:
    """A connection that broke before the commit did nothing; one that broke in it is asked for again,
    which our writes allow: they are guarded by unique keys or generations."""
    if isinstance(error, db_exc.DBConnectionError) or 'database is locked' in str(error):
        return True
    inner: Any = getattr(error, 'inner_exception', None) or error
    return getattr(getattr(inner, 'orig', inner), 'sqlstate', None) == _NOT_AVAILABLE


def now(conn: sa.Connection) -> datetime.datetime:
    """The database's clock, UTC. Leases and heartbeats are measured by it alone.

    It is asked each `CLOCK_KEEPS` seconds and reckoned in between: a process that is stopped or whose
    clock drifts is off by what a lease has to spare, and every write is guarded by a generation besides."""
    global _clock
    if conn.dialect.name == 'sqlite':
        return utcnow()   # one machine, one clock
    known, steady = _clock, time.monotonic()
    if known is None or steady - known[1] > CLOCK_KEEPS:
        clock = {'mysql': 'SELECT UTC_TIMESTAMP(6)',
                 'postgresql': "SELECT clock_timestamp() AT TIME ZONE 'UTC'"}[conn.dialect.name]
        value: datetime.datetime = conn.exec_driver_sql(clock).scalar_one()
        asked, steady = steady, time.monotonic()
        known = (value - _EPOCH - datetime.timedelta(seconds=steady), steady)
        if steady - asked < PROMPT:      # who knows when a late answer was given
            _clock = known
    return _EPOCH + known[0] + datetime.timedelta(seconds=steady)
