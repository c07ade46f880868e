"""Images that hosts were asked to have before they need them

Revision ID: 0006
Revises: 0005
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'image_caching',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('host', sa.String(length=255), nullable=False),
        sa.Column('image_id', sa.String(length=36), nullable=False),
        sa.Column('aggregate_id', sa.BigInteger(), nullable=False),
        sa.Column('image', base.Json()),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('percent', sa.Integer()),
        sa.Column('message', sa.Text()),
        sa.Column('created_at', base.Timestamp()),
        sa.Column('updated_at', base.Timestamp()),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_image_caching')),
        sa.UniqueConstraint('host', 'image_id', name=op.f('uq_image_caching_host')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_image_caching_status', 'image_caching', ['status', 'updated_at'])


def downgrade() -> None:
    op.drop_table('image_caching')
