"""The tables, by noun. `metadata` is what alembic compares with."""
from minicompute.db.models.base import metadata
from minicompute.db.models.beyond import event_heads, events, idempotency_keys
from minicompute.db.models.catalog import flavor_projects, flavors, key_pairs, quotas
from minicompute.db.models.consoles import console_auth_tokens
from minicompute.db.models.hosts import (
    aggregate_hosts,
    aggregates,
    allocations,
    compute_nodes,
    image_caching,
    owed,
    services,
    usage_audits,
)
from minicompute.db.models.journal import instance_actions, instance_actions_events
from minicompute.db.models.local import (
    images,
    networks,
    ports,
    security_group_rules,
    security_groups,
    volume_snapshots,
    volumes,
)
from minicompute.db.models.servers import (
    block_device_mappings,
    instance_group_members,
    instance_groups,
    instances,
    migrations,
    projects,
    tags,
)

__all__ = ['aggregate_hosts', 'aggregates', 'allocations', 'block_device_mappings', 'compute_nodes',
           'console_auth_tokens', 'event_heads', 'events', 'flavor_projects', 'flavors',
           'idempotency_keys', 'image_caching', 'images', 'instance_actions', 'instance_actions_events',
           'instance_group_members', 'instance_groups', 'instances', 'key_pairs', 'metadata', 'migrations', 'networks',
           'owed', 'ports', 'projects', 'quotas', 'security_group_rules', 'security_groups', 'services', 'tags',
           'usage_audits', 'volume_snapshots', 'volumes']
