"""What belongs to servers: metadata, tags, interfaces, volumes, groups, actions, migrations."""
from minicompute.policies.base import ADMIN, MANAGER, MEMBER, READER, SERVICE, table

RULES = [
    *table('ips', [
        ('index', READER, 'List the addresses of a server.', 'GET /servers/{server_id}/ips'),
        ('show', READER, 'Show the addresses of a server on one network.',
         'GET /servers/{server_id}/ips/{id}'),
    ]),
    *table('server-metadata', [
        ('index', READER, 'List the metadata of a server.', 'GET /servers/{server_id}/metadata'),
        ('show', READER, 'Show one metadata item of a server.', 'GET /servers/{server_id}/metadata/{id}'),
        ('create', MEMBER, 'Add metadata items to a server.', 'POST /servers/{server_id}/metadata'),
        ('update_all', MEMBER, 'Replace the metadata of a server.', 'PUT /servers/{server_id}/metadata'),
        ('update', MEMBER, 'Set one metadata item of a server.', 'PUT /servers/{server_id}/metadata/{id}'),
        ('delete', MEMBER, 'Delete one metadata item of a server.',
         'DELETE /servers/{server_id}/metadata/{id}'),
    ]),
    *table('os-server-tags', [
        ('index', READER, 'List the tags of a server.', 'GET /servers/{server_id}/tags'),
        ('show', READER, 'Ask whether a server has a tag.', 'GET /servers/{server_id}/tags/{id}'),
        ('update_all', MEMBER, 'Replace the tags of a server.', 'PUT /servers/{server_id}/tags'),
        ('update', MEMBER, 'Add a tag to a server.', 'PUT /servers/{server_id}/tags/{id}'),
        ('delete_all', MEMBER, 'Delete the tags of a server.', 'DELETE /servers/{server_id}/tags'),
        ('delete', MEMBER, 'Delete a tag of a server.', 'DELETE /servers/{server_id}/tags/{id}'),
    ]),
    *table('os-attach-interfaces', [
        ('list', READER, 'List the interfaces of a server.', 'GET /servers/{server_id}/os-interface'),
        ('show', READER, 'Show an interface of a server.', 'GET /servers/{server_id}/os-interface/{id}'),
        ('create', MEMBER, 'Attach an interface to a server.', 'POST /servers/{server_id}/os-interface'),
        ('delete', MEMBER, 'Detach an interface from a server.',
         'DELETE /servers/{server_id}/os-interface/{id}'),
    ]),
    *table('os-volumes-attachments', [
        ('index', READER, 'List the volumes of a server.', 'GET /servers/{server_id}/os-volume_attachments'),
        ('show', READER, 'Show a volume of a server.', 'GET /servers/{server_id}/os-volume_attachments/{id}'),
        ('create', MEMBER, 'Attach a volume to a server.', 'POST /servers/{server_id}/os-volume_attachments'),
        ('update', MEMBER, 'Change whether a volume dies with its server.',
         'PUT /servers/{server_id}/os-volume_attachments/{id}'),
        ('swap', SERVICE, 'Exchange a volume of a server.',
         'PUT /servers/{server_id}/os-volume_attachments/{id}'),
        ('delete', MEMBER, 'Detach a volume from a server.',
         'DELETE /servers/{server_id}/os-volume_attachments/{id}'),
    ]),
    *table('os-server-shares', [
        ('index', READER, 'List the shares of a server.', 'GET /servers/{server_id}/shares'),
        ('show', READER, 'Show a share of a server.', 'GET /servers/{server_id}/shares/{id}'),
        ('create', MEMBER, 'Attach a share to a server.', 'POST /servers/{server_id}/shares'),
        ('delete', MEMBER, 'Detach a share from a server.', 'DELETE /servers/{server_id}/shares/{id}'),
    ]),
    *table('os-server-password', [
        ('show', READER, "Show the encrypted administrator's password of a server.",
         'GET /servers/{server_id}/os-server-password'),
        ('clear', MEMBER, "Forget the encrypted administrator's password of a server.",
         'DELETE /servers/{server_id}/os-server-password'),
    ]),
    *table('os-server-diagnostics', [
        ('', ADMIN, 'Show usage of a server as its host sees it.', 'GET /servers/{server_id}/diagnostics'),
    ]),
    *table('os-server-external-events', [
        ('create', SERVICE, 'Report events of other services.', 'POST /os-server-external-events'),
    ]),
    *table('os-server-groups', [
        ('index', READER, 'List server groups.', 'GET /os-server-groups'),
        ('index:all_projects', ADMIN, 'List the server groups of all projects.', 'GET /os-server-groups'),
        ('show', READER, 'Show a server group.', 'GET /os-server-groups/{id}'),
        ('create', MEMBER, 'Create a server group.', 'POST /os-server-groups'),
        ('delete', MEMBER, 'Delete a server group.', 'DELETE /os-server-groups/{id}'),
    ]),
    *table('os-instance-actions', [
        ('list', READER, 'List the actions on a server.', 'GET /servers/{server_id}/os-instance-actions'),
        ('show', READER, 'Show an action on a server.', 'GET /servers/{server_id}/os-instance-actions/{id}'),
        ('events', ADMIN, "Show the traceback of an action's events, and before 2.51 the events.",
         'GET /servers/{server_id}/os-instance-actions/{id}'),
        ('events:details', ADMIN, "Show the details of an action's events.",
         'GET /servers/{server_id}/os-instance-actions/{id}'),
    ]),
    *table('os-migrations', [
        ('index', MANAGER, 'List migrations of the own project.', 'GET /os-migrations'),
        ('index:all_projects', ADMIN, 'List the migrations of all projects.', 'GET /os-migrations'),
        ('index:host', ADMIN, 'Show the hosts in a list of migrations.', 'GET /os-migrations'),
    ]),
    *table('os-console-auth-tokens', [
        ('', ADMIN, 'Show what a console token gives access to.', 'GET /os-console-auth-tokens/{id}'),
    ]),
    *table('os-assisted-volume-snapshots', [
        ('create', SERVICE, 'Take part in a snapshot of a volume.', 'POST /os-assisted-volume-snapshots'),
        ('delete', SERVICE, 'Take part in the deletion of a snapshot.',
         'DELETE /os-assisted-volume-snapshots/{id}'),
    ]),
]
