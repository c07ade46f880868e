"""Which host makes the snapshot of a volume that no server has

Revision ID: 0014
Revises: 0013
"""
import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('volume_snapshots', sa.Column('host', sa.String(length=255)))


def downgrade() -> None:
    with op.batch_alter_table('volume_snapshots') as batch:
        batch.drop_column('host')
