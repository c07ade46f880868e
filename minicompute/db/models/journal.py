"""The action log, which is the journal of the flows."""
import sqlalchemy as sa

from minicompute.db.models.base import Id, Json, Timestamp, table, uuid

instance_actions = table(
    'instance_actions', Id(), sa.Column('action', sa.String(255), nullable=False),
    sa.Column('flow', sa.String(64), nullable=False), uuid('instance_uuid', nullable=False),
    sa.Column('request_id', sa.String(255), nullable=False), sa.Column('user_id', sa.String(255)),
    sa.Column('project_id', sa.String(255)), sa.Column('state', sa.String(16), nullable=False),
    sa.Column('step', sa.String(64)), sa.Column('data', Json),
    sa.Column('busy', sa.String(255), unique=True), sa.Column('after', sa.BigInteger),
    sa.Column('owner', sa.String(255)), sa.Column('lease_until', Timestamp),
    sa.Column('generation', sa.Integer, nullable=False, default=0),
    sa.Column('cancel', sa.Boolean, nullable=False, default=False),
    sa.Column('attempts', sa.Integer, nullable=False, default=0), sa.Column('message', sa.Text),
    sa.Column('start_time', Timestamp), sa.Column('finish_time', Timestamp), sa.Column('updated_at', Timestamp),
    sa.Column('progress', Json),
    sa.Index('ix_instance_actions_instance_uuid', 'instance_uuid', 'updated_at', 'id'),
    sa.Index('ix_instance_actions_request_id', 'request_id'),
    sa.Index('ix_instance_actions_live', 'state', 'lease_until'),
    sa.Index('ix_instance_actions_after', 'after'),
)

instance_actions_events = table(
    'instance_actions_events', Id(), sa.Column('action_id', sa.BigInteger, nullable=False, index=True),
    sa.Column('event', sa.String(255), nullable=False), sa.Column('start_time', Timestamp),
    sa.Column('finish_time', Timestamp), sa.Column('result', sa.String(32)), sa.Column('traceback', sa.Text),
    sa.Column('host', sa.String(255)), sa.Column('details', sa.Text),
)
