"""Who may see which console until when."""
import sqlalchemy as sa

from minicompute.db.models.base import Id, Timestamp, table, uuid

#: The token itself is nowhere: who reads this table can open no console.
console_auth_tokens = table(
    'console_auth_tokens', Id(), sa.Column('token_hash', sa.String(64), nullable=False, unique=True),
    sa.Column('console_type', sa.String(32), nullable=False), uuid('instance_uuid', nullable=False, index=True),
    sa.Column('compute_host', sa.String(255), nullable=False), sa.Column('host', sa.String(255), nullable=False),
    sa.Column('port', sa.Integer, nullable=False), sa.Column('tls_port', sa.Integer),
    sa.Column('internal_access_path', sa.String(255)),
    sa.Column('access_url_base', sa.String(255), nullable=False), sa.Column('created_at', Timestamp),
    sa.Column('expires_at', Timestamp, nullable=False, index=True),
)
