"""PyMySQL's connections, which make a TLS context each: with the system's certificates in it that is the dearest part
of a connection by far (over 1 MB, and the time of dozens of statements).  Ours share one."""
from __future__ import annotations

import functools
import ssl
from typing import Any

import sqlalchemy as sa
from pymysql.connections import Connection


class SharingConnection(Connection):    # type: ignore[misc, type-arg, unused-ignore]
    """TLS as PyMySQL does it. What the URL says of it is looked at each time: its files may be renewed."""

    def _create_ssl_ctx(self, settings: Any) -> ssl.SSLContext:
        made: ssl.SSLContext = super()._create_ssl_ctx(settings) if settings else context()
        return made


@functools.lru_cache(maxsize=1)
def context() -> ssl.SSLContext:
    """What PyMySQL makes when nothing is said about TLS. Threads and forks may share it."""
    made: ssl.SSLContext = Connection(defer_connect=True)._create_ssl_ctx({})
    return made


def share(engine: sa.Engine) -> None:
    """Let this engine connect so, if PyMySQL is its driver."""
    context()

    @sa.event.listens_for(engine, 'do_connect')
    def connect(dialect: Any, record: Any, args: list[Any], options: dict[str, Any]) -> SharingConnection:
        return SharingConnection(*args, **options)
