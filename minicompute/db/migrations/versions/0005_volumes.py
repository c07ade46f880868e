"""Volumes of the local backend

Revision ID: 0005
Revises: 0004
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'volumes',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('uuid', sa.String(length=36), nullable=False),
        sa.Column('project_id', sa.String(length=255), nullable=False),
        sa.Column('user_id', sa.String(length=255)),
        sa.Column('name', sa.String(length=255)),
        sa.Column('description', sa.String(length=255)),
        sa.Column('size', sa.Integer(), nullable=False),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('bootable', sa.Boolean(), nullable=False),
        sa.Column('made', sa.Boolean(), nullable=False),
        sa.Column('volume_type', sa.String(length=255)),
        sa.Column('image_metadata', base.Json()),
        sa.Column('metadata', base.Json()),
        sa.Column('created_at', base.Timestamp()),
        sa.Column('updated_at', base.Timestamp()),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_volumes')),
        sa.UniqueConstraint('uuid', name=op.f('uq_volumes_uuid')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_volumes_project_list', 'volumes', ['project_id', 'created_at', 'id'])
    op.create_index('ix_volumes_status', 'volumes', ['status'])


def downgrade() -> None:
    op.drop_table('volumes')
