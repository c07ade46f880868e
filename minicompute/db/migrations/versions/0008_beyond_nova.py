"""Keys of repeated requests, and events of servers

Revision ID: 0008
Revises: 0007
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'idempotency_keys',
        sa.Column('id', ID, autoincrement=True, nullable=False),
        sa.Column('identity', sa.String(length=64), nullable=False),
        sa.Column('project_id', sa.String(length=255)),
        sa.Column('fingerprint', sa.String(length=64), nullable=False),
        sa.Column('salt', sa.String(length=64), nullable=False),
        sa.Column('owner', sa.String(length=36), nullable=False),
        sa.Column('lease_until', base.Timestamp(), nullable=False),
        sa.Column('effect', base.Json()),
        sa.Column('answer', base.LongText()),
        sa.Column('created_at', base.Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_idempotency_keys')),
        sa.UniqueConstraint('identity', name=op.f('uq_idempotency_keys_identity')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_idempotency_keys_created_at', 'idempotency_keys', ['created_at'])
    op.create_table(
        'events',
        sa.Column('id', ID, autoincrement=True, nullable=False),
        sa.Column('seq', sa.BigInteger()),
        sa.Column('kind', sa.String(length=16), nullable=False),
        sa.Column('instance_uuid', sa.String(length=36), nullable=False),
        sa.Column('project_id', sa.String(length=255), nullable=False),
        sa.Column('name', sa.String(length=255)),
        sa.Column('vm_state', sa.String(length=32)),
        sa.Column('task_state', sa.String(length=32)),
        sa.Column('power_state', sa.Integer()),
        sa.Column('host', sa.String(length=255)),
        sa.Column('created_at', base.Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_events')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_events_seq', 'events', ['seq', 'id'])
    op.create_index('ix_events_created_at', 'events', ['created_at'])
    op.create_table(
        'event_heads',
        sa.Column('name', sa.String(length=16), nullable=False),
        sa.Column('seq', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_event_heads')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]


def downgrade() -> None:
    op.drop_table('event_heads')
    op.drop_table('events')
    op.drop_table('idempotency_keys')
