"""What the actions on servers need: migrations, and what one action leaves for a later one

Revision ID: 0003
Revises: 0002
"""
import sqlalchemy as sa
from alembic import op

from minicompute.db.models import base

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'migrations',
        sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
        sa.Column('uuid', sa.String(length=36), nullable=False),
        sa.Column('instance_uuid', sa.String(length=36), nullable=False),
        sa.Column('migration_type', sa.String(length=16), nullable=False),
        sa.Column('status', sa.String(length=32), nullable=False),
        *(sa.Column(name, sa.String(length=255)) for name in (
            'source_compute', 'source_node', 'dest_compute', 'dest_node', 'dest_host')),
        sa.Column('old_flavor_id', sa.BigInteger()),
        sa.Column('new_flavor_id', sa.BigInteger()),
        sa.Column('user_id', sa.String(length=255)),
        sa.Column('project_id', sa.String(length=255)),
        *(sa.Column(name, sa.BigInteger()) for name in (
            'memory_total', 'memory_processed', 'memory_remaining', 'disk_total', 'disk_processed',
            'disk_remaining')),
        sa.Column('data', base.Json()),
        sa.Column('created_at', base.Timestamp()),
        sa.Column('updated_at', base.Timestamp()),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_migrations')),
        sa.UniqueConstraint('uuid', name=op.f('uq_migrations_uuid')),
        sqlite_autoincrement=True, **base.MYSQL)  # type: ignore[arg-type]
    op.create_index('ix_migrations_instance_uuid', 'migrations', ['instance_uuid'])
    op.create_index('ix_migrations_source', 'migrations', ['source_compute', 'status'])
    op.create_index('ix_migrations_dest', 'migrations', ['dest_compute', 'status'])
    op.create_index('ix_migrations_list', 'migrations', ['created_at', 'id'])
    op.create_index('ix_migrations_updated_at', 'migrations', ['updated_at'])
    op.add_column('instances', sa.Column('old_flavor', base.Json()))
    op.add_column('instances', sa.Column('system_metadata', base.Json()))
    op.add_column('instances', sa.Column('due_at', base.Timestamp()))
    op.create_index('ix_instances_due_at', 'instances', ['due_at'])


def downgrade() -> None:
    op.drop_index('ix_instances_due_at', 'instances')
    with op.batch_alter_table('instances') as batch:
        for name in ('due_at', 'system_metadata', 'old_flavor'):
            batch.drop_column(name)
    op.drop_table('migrations')
