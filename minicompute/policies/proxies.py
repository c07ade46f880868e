"""What ended at 2.36 (2.44): proxies to the services of networks, volumes and bare metal."""
from minicompute.policies.base import ADMIN, ANYONE, MEMBER, READER, table

RULES = [
    *table('os-baremetal-nodes', [
        ('list', ADMIN, 'List bare metal nodes.', 'GET /os-baremetal-nodes'),
        ('show', ADMIN, 'Show a bare metal node.', 'GET /os-baremetal-nodes/{id}'),
    ]),
    *table('os-floating-ip-pools', [
        ('', ANYONE, 'List the pools of floating addresses.', 'GET /os-floating-ip-pools'),
    ]),
    *table('os-floating-ips', [
        ('list', READER, 'List floating addresses.', 'GET /os-floating-ips'),
        ('show', READER, 'Show a floating address.', 'GET /os-floating-ips/{id}'),
        ('create', MEMBER, 'Allocate a floating address.', 'POST /os-floating-ips'),
        ('delete', MEMBER, 'Release a floating address.', 'DELETE /os-floating-ips/{id}'),
        ('add', MEMBER, 'Give a floating address to a server.', 'POST /servers/{id}/action (addFloatingIp)'),
        ('remove', MEMBER, 'Take a floating address from a server.',
         'POST /servers/{id}/action (removeFloatingIp)'),
    ]),
    *table('os-networks', [
        ('list', READER, 'List networks.', 'GET /os-networks'),
        ('show', READER, 'Show a network.', 'GET /os-networks/{id}'),
    ]),
    *table('os-tenant-networks', [
        ('list', READER, 'List the networks of a project.', 'GET /os-tenant-networks'),
        ('show', READER, 'Show a network of a project.', 'GET /os-tenant-networks/{id}'),
    ]),
    *table('os-security-groups', [
        ('get', READER, 'List security groups.', 'GET /os-security-groups'),
        ('show', READER, 'Show a security group.', 'GET /os-security-groups/{id}'),
        ('create', MEMBER, 'Create a security group.', 'POST /os-security-groups'),
        ('update', MEMBER, 'Change a security group.', 'PUT /os-security-groups/{id}'),
        ('delete', MEMBER, 'Delete a security group.', 'DELETE /os-security-groups/{id}'),
        ('rule:create', MEMBER, 'Add a rule to a security group.', 'POST /os-security-group-rules'),
        ('rule:delete', MEMBER, 'Delete a rule of a security group.', 'DELETE /os-security-group-rules/{id}'),
        ('list', READER, 'List the security groups of a server.',
         'GET /servers/{server_id}/os-security-groups'),
        ('add', MEMBER, 'Put a server into a security group.',
         'POST /servers/{id}/action (addSecurityGroup)'),
        ('remove', MEMBER, 'Take a server out of a security group.',
         'POST /servers/{id}/action (removeSecurityGroup)'),
    ]),
    *table('os-volumes', [
        ('list', READER, 'List volumes.', 'GET /os-volumes'),
        ('detail', READER, 'List volumes in full.', 'GET /os-volumes/detail'),
        ('show', READER, 'Show a volume.', 'GET /os-volumes/{id}'),
        ('create', MEMBER, 'Create a volume.', 'POST /os-volumes'),
        ('delete', MEMBER, 'Delete a volume.', 'DELETE /os-volumes/{id}'),
        ('snapshots:list', READER, 'List snapshots.', 'GET /os-snapshots'),
        ('snapshots:detail', READER, 'List snapshots in full.', 'GET /os-snapshots/detail'),
        ('snapshots:show', READER, 'Show a snapshot.', 'GET /os-snapshots/{id}'),
        ('snapshots:create', MEMBER, 'Create a snapshot.', 'POST /os-snapshots'),
        ('snapshots:delete', MEMBER, 'Delete a snapshot.', 'DELETE /os-snapshots/{id}'),
    ]),
]
