"""Servers and what belongs to them."""
import sqlalchemy as sa

from minicompute.db.models.base import Id, Json, LongText, Timestamp, born, table, uuid

#: `deleted` is 0, or the row's id once the server is gone (so that unique keys may hold again).
#: `fault`, `metadata`, `network_info` are documents: they are read with the server and never searched.
instances = table(
    'instances', Id(), uuid(nullable=False, unique=True),
    sa.Column('project_id', sa.String(255), nullable=False), sa.Column('user_id', sa.String(255), nullable=False),
    sa.Column('reservation_id', sa.String(64)), sa.Column('launch_index', sa.Integer, nullable=False, default=0),
    sa.Column('display_name', sa.String(255)), sa.Column('display_description', sa.String(255)),
    sa.Column('hostname', sa.String(255)),
    sa.Column('image_ref', sa.String(255), nullable=False, default=''),
    sa.Column('kernel_id', sa.String(255), nullable=False, default=''),
    sa.Column('ramdisk_id', sa.String(255), nullable=False, default=''),
    sa.Column('flavorid', sa.String(255)), sa.Column('flavor', Json), sa.Column('vcpus', sa.Integer),
    sa.Column('memory_mb', sa.Integer),
    sa.Column('vm_state', sa.String(32), nullable=False), sa.Column('task_state', sa.String(32)),
    sa.Column('power_state', sa.Integer, nullable=False, default=0),
    sa.Column('progress', sa.Integer, nullable=False, default=0),
    sa.Column('host', sa.String(255)), sa.Column('node', sa.String(255)),
    sa.Column('availability_zone', sa.String(255)),
    sa.Column('key_name', sa.String(255)), sa.Column('key_data', sa.Text), sa.Column('user_data', LongText()),
    sa.Column('config_drive', sa.Boolean, nullable=False, default=False),
    sa.Column('root_device_name', sa.String(255)),
    sa.Column('access_ip_v4', sa.String(39)), sa.Column('access_ip_v6', sa.String(39)),
    sa.Column('auto_disk_config', sa.Boolean, nullable=False, default=True),
    sa.Column('locked', sa.Boolean, nullable=False, default=False), sa.Column('locked_by', sa.String(32)),
    sa.Column('locked_reason', sa.String(255)),
    sa.Column('metadata', Json), sa.Column('image_properties', Json), sa.Column('network_info', Json),
    sa.Column('fault', Json), sa.Column('trusted_certs', Json), sa.Column('request_spec', Json),
    *born(), sa.Column('launched_at', Timestamp), sa.Column('terminated_at', Timestamp),
    sa.Column('deleted_at', Timestamp), sa.Column('deleted', sa.BigInteger, nullable=False, default=0),
    sa.Column('old_flavor', Json), sa.Column('system_metadata', Json), sa.Column('due_at', Timestamp),
    sa.Index('ix_instances_due_at', 'due_at'),
    sa.Index('ix_instances_project_list', 'project_id', 'deleted', 'created_at', 'id'),
    sa.Index('ix_instances_project_name', 'project_id', 'deleted', 'display_name', 'id'),
    sa.Index('ix_instances_project_state', 'project_id', 'deleted', 'vm_state', 'created_at', 'id'),
    sa.Index('ix_instances_list', 'deleted', 'created_at', 'id'),
    sa.Index('ix_instances_project_uuid', 'project_id', 'uuid'),
    sa.Index('ix_instances_state', 'deleted', 'vm_state', 'created_at', 'id'),
    sa.Index('ix_instances_changed', 'updated_at'), sa.Index('ix_instances_host', 'host', 'deleted'),
    sa.Index('ix_instances_reservation_id', 'reservation_id'),
    sa.Index('ix_instances_updated_at', 'project_id', 'updated_at'),
)

#: One row a project, locked while its quota is counted.
projects = table('projects', sa.Column('project_id', sa.String(255), primary_key=True))

#: `data` is what its flow keeps with it; the numbers are bytes of a live migration.
migrations = table(
    'migrations', Id(), uuid(nullable=False, unique=True), uuid('instance_uuid', nullable=False, index=True),
    sa.Column('migration_type', sa.String(16), nullable=False), sa.Column('status', sa.String(32), nullable=False),
    sa.Column('source_compute', sa.String(255)), sa.Column('source_node', sa.String(255)),
    sa.Column('dest_compute', sa.String(255)), sa.Column('dest_node', sa.String(255)),
    sa.Column('dest_host', sa.String(255)), sa.Column('old_flavor_id', sa.BigInteger),
    sa.Column('new_flavor_id', sa.BigInteger), sa.Column('user_id', sa.String(255)),
    sa.Column('project_id', sa.String(255)), sa.Column('memory_total', sa.BigInteger),
    sa.Column('memory_processed', sa.BigInteger), sa.Column('memory_remaining', sa.BigInteger),
    sa.Column('disk_total', sa.BigInteger), sa.Column('disk_processed', sa.BigInteger),
    sa.Column('disk_remaining', sa.BigInteger), sa.Column('data', Json), *born(),
    sa.Index('ix_migrations_source', 'source_compute', 'status'),
    sa.Index('ix_migrations_dest', 'dest_compute', 'status'),
    sa.Index('ix_migrations_list', 'created_at', 'id'), sa.Index('ix_migrations_updated_at', 'updated_at'),
    sa.Index('ix_migrations_status', 'status'), sa.Index('ix_migrations_project_id', 'project_id'),
    sa.Index('ix_migrations_user_id', 'user_id'),
)

block_device_mappings = table(
    'block_device_mappings', Id(), uuid(nullable=False, unique=True), uuid('instance_uuid', nullable=False, index=True),
    sa.Column('source_type', sa.String(16)), sa.Column('destination_type', sa.String(16)),
    sa.Column('boot_index', sa.Integer), sa.Column('device_name', sa.String(255)),
    sa.Column('device_type', sa.String(16)), sa.Column('disk_bus', sa.String(16)),
    sa.Column('guest_format', sa.String(255)), sa.Column('volume_size', sa.Integer),
    sa.Column('volume_type', sa.String(255)), uuid('image_id'), uuid('volume_id', index=True), uuid('snapshot_id'),
    uuid('attachment_id'), sa.Column('connection_info', Json),
    sa.Column('delete_on_termination', sa.Boolean, nullable=False, default=False),
    sa.Column('no_device', sa.Boolean, nullable=False, default=False), sa.Column('tag', sa.String(255)),
    sa.Column('created_at', Timestamp),
)

tags = table('tags', uuid('resource_id', primary_key=True),
             sa.Column('tag', sa.String(80), primary_key=True), sa.Index('ix_tags_tag', 'tag'))

instance_groups = table(
    'instance_groups', Id(), uuid(nullable=False, unique=True), sa.Column('name', sa.String(255), nullable=False),
    sa.Column('project_id', sa.String(255), nullable=False, index=True), sa.Column('user_id', sa.String(255)),
    sa.Column('policy', sa.String(32), nullable=False), sa.Column('rules', Json), *born(),
)

instance_group_members = table(
    'instance_group_members', sa.Column('group_id', sa.BigInteger, sa.ForeignKey(
        instance_groups.c.id, ondelete='CASCADE'), primary_key=True, autoincrement=False),
    uuid('instance_uuid', primary_key=True), sa.Index('ix_instance_group_members_instance_uuid', 'instance_uuid'),
)
