"""The local backends: images, networks and volumes of one machine."""
import sqlalchemy as sa

from minicompute.db.models.base import Id, Json, Timestamp, born, table, uuid

images = table(
    'images', Id(), uuid(nullable=False, unique=True), sa.Column('name', sa.String(255), index=True),
    sa.Column('status', sa.String(32), nullable=False), sa.Column('owner', sa.String(255), index=True),
    sa.Column('visibility', sa.String(16), nullable=False),
    sa.Column('protected', sa.Boolean, nullable=False, default=False),
    sa.Column('disk_format', sa.String(16)), sa.Column('container_format', sa.String(16)),
    sa.Column('size', sa.BigInteger), sa.Column('virtual_size', sa.BigInteger),
    sa.Column('min_disk', sa.Integer, nullable=False, default=0),
    sa.Column('min_ram', sa.Integer, nullable=False, default=0),
    sa.Column('checksum', sa.String(32)), sa.Column('os_hash_algo', sa.String(16)),
    sa.Column('os_hash_value', sa.String(128)),
    sa.Column('tags', Json), sa.Column('properties', Json), *born(),
)

networks = table(
    'networks', sa.Column('id', sa.String(36), primary_key=True), sa.Column('name', sa.String(255), index=True),
    sa.Column('project_id', sa.String(255), index=True), sa.Column('kind', sa.String(16), nullable=False),
    sa.Column('shared', sa.Boolean, nullable=False), sa.Column('bridge', sa.String(15), nullable=False, unique=True),
    sa.Column('mtu', sa.Integer, nullable=False), sa.Column('subnet_id', sa.String(36), unique=True),
    sa.Column('subnet_name', sa.String(255)), sa.Column('cidr', sa.String(64)), sa.Column('gateway', sa.String(39)),
    sa.Column('range_start', sa.String(39)), sa.Column('range_end', sa.String(39)), sa.Column('dns', Json), *born(),
)

#: An address is taken by the unique key: two conductors cannot give it twice.
ports = table(
    'ports', sa.Column('id', sa.String(36), primary_key=True),
    sa.Column('network_id', sa.String(36), sa.ForeignKey(networks.c.id), nullable=False),
    sa.Column('project_id', sa.String(255)), uuid('instance_uuid', index=True), sa.Column('host', sa.String(255)),
    sa.Column('mac_address', sa.String(17), nullable=False, unique=True),
    sa.Column('address', sa.String(39), nullable=False),
    sa.Column('tag', sa.String(255)), sa.Column('created_at', Timestamp), sa.UniqueConstraint('network_id', 'address'),
    sa.Column('security_groups', Json), sa.Index('ix_ports_host', 'host'),
    sa.Index('ix_ports_project_id', 'project_id'),
)

#: A project's `default` has a row only once somebody has changed it.
security_groups = table(
    'security_groups', sa.Column('id', sa.String(36), primary_key=True),
    sa.Column('project_id', sa.String(255), nullable=False, index=True),
    sa.Column('name', sa.String(255), nullable=False), sa.Column('description', sa.String(255), nullable=False),
    *born(),
)

security_group_rules = table(
    'security_group_rules', sa.Column('id', sa.String(36), primary_key=True),
    sa.Column('security_group_id', sa.String(36), sa.ForeignKey(security_groups.c.id), nullable=False, index=True),
    sa.Column('direction', sa.String(8), nullable=False), sa.Column('ethertype', sa.String(4), nullable=False),
    sa.Column('protocol', sa.String(16)), sa.Column('port_range_min', sa.Integer),
    sa.Column('port_range_max', sa.Integer), sa.Column('remote_ip_prefix', sa.String(64)),
    uuid('remote_group_id', index=True), sa.Column('description', sa.String(255), nullable=False),
    sa.Column('created_at', Timestamp),
)

#: `size` in GiB. Who has a volume is what block_device_mappings says, and nothing else: a mapping that goes, for
#: whatever reason, leaves the volume available. `made`: its file is there; before its first use it has none.
volumes = table(
    'volumes', Id(), uuid(nullable=False, unique=True), sa.Column('project_id', sa.String(255), nullable=False),
    sa.Column('user_id', sa.String(255)), sa.Column('name', sa.String(255)), sa.Column('description', sa.String(255)),
    sa.Column('size', sa.Integer, nullable=False), sa.Column('status', sa.String(16), nullable=False),
    sa.Column('bootable', sa.Boolean, nullable=False, default=False),
    sa.Column('made', sa.Boolean, nullable=False, default=False), sa.Column('volume_type', sa.String(255)),
    sa.Column('image_metadata', Json), sa.Column('metadata', Json), *born(), uuid('snapshot_id', index=True),
    sa.Index('ix_volumes_project_list', 'project_id', 'created_at', 'id'), sa.Index('ix_volumes_status', 'status'),
)

#: `status`: creating while a host copies, available, deleting, error. `host`: see `objects.VolumeSnapshot`. The
#: copy stands alone, whatever becomes of the volume.
volume_snapshots = table(
    'volume_snapshots', Id(), uuid(nullable=False, unique=True), sa.Column('volume_id', sa.String(36), nullable=False),
    sa.Column('project_id', sa.String(255), nullable=False), sa.Column('user_id', sa.String(255)),
    sa.Column('name', sa.String(255)), sa.Column('description', sa.String(255)),
    sa.Column('size', sa.Integer, nullable=False), sa.Column('status', sa.String(16), nullable=False),
    sa.Column('bootable', sa.Boolean, nullable=False, default=False),
    sa.Column('image_metadata', Json), sa.Column('metadata', Json), *born(), sa.Column('host', sa.String(255)),
    sa.Index('ix_volume_snapshots_project_list', 'project_id', 'created_at', 'id'),
    sa.Index('ix_volume_snapshots_status', 'status', 'updated_at'),
)
