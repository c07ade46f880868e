"""What projects used, and the audits that say so

Revision ID: 0010
Revises: 0009
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'usage_audits',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('host', sa.String(length=255), nullable=False),
        sa.Column('period_beginning', base.Timestamp(), nullable=False),
        sa.Column('period_ending', base.Timestamp(), nullable=False),
        sa.Column('state', sa.String(length=16), nullable=False),
        sa.Column('message', sa.Text()),
        sa.Column('instances', sa.Integer(), nullable=False),
        sa.Column('errors', sa.Integer(), nullable=False),
        sa.Column('created_at', base.Timestamp()),
        sa.Column('updated_at', base.Timestamp()),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_usage_audits')),
        sa.UniqueConstraint('period_ending', 'period_beginning', 'host',
                            name=op.f('uq_usage_audits_period_ending_period_beginning_host')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_instances_project_uuid', 'instances', ['project_id', 'uuid'])


def downgrade() -> None:
    op.drop_index('ix_instances_project_uuid', 'instances')
    op.drop_table('usage_audits')
