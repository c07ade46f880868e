"""Lists of servers by name and by state without sorting what a project has

Revision ID: 0002
Revises: 0001
"""
import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Keys of pages are compared, which NULLs cannot be. Every server has a name since the first version.
    instances = sa.table('instances', sa.column('display_name'))
    op.execute(instances.update().where(instances.c.display_name.is_(None)).values(display_name=''))
    op.create_index('ix_instances_project_name', 'instances', ['project_id', 'deleted', 'display_name', 'id'])
    op.create_index('ix_instances_project_state', 'instances',
                    ['project_id', 'deleted', 'vm_state', 'created_at', 'id'])


def downgrade() -> None:
    op.drop_index('ix_instances_project_state', 'instances')
    op.drop_index('ix_instances_project_name', 'instances')
