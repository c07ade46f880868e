"""Tokens of consoles

Revision ID: 0007
Revises: 0006
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'console_auth_tokens',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('token_hash', sa.String(length=64), nullable=False),
        sa.Column('console_type', sa.String(length=32), nullable=False),
        sa.Column('instance_uuid', sa.String(length=36), nullable=False),
        sa.Column('compute_host', sa.String(length=255), nullable=False),
        sa.Column('host', sa.String(length=255), nullable=False),
        sa.Column('port', sa.Integer(), nullable=False),
        sa.Column('tls_port', sa.Integer()),
        sa.Column('internal_access_path', sa.String(length=255)),
        sa.Column('access_url_base', sa.String(length=255), nullable=False),
        sa.Column('created_at', base.Timestamp()),
        sa.Column('expires_at', base.Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_console_auth_tokens')),
        sa.UniqueConstraint('token_hash', name=op.f('uq_console_auth_tokens_token_hash')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_console_auth_tokens_instance_uuid', 'console_auth_tokens', ['instance_uuid'])
    op.create_index('ix_console_auth_tokens_expires_at', 'console_auth_tokens', ['expires_at'])


def downgrade() -> None:
    op.drop_table('console_auth_tokens')
