"""Column types that behave the same on SQLite, MariaDB and PostgreSQL."""
from __future__ import annotations

import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

metadata = sa.MetaData(naming_convention={
    'ix': 'ix_%(table_name)s_%(column_0_N_name)s', 'uq': 'uq_%(table_name)s_%(column_0_N_name)s',
    'fk': 'fk_%(table_name)s_%(column_0_name)s', 'pk': 'pk_%(table_name)s'})

#: every table's MariaDB options: identity matters, so collation is binary
MYSQL = {'mysql_engine': 'InnoDB', 'mysql_charset': 'utf8mb4', 'mysql_collate': 'utf8mb4_bin'}


class Json(sa.types.TypeDecorator[Any]):
    """A document in a text column, read whole."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == 'mysql':
            return dialect.type_descriptor(mysql.MEDIUMTEXT())
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else orjson.loads(value)


class Timestamp(sa.types.TypeDecorator[datetime.datetime]):
    """UTC without zone, with microseconds on all three."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        if dialect.name == 'mysql':
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())


def LongText() -> sa.types.TypeEngine[str]:
    """Text above 64 KiB, which MariaDB must be asked for."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql')


def Id() -> sa.Column[int]:
    """A key that grows and is never used again."""
    return sa.Column('id', sa.BigInteger().with_variant(sa.Integer, 'sqlite'), primary_key=True, autoincrement=True)


def uuid(name: str = 'uuid', **kwargs: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(36), **kwargs)


def table(name: str, *columns: Any) -> sa.Table:
    options: dict[str, Any] = {'sqlite_autoincrement': True, **MYSQL}
    return sa.Table(name, metadata, *columns, **options)


def born() -> list[sa.Column[Any]]:
    """created_at and updated_at, set by the functions that write."""
    return [sa.Column('created_at', Timestamp), sa.Column('updated_at', Timestamp)]
