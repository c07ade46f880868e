"""Alembic runs this file; the engine is ours."""
from alembic import context

from minicompute.db import session
from minicompute.db.models import metadata

with session.engine().connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True,
                      user_module_prefix='base.')
    with context.begin_transaction():
        context.run_migrations()
