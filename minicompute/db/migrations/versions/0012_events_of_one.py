"""Indexes for the events of one project, and of one server

Revision ID: 0012
Revises: 0011
"""
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_events_project', 'events', ['project_id', 'seq'])
    op.create_index('ix_events_instance', 'events', ['instance_uuid', 'seq'])


def downgrade() -> None:
    op.drop_index('ix_events_instance', 'events')
    op.drop_index('ix_events_project', 'events')
