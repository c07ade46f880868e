"""An index for the idempotency keys of a project

Revision ID: 0015
Revises: 0014
"""
from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_idempotency_keys_project_id', 'idempotency_keys', ['project_id'])


def downgrade() -> None:
    op.drop_index('ix_idempotency_keys_project_id', 'idempotency_keys')
