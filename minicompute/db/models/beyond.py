"""What stands beside Nova's contract: the keys of repeated requests, and the events that followers read."""
import sqlalchemy as sa

from minicompute.db.models.base import Id, Json, LongText, Timestamp, table

#: `identity` is a hash of project, user and the client's key: the key itself, of which the secrets of the answer are
#: made, is not in the records. `effect`: what the request has written, in the same transaction; `answer` is encrypted.
idempotency_keys = table(
    'idempotency_keys', Id(), sa.Column('identity', sa.String(64), nullable=False, unique=True),
    sa.Column('project_id', sa.String(255)), sa.Column('fingerprint', sa.String(64), nullable=False),
    sa.Column('salt', sa.String(64), nullable=False), sa.Column('owner', sa.String(36), nullable=False),
    sa.Column('lease_until', Timestamp, nullable=False), sa.Column('effect', Json), sa.Column('answer', LongText()),
    sa.Column('created_at', Timestamp, nullable=False), sa.Index('ix_idempotency_keys_created_at', 'created_at'),
    sa.Index('ix_idempotency_keys_project_id', 'project_id'),
)

#: A server as it was after a change, written in the transaction of the change. `id` says nothing about the order in
#: which transactions were committed; `seq`, which comes later and grows in that order, does.
events = table(
    'events', Id(), sa.Column('seq', sa.BigInteger), sa.Column('kind', sa.String(16), nullable=False),
    sa.Column('instance_uuid', sa.String(36), nullable=False), sa.Column('project_id', sa.String(255), nullable=False),
    sa.Column('name', sa.String(255)), sa.Column('vm_state', sa.String(32)), sa.Column('task_state', sa.String(32)),
    sa.Column('power_state', sa.Integer), sa.Column('host', sa.String(255)),
    sa.Column('created_at', Timestamp, nullable=False), sa.Index('ix_events_seq', 'seq', 'id'),
    sa.Index('ix_events_created_at', 'created_at'), sa.Index('ix_events_project', 'project_id', 'seq'),
    sa.Index('ix_events_instance', 'instance_uuid', 'seq'),
)

#: One row: the last `seq` that was given, and the lock of who gives more.
event_heads = table('event_heads', sa.Column('name', sa.String(16), primary_key=True),
                    sa.Column('seq', sa.BigInteger, nullable=False))
