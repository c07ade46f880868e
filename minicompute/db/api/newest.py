"""Pages of what is listed newest first."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import exception


def after(conn: sa.Connection, query: Any, table: sa.Table, marker: str | None, project_id: str | None) -> Any:
    """-> `query` for what is older than the row `marker` (a uuid; None: all), newest first.
    Raises MarkerNotFound, also for one of another project (None: any)."""
    c = table.c
    query = query.order_by(c.created_at.desc(), c.id.desc())
    if marker is None:
        return query
    last = conn.execute(sa.select(c.created_at, c.id, c.project_id).where(c.uuid == marker)).first()
    if last is None or project_id not in (None, last.project_id):
        raise exception.MarkerNotFound(marker=marker)
    return query.where(sa.or_(c.created_at < last.created_at,
                              sa.and_(c.created_at == last.created_at, c.id < last.id)))
