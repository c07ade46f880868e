"""How far the step is that an action is at

Revision ID: 0004
Revises: 0003
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('instance_actions', sa.Column('progress', base.Json()))


def downgrade() -> None:
    with op.batch_alter_table('instance_actions') as batch:
        batch.drop_column('progress')
