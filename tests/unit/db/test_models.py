"""What the migrations make is what the models say, on each database."""
from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from minicompute.db import session
from minicompute.db.models import metadata


def test_the_models_are_what_the_migrations_make(database: str) -> None:
    with session.engine().connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []
