"""Security groups of the local networks

Revision ID: 0013
Revises: 0012
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'security_groups',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('project_id', sa.String(length=255), nullable=False),
        sa.Column('name', sa.String(length=255), nullable=False),
        sa.Column('description', sa.String(length=255), nullable=False),
        sa.Column('created_at', base.Timestamp()),
        sa.Column('updated_at', base.Timestamp()),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_security_groups')),
        **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_security_groups_project_id', 'security_groups', ['project_id'])
    op.create_table(
        'security_group_rules',
        sa.Column('id', sa.String(length=36), nullable=False),
        sa.Column('security_group_id', sa.String(length=36), nullable=False),
        sa.Column('direction', sa.String(length=8), nullable=False),
        sa.Column('ethertype', sa.String(length=4), nullable=False),
        sa.Column('protocol', sa.String(length=16)),
        sa.Column('port_range_min', sa.Integer()),
        sa.Column('port_range_max', sa.Integer()),
        sa.Column('remote_ip_prefix', sa.String(length=64)),
        sa.Column('remote_group_id', sa.String(length=36)),
        sa.Column('description', sa.String(length=255), nullable=False),
        sa.Column('created_at', base.Timestamp()),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_security_group_rules')),
        sa.ForeignKeyConstraint(['security_group_id'], ['security_groups.id'],
                                name=op.f('fk_security_group_rules_security_group_id')),
        **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_security_group_rules_security_group_id', 'security_group_rules', ['security_group_id'])
    op.create_index('ix_security_group_rules_remote_group_id', 'security_group_rules', ['remote_group_id'])
    op.add_column('ports', sa.Column('security_groups', base.Json()))
    op.create_index('ix_ports_host', 'ports', ['host'])
    op.create_index('ix_ports_project_id', 'ports', ['project_id'])


def downgrade() -> None:
    op.drop_index('ix_ports_project_id', 'ports')
    op.drop_index('ix_ports_host', 'ports')
    with op.batch_alter_table('ports') as batch:
        batch.drop_column('security_groups')
    op.drop_table('security_group_rules')
    op.drop_table('security_groups')
