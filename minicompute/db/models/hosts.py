"""Daemons, hypervisors, what they have and who uses it."""
import sqlalchemy as sa

from minicompute.db.models.base import Id, Json, Timestamp, born, table, uuid

services = table(
    'services', Id(), uuid(nullable=False, unique=True), sa.Column('host', sa.String(255), nullable=False),
    sa.Column('binary', sa.String(255), nullable=False), sa.Column('topic', sa.String(255)),
    sa.Column('version', sa.Integer, nullable=False, default=1),
    sa.Column('disabled', sa.Boolean, nullable=False, default=False), sa.Column('disabled_reason', sa.String(255)),
    sa.Column('forced_down', sa.Boolean, nullable=False, default=False),
    sa.Column('report_count', sa.Integer, nullable=False, default=0), sa.Column('last_seen_up', Timestamp), *born(),
    sa.UniqueConstraint('host', 'binary'),
)

#: `changed_at` (the database's clock) moves with every report, claim and release: schedulers poll it.
compute_nodes = table(
    'compute_nodes', Id(), uuid(nullable=False, unique=True),
    sa.Column('host', sa.String(255), nullable=False, index=True),
    sa.Column('hypervisor_hostname', sa.String(255), nullable=False),
    sa.Column('hypervisor_type', sa.String(64)), sa.Column('hypervisor_version', sa.Integer),
    sa.Column('host_ip', sa.String(39)), sa.Column('vcpus', sa.Integer, nullable=False),
    sa.Column('memory_mb', sa.Integer, nullable=False), sa.Column('local_gb', sa.Integer, nullable=False),
    sa.Column('reserved_vcpus', sa.Integer, nullable=False),
    sa.Column('reserved_memory_mb', sa.Integer, nullable=False),
    sa.Column('reserved_disk_gb', sa.Integer, nullable=False),
    sa.Column('cpu_allocation_ratio', sa.Float, nullable=False),
    sa.Column('ram_allocation_ratio', sa.Float, nullable=False),
    sa.Column('disk_allocation_ratio', sa.Float, nullable=False), sa.Column('free_disk_least_gb', sa.Integer),
    sa.Column('cpu_info', Json), sa.Column('supported_instances', Json), sa.Column('traits', Json),
    sa.Column('capabilities', Json), sa.Column('uptime', sa.String(255)),
    sa.Column('failed_builds', sa.Integer, nullable=False, default=0), *born(),
    sa.Column('changed_at', Timestamp, index=True),
)

#: A claim: what one consumer (a server, or a migration) holds of one node. Usage is the sum over these rows.
allocations = table(
    'allocations', uuid('consumer_uuid', primary_key=True),
    sa.Column('node_id', sa.BigInteger, nullable=False), sa.Column('instance_uuid', sa.String(36), nullable=False),
    sa.Column('vcpus', sa.Integer, nullable=False), sa.Column('memory_mb', sa.Integer, nullable=False),
    sa.Column('disk_gb', sa.Integer, nullable=False), sa.Column('created_at', Timestamp),
    sa.Index('ix_allocations_node_id', 'node_id'), sa.Index('ix_allocations_instance_uuid', 'instance_uuid'),
)

aggregates = table('aggregates', Id(), uuid(nullable=False, unique=True),
                   sa.Column('name', sa.String(255), nullable=False, unique=True), sa.Column('metadata', Json), *born())

aggregate_hosts = table(
    'aggregate_hosts', sa.Column('aggregate_id', sa.BigInteger, sa.ForeignKey(aggregates.c.id, ondelete='CASCADE'),
                                 primary_key=True, autoincrement=False),
    sa.Column('host', sa.String(255), primary_key=True), sa.Index('ix_aggregate_hosts_host', 'host'),
)

#: Clean-up that a dead host still owes: done when it comes back.
owed = table('owed', Id(), sa.Column('host', sa.String(255), nullable=False, index=True),
             uuid('instance_uuid', nullable=False), sa.Column('verb', sa.String(64), nullable=False),
             sa.Column('data', Json), sa.Column('reason', sa.Text), sa.Column('created_at', Timestamp),
             sa.UniqueConstraint('host', 'instance_uuid', 'verb'))

#: What hosts were asked to fetch before a server needs it: `status` is queued, caching, or what came of it.
image_caching = table(
    'image_caching', Id(), sa.Column('host', sa.String(255), nullable=False),
    sa.Column('image_id', sa.String(36), nullable=False), sa.Column('aggregate_id', sa.BigInteger, nullable=False),
    sa.Column('image', Json), sa.Column('status', sa.String(16), nullable=False), sa.Column('percent', sa.Integer),
    sa.Column('message', sa.Text), *born(), sa.UniqueConstraint('host', 'image_id', name='uq_image_caching_host'),
    sa.Index('ix_image_caching_status', 'status', 'updated_at'),
)

#: Which servers each host had in a period that is over, once it was counted.
usage_audits = table(
    'usage_audits', Id(), sa.Column('host', sa.String(255), nullable=False),
    sa.Column('period_beginning', Timestamp, nullable=False), sa.Column('period_ending', Timestamp, nullable=False),
    sa.Column('state', sa.String(16), nullable=False), sa.Column('message', sa.Text),
    sa.Column('instances', sa.Integer, nullable=False), sa.Column('errors', sa.Integer, nullable=False), *born(),
    sa.UniqueConstraint('period_ending', 'period_beginning', 'host'),
)
