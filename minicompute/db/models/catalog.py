"""Flavors, key pairs, quotas."""
import sqlalchemy as sa

from minicompute.db.models.base import Id, Json, born, table

flavors = table(
    'flavors', Id(), sa.Column('flavorid', sa.String(255), nullable=False, unique=True),
    sa.Column('name', sa.String(255), nullable=False, unique=True), sa.Column('memory_mb', sa.Integer, nullable=False),
    sa.Column('vcpus', sa.Integer, nullable=False), sa.Column('root_gb', sa.Integer, nullable=False),
    sa.Column('ephemeral_gb', sa.Integer, nullable=False), sa.Column('swap', sa.Integer, nullable=False),
    sa.Column('rxtx_factor', sa.Float, nullable=False), sa.Column('is_public', sa.Boolean, nullable=False),
    sa.Column('disabled', sa.Boolean, nullable=False), sa.Column('description', sa.Text),
    sa.Column('extra_specs', Json),
    *born(),
)

flavor_projects = table(
    'flavor_projects', sa.Column('flavor_id', sa.BigInteger, sa.ForeignKey(flavors.c.id, ondelete='CASCADE'),
                                 primary_key=True, autoincrement=False),
    sa.Column('project_id', sa.String(255), primary_key=True), sa.Index('ix_flavor_projects_project_id', 'project_id'),
)

key_pairs = table(
    'key_pairs', Id(), sa.Column('user_id', sa.String(255), nullable=False),
    sa.Column('name', sa.String(255), nullable=False),
    sa.Column('fingerprint', sa.String(255)), sa.Column('public_key', sa.Text, nullable=False),
    sa.Column('type', sa.String(16), nullable=False), *born(), sa.UniqueConstraint('user_id', 'name'),
)

#: What an operator set. `scope` is 'project', 'user' (of a project) or 'class'; user_id is '' but for users.
quotas = table(
    'quotas', sa.Column('scope', sa.String(16), primary_key=True), sa.Column('project_id', sa.String(255),
    primary_key=True),
    sa.Column('user_id', sa.String(255), primary_key=True), sa.Column('resource', sa.String(64), primary_key=True),
    sa.Column('hard_limit', sa.Integer, nullable=False),
)
