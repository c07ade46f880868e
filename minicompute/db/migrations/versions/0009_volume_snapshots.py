"""Snapshots of volumes of the local backend

Revision ID: 0009
Revises: 0008
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'volume_snapshots',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('uuid', sa.String(length=36), nullable=False),
        sa.Column('volume_id', sa.String(length=36), nullable=False),
        sa.Column('project_id', sa.String(length=255), nullable=False),
        sa.Column('user_id', sa.String(length=255)),
        sa.Column('name', sa.String(length=255)),
        sa.Column('description', sa.String(length=255)),
        sa.Column('size', sa.Integer(), nullable=False),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('bootable', sa.Boolean(), nullable=False),
        sa.Column('image_metadata', base.Json()),
        sa.Column('metadata', base.Json()),
        sa.Column('created_at', base.Timestamp()),
        sa.Column('updated_at', base.Timestamp()),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_volume_snapshots')),
        sa.UniqueConstraint('uuid', name=op.f('uq_volume_snapshots_uuid')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_volume_snapshots_project_list', 'volume_snapshots', ['project_id', 'created_at', 'id'])
    op.create_index('ix_volume_snapshots_status', 'volume_snapshots', ['status', 'updated_at'])
    op.add_column('volumes', sa.Column('snapshot_id', sa.String(length=36)))
    op.create_index('ix_volumes_snapshot_id', 'volumes', ['snapshot_id'])


def downgrade() -> None:
    op.drop_index('ix_volumes_snapshot_id', 'volumes')
    with op.batch_alter_table('volumes') as batch:
        batch.drop_column('snapshot_id')
    op.drop_table('volume_snapshots')
