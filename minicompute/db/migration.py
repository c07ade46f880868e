"""Bring the tables up to date. `minicompute-manage db sync` and the tests call it."""
from __future__ import annotations

import os

from alembic import command, config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from minicompute.db import session


def _config() -> config.Config:
    cfg = config.Config()
    cfg.set_main_option('script_location', os.path.join(os.path.dirname(__file__), 'migrations'))
    return cfg


def sync(revision: str = 'head') -> None:
    command.upgrade(_config(), revision)


def current() -> str | None:
    with session.read() as conn:
        return MigrationContext.configure(conn).get_current_revision()


def head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()
