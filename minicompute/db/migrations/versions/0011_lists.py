"""Indexes for lists of all projects, of moves, and for who may use a flavor

Revision ID: 0011
Revises: 0010
"""
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

MIGRATIONS = ('status', 'project_id', 'user_id')


def upgrade() -> None:
    op.create_index('ix_instances_state', 'instances', ['deleted', 'vm_state', 'created_at', 'id'])
    op.create_index('ix_instances_changed', 'instances', ['updated_at'])
    op.create_index('ix_flavor_projects_project_id', 'flavor_projects', ['project_id'])
    for column in MIGRATIONS:
        op.create_index(f'ix_migrations_{column}', 'migrations', [column])


def downgrade() -> None:
    for column in MIGRATIONS:
        op.drop_index(f'ix_migrations_{column}', 'migrations')
    op.drop_index('ix_flavor_projects_project_id', 'flavor_projects')
    op.drop_index('ix_instances_changed', 'instances')
    op.drop_index('ix_instances_state', 'instances')
