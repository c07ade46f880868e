"""One good request for each operation of the Compute API, and who may make it: what tests of every route go by.

Who adds an operation adds its line here, or `tests/functional/api/test_every_role.py` fails and says so.

`REQUESTS`: 'METHOD /path [action]' -> Row(rule, body, foreign, ids).  The rule is the one that decides (its default
stands in tests/unit/policies_of_nova.txt), None where anybody with a token may ask.  `body` is one that the last
microversion of the operation takes; {'2.53': ..., '2.1': ...} are several, each from its microversion on.  `foreign` is
what another project's member is told of an id of ours: None when what is asked for has no project, or the caller is
asked for his own.  Words in braces, such as {server}, stand for ids of things that are there; `ids` says what the
path's variables stand for, where `IDS` does not.
"""
from __future__ import annotations

from typing import Any, NamedTuple

NOWHERE = '00000000-0000-4000-8000-000000000000'
TOO = '00000000-0000-4000-8000-000000000001'
KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8Hk4vO2wMmnC7T3qY3o9x8oTz1c7q6l9k0m7b8n5xQ me@here'
PREFIX = 'os_compute_api:'


class Row(NamedTuple):
    rule: str | None
    body: Any = None
    foreign: int | None = None
    ids: dict[str, str] = {}
    query: str = ''
    who: tuple[str, ...] | None = None      # where the rule's default alone does not tell


class Since(dict[str, Any]):
    """Bodies by the microversion that each begins with."""


def _rows(foreign: int | None = None, **ids: str) -> Any:
    """Row with these as what is not said."""
    def row(rule: str | None, body: Any = None, foreign: int | None = foreign, query: str = '',
            who: tuple[str, ...] | None = None, **more: str) -> Row:
        full = rule if rule is None or rule.split(':')[0] in ('compute', 'network') else PREFIX + rule
        return Row(full, body, foreign, {**ids, **more}, query, who)
    return row


# what a variable of a path stands for, by the path's first part
IDS: dict[str, dict[str, str]] = {
    'servers': {'id': '{server}', 'server_id': '{server}'},
    'flavors': {'id': '1', 'flavor_id': '1'},
    'images': {'id': '{image}', 'image_id': '{image}'},
    'os-aggregates': {'id': '{aggregate}'}, 'os-keypairs': {'id': 'mine'}, 'os-server-groups': {'id': '{group}'},
    'os-quota-sets': {'id': '{project}'}, 'os-quota-class-sets': {'id': 'default'},
    'os-simple-tenant-usage': {'id': '{project}'}, 'os-instance_usage_audit_log': {'id': '2026-01-01 00:00:00'},
    'os-hosts': {'id': 'c1'}, 'os-hypervisors': {'id': 'c1'}, 'os-services': {'id': '{service}'},
    'extensions': {'id': 'os-keypairs'}, 'versions': {'id': 'v2.1'}, 'os-volumes_boot': {'id': '{server}'},
}

_any, _server, _admin = _rows(), _rows(404), _rows()
_NETWORK = {'uuid': NOWHERE}
_CREATE = {'server': {'name': 'new', 'imageRef': '{image}', 'flavorRef': '1', 'networks': 'none'}}
_REBUILD = {'rebuild': {'imageRef': '{image}'}}
_SERVICE = Since({'2.1': {'host': 'c1', 'binary': 'nova-compute'}, '2.53': {'status': 'enabled'}})
_SHARE = {'share': {'share_id': NOWHERE}}
_CONSOLE = {'remote_console': {'protocol': 'vnc', 'type': 'novnc'}}
_EVENT = {'events': [{'name': 'network-changed', 'server_uuid': '{server}'}]}
_SNAPSHOT = {'snapshot': {'volume_id': NOWHERE, 'create_info': {
    'snapshot_id': NOWHERE, 'type': 'qcow2', 'new_file': 'new', 'id': NOWHERE}}}

REQUESTS: dict[str, Row] = {
    # -- catalogues
    'GET /extensions': _any('extensions'), 'GET /extensions/{id}': _any('extensions'),
    'GET /versions/{id}': _any(None), 'GET /limits': _any('limits'),
    'GET /flavors': _any(None), 'GET /flavors/detail': _any(None), 'GET /flavors/{id}': _any(None),
    'POST /flavors': _admin('os-flavor-manage:create', {'flavor': {'name': 'n', 'ram': 1, 'vcpus': 1, 'disk': 1}}),
    'PUT /flavors/{id}': _admin('os-flavor-manage:update', {'flavor': {'description': 'd'}}),
    'DELETE /flavors/{id}': _admin('os-flavor-manage:delete'),
    'POST /flavors/{id}/action addTenantAccess': _admin(
        'os-flavor-access:add_tenant_access', {'addTenantAccess': {'tenant': 'demo'}}),
    'POST /flavors/{id}/action removeTenantAccess': _admin(
        'os-flavor-access:remove_tenant_access', {'removeTenantAccess': {'tenant': 'demo'}}),
    'GET /flavors/{flavor_id}/os-flavor-access': _admin('os-flavor-access'),
    'GET /flavors/{flavor_id}/os-extra_specs': _any('os-flavor-extra-specs:index'),
    'GET /flavors/{flavor_id}/os-extra_specs/{id}': _any('os-flavor-extra-specs:show', id='a'),
    'POST /flavors/{flavor_id}/os-extra_specs': _admin('os-flavor-extra-specs:create', {'extra_specs': {'a': 'b'}}),
    'PUT /flavors/{flavor_id}/os-extra_specs/{id}': _admin('os-flavor-extra-specs:update', {'a': 'b'}, id='a'),
    'DELETE /flavors/{flavor_id}/os-extra_specs/{id}': _admin('os-flavor-extra-specs:delete', id='a'),
    **{f'GET /images{part}': _any(None) for part in (
        '', '/detail', '/{id}', '/{image_id}/metadata', '/{image_id}/metadata/{id}')},
    'DELETE /images/{id}': _any(None), 'DELETE /images/{image_id}/metadata/{id}': _any(None),
    'POST /images/{image_id}/metadata': _any(None, {'metadata': {'a': 'b'}}),
    'PUT /images/{image_id}/metadata': _any(None, {'metadata': {'a': 'b'}}),
    'PUT /images/{image_id}/metadata/{id}': _any(None, {'meta': {'a': 'b'}}, id='a'),
    'GET /os-keypairs': _any('os-keypairs:index'), 'GET /os-keypairs/{id}': _any('os-keypairs:show'),
    'POST /os-keypairs': _any('os-keypairs:create', {'keypair': {'name': 'new', 'public_key': KEY}}),
    'DELETE /os-keypairs/{id}': _any('os-keypairs:delete'),
    # -- hosts
    'GET /os-aggregates': _admin('os-aggregates:index'), 'GET /os-aggregates/{id}': _admin('os-aggregates:show'),
    'POST /os-aggregates': _admin('os-aggregates:create', {'aggregate': {'name': 'new'}}),
    'PUT /os-aggregates/{id}': _admin('os-aggregates:update', {'aggregate': {'name': 'renamed'}}),
    'DELETE /os-aggregates/{id}': _admin('os-aggregates:delete'),
    'POST /os-aggregates/{id}/action add_host': _admin('os-aggregates:add_host', {'add_host': {'host': 'c1'}}),
    'POST /os-aggregates/{id}/action remove_host': _admin('os-aggregates:remove_host', {'remove_host': {'host': 'c1'}}),
    'POST /os-aggregates/{id}/action set_metadata': _admin(
        'os-aggregates:set_metadata', {'set_metadata': {'metadata': {'a': 'b'}}}),
    'POST /os-aggregates/{id}/images': _admin('compute:aggregates:images', {'cache': [{'id': '{image}'}]}),
    'GET /os-availability-zone': _any('os-availability-zone:list'),
    'GET /os-availability-zone/detail': _admin('os-availability-zone:detail'),
    'GET /os-hosts': _admin('os-hosts:list'), 'GET /os-hosts/{id}': _admin('os-hosts:show'),
    'PUT /os-hosts/{id}': _admin('os-hosts:update', {'status': 'enable'}),
    **{f'GET /os-hosts/{{id}}/{verb}': _admin(f'os-hosts:{rule}') for verb, rule in (
        ('reboot', 'reboot'), ('shutdown', 'shutdown'), ('startup', 'start'))},
    'GET /os-hypervisors': _admin('os-hypervisors:list'),
    'GET /os-hypervisors/detail': _admin('os-hypervisors:list-detail'),
    'GET /os-hypervisors/statistics': _admin('os-hypervisors:statistics'),
    'GET /os-hypervisors/{id}': _admin('os-hypervisors:show'),
    **{f'GET /os-hypervisors/{{id}}/{verb}': _admin(f'os-hypervisors:{verb}') for verb in (
        'uptime', 'search', 'servers')},
    'GET /os-services': _admin('os-services:list'), 'DELETE /os-services/{id}': _admin('os-services:delete'),
    'PUT /os-services/{id}': _admin('os-services:update', _SERVICE),
    'GET /os-migrations': _rows(403)('os-migrations:index', query='project_id=demo'),
    # -- projects
    'GET /os-quota-sets/{id}': _rows(403)('os-quota-sets:show'),
    'GET /os-quota-sets/{id}/detail': _rows(403)('os-quota-sets:detail'),
    'GET /os-quota-sets/{id}/defaults': _any('os-quota-sets:defaults'),
    'PUT /os-quota-sets/{id}': _admin('os-quota-sets:update', {'quota_set': {'cores': 5}}),
    'DELETE /os-quota-sets/{id}': _admin('os-quota-sets:delete'),
    'GET /os-quota-class-sets/{id}': _admin('os-quota-class-sets:show'),
    'PUT /os-quota-class-sets/{id}': _admin('os-quota-class-sets:update', {'quota_class_set': {'cores': 5}}),
    'GET /os-simple-tenant-usage': _admin('os-simple-tenant-usage:list'),
    'GET /os-simple-tenant-usage/{id}': _rows(403)('os-simple-tenant-usage:show'),
    'GET /os-instance_usage_audit_log': _admin('os-instance-usage-audit-log:list'),
    'GET /os-instance_usage_audit_log/{id}': _admin('os-instance-usage-audit-log:show'),
    'GET /os-server-groups': _any('os-server-groups:index'),
    'POST /os-server-groups': _any('os-server-groups:create', {'server_group': {'name': 'n', 'policy': 'affinity'}}),
    'GET /os-server-groups/{id}': _rows(404)('os-server-groups:show'),
    'DELETE /os-server-groups/{id}': _rows(404)('os-server-groups:delete'),
    # -- other services
    'POST /os-server-external-events': _any('os-server-external-events:create', _EVENT),
    'POST /os-assisted-volume-snapshots': _any('os-assisted-volume-snapshots:create', _SNAPSHOT),
    'DELETE /os-assisted-volume-snapshots/{id}': _any(
        'os-assisted-volume-snapshots:delete', query='delete_info=%7B%22volume_id%22%3A%22' + NOWHERE + '%22%7D'),
    'GET /os-console-auth-tokens/{id}': _admin('os-console-auth-tokens'),
    # -- servers
    'GET /servers': _any('servers:index'), 'GET /servers/detail': _any('servers:detail'),
    'POST /servers': _any('servers:create', _CREATE),
    'GET /servers/{id}': _server('servers:show'), 'DELETE /servers/{id}': _server('servers:delete'),
    'PUT /servers/{id}': _server('servers:update', {'server': {'name': 'renamed'}}),
    'GET /servers/{server_id}/diagnostics': _server('os-server-diagnostics'),
    'GET /servers/{server_id}/topology': _server('compute:server:topology:index'),
    'GET /servers/{server_id}/ips': _server('ips:index'), 'GET /servers/{server_id}/ips/{id}': _server('ips:show'),
    'GET /servers/{server_id}/os-security-groups': _server('os-security-groups:list'),
    'GET /servers/{server_id}/os-server-password': _server('os-server-password:show'),
    'DELETE /servers/{server_id}/os-server-password': _server('os-server-password:clear'),
    'POST /servers/{server_id}/remote-consoles': _server('os-remote-consoles', _CONSOLE),
    'GET /servers/{server_id}/metadata': _server('server-metadata:index'),
    'POST /servers/{server_id}/metadata': _server('server-metadata:create', {'metadata': {'a': 'b'}}),
    'PUT /servers/{server_id}/metadata': _server('server-metadata:update_all', {'metadata': {'a': 'b'}}),
    'GET /servers/{server_id}/metadata/{id}': _server('server-metadata:show', id='a'),
    'PUT /servers/{server_id}/metadata/{id}': _server('server-metadata:update', {'meta': {'a': 'b'}}, id='a'),
    'DELETE /servers/{server_id}/metadata/{id}': _server('server-metadata:delete', id='a'),
    # That the server of others is there is told here, as by Nova.
    'GET /servers/{server_id}/tags': _rows(403)('os-server-tags:index'),
    'PUT /servers/{server_id}/tags': _rows(403)('os-server-tags:update_all', {'tags': ['a']}),
    'DELETE /servers/{server_id}/tags': _rows(403)('os-server-tags:delete_all'),
    'GET /servers/{server_id}/tags/{id}': _rows(403)('os-server-tags:show', id='a'),
    'PUT /servers/{server_id}/tags/{id}': _rows(403)('os-server-tags:update', id='a'),
    'DELETE /servers/{server_id}/tags/{id}': _rows(403)('os-server-tags:delete', id='a'),
    'GET /servers/{server_id}/shares': _rows(403)('os-server-shares:index'),
    'POST /servers/{server_id}/shares': _rows(403)('os-server-shares:create', _SHARE),
    'GET /servers/{server_id}/shares/{id}': _rows(403)('os-server-shares:show', id=NOWHERE),
    'DELETE /servers/{server_id}/shares/{id}': _rows(403)('os-server-shares:delete', id=NOWHERE),
    'GET /servers/{server_id}/migrations': _server('servers:migrations:index'),
    'GET /servers/{server_id}/migrations/{id}': _server('servers:migrations:show', id='1'),
    'DELETE /servers/{server_id}/migrations/{id}': _server('servers:migrations:delete', id='1'),
    'POST /servers/{server_id}/migrations/{id}/action force_complete': _server(
        'servers:migrations:force_complete', {'force_complete': None}, id='1'),
    'GET /servers/{server_id}/os-instance-actions': _server('os-instance-actions:list'),
    'GET /servers/{server_id}/os-instance-actions/{id}': _server('os-instance-actions:show', id='req-' + NOWHERE),
    'GET /servers/{server_id}/os-interface': _server('os-attach-interfaces:list'),
    'GET /servers/{server_id}/os-interface/{id}': _server('os-attach-interfaces:show', id=NOWHERE),
    'POST /servers/{server_id}/os-interface': _server(
        'os-attach-interfaces:create', {'interfaceAttachment': {'port_id': NOWHERE}}),
    'DELETE /servers/{server_id}/os-interface/{id}': _server('os-attach-interfaces:delete', id=NOWHERE),
    'GET /servers/{server_id}/os-volume_attachments': _server('os-volumes-attachments:index'),
    'GET /servers/{server_id}/os-volume_attachments/{id}': _server('os-volumes-attachments:show', id=NOWHERE),
    'POST /servers/{server_id}/os-volume_attachments': _server(
        'os-volumes-attachments:create', {'volumeAttachment': {'volumeId': NOWHERE}}),
    'PUT /servers/{server_id}/os-volume_attachments/{id}': _server(
        'os-volumes-attachments:update', {'volumeAttachment': {'volumeId': NOWHERE, 'delete_on_termination': True}},
        id=NOWHERE),
    'DELETE /servers/{server_id}/os-volume_attachments/{id}': _server('os-volumes-attachments:delete', id=NOWHERE),
}

_ACTIONS: dict[str, tuple[str | None, Any]] = {
    'addSecurityGroup': ('os-security-groups:add', {'name': 'default'}),
    'removeSecurityGroup': ('os-security-groups:remove', {'name': 'default'}),
    'addFixedIp': ('os-multinic:add', {'networkId': NOWHERE}),
    'removeFixedIp': ('os-multinic:remove', {'address': '10.0.0.1'}),
    'addFloatingIp': ('os-floating-ips:add', {'address': '10.0.0.1'}),
    'removeFloatingIp': (None, {'address': '10.0.0.1'}),     # there is no such address, of whose server to ask
    'changePassword': ('os-admin-password', {'adminPass': 'secret'}),
    'confirmResize': ('servers:confirm_resize', None), 'revertResize': ('servers:revert_resize', None),
    'createBackup': ('os-create-backup', {'name': 'b', 'backup_type': 'daily', 'rotation': 1}),
    'createImage': ('servers:create_image', {'name': 'i'}),
    'evacuate': ('os-evacuate', {}), 'forceDelete': ('os-deferred-delete:force', None),
    'restore': ('os-deferred-delete:restore', None),
    'injectNetworkInfo': ('os-admin-actions:inject_network_info', None),
    'os-resetState': ('os-admin-actions:reset_state', {'state': 'active'}),
    'lock': ('os-lock-server:lock', None), 'unlock': ('os-lock-server:unlock', None),
    'migrate': ('os-migrate-server:migrate', None),
    'os-migrateLive': ('os-migrate-server:migrate_live', {'host': None, 'block_migration': 'auto'}),
    'os-getConsoleOutput': ('os-console-output', {}),
    'os-getVNCConsole': ('os-remote-consoles', {'type': 'novnc'}),
    'os-getSPICEConsole': ('os-remote-consoles', {'type': 'spice-html5'}),
    'os-getSerialConsole': ('os-remote-consoles', {'type': 'serial'}),
    'os-start': ('servers:start', None), 'os-stop': ('servers:stop', None),
    'reboot': ('servers:reboot', {'type': 'SOFT'}), 'rebuild': ('servers:rebuild', _REBUILD['rebuild']),
    'resize': ('servers:resize', {'flavorRef': '1'}), 'trigger_crash_dump': ('servers:trigger_crash_dump', None),
    'pause': ('os-pause-server:pause', None), 'unpause': ('os-pause-server:unpause', None),
    'rescue': ('os-rescue', None), 'unrescue': ('os-unrescue', None),
    'shelve': ('os-shelve:shelve', None), 'shelveOffload': ('os-shelve:shelve_offload', None),
    'unshelve': ('os-shelve:unshelve', None),
    'suspend': ('os-suspend-server:suspend', None), 'resume': ('os-suspend-server:resume', None),
}
REQUESTS |= {f'POST /servers/{{id}}/action {name}': _server(rule, {name: body})
             for name, (rule, body) in _ACTIONS.items()}

# -- what ended at 2.36: proxies to the networks, volumes and bare metal of the project
_proxy = _rows(id=NOWHERE)
_RULE_BODY = {'security_group_rule': {'parent_group_id': NOWHERE, 'ip_protocol': 'tcp', 'from_port': 22, 'to_port': 22,
                                      'cidr': '10.0.0.0/8'}}
REQUESTS |= {
    'GET /os-floating-ip-pools': _proxy('os-floating-ip-pools'),
    'GET /os-floating-ips': _proxy('os-floating-ips:list'), 'GET /os-floating-ips/{id}': _proxy('os-floating-ips:show'),
    'POST /os-floating-ips': _proxy('os-floating-ips:create', {}),
    'DELETE /os-floating-ips/{id}': _proxy('os-floating-ips:delete'),
    'GET /os-networks': _proxy('os-networks:list'), 'GET /os-networks/{id}': _proxy('os-networks:show'),
    'GET /os-tenant-networks': _proxy('os-tenant-networks:list'),
    'GET /os-tenant-networks/{id}': _proxy('os-tenant-networks:show'),
    'GET /os-security-groups': _proxy('os-security-groups:get'),
    'GET /os-security-groups/{id}': _proxy('os-security-groups:show'),
    'POST /os-security-groups': _proxy(
        'os-security-groups:create', {'security_group': {'name': 'n', 'description': 'd'}}),
    'PUT /os-security-groups/{id}': _proxy(
        'os-security-groups:update', {'security_group': {'name': 'n', 'description': 'd'}}),
    'DELETE /os-security-groups/{id}': _proxy('os-security-groups:delete'),
    'POST /os-security-group-rules': _proxy('os-security-groups:rule:create', _RULE_BODY),
    'DELETE /os-security-group-rules/{id}': _proxy('os-security-groups:rule:delete'),
    'GET /os-baremetal-nodes': _proxy('os-baremetal-nodes:list'),
    'GET /os-baremetal-nodes/{id}': _proxy('os-baremetal-nodes:show'),
    'POST /os-baremetal-nodes': _proxy(None, {}), 'DELETE /os-baremetal-nodes/{id}': _proxy(None),
    'POST /os-baremetal-nodes/{id}/action add_interface': _proxy(None, {'add_interface': {}}),
    'POST /os-baremetal-nodes/{id}/action remove_interface': _proxy(None, {'remove_interface': {}}),
    'GET /os-volumes': _proxy('os-volumes:list'), 'GET /os-volumes/detail': _proxy('os-volumes:detail'),
    'GET /os-volumes/{id}': _proxy('os-volumes:show'), 'DELETE /os-volumes/{id}': _proxy('os-volumes:delete'),
    'POST /os-volumes': _proxy('os-volumes:create', {'volume': {'size': 1}}),
    'GET /os-snapshots': _proxy('os-volumes:snapshots:list'),
    'GET /os-snapshots/detail': _proxy('os-volumes:snapshots:detail'),
    'GET /os-snapshots/{id}': _proxy('os-volumes:snapshots:show'),
    'POST /os-snapshots': _proxy('os-volumes:snapshots:create', {'snapshot': {'volume_id': NOWHERE}}),
    'DELETE /os-snapshots/{id}': _proxy('os-volumes:snapshots:delete'),
}

# -- /os-volumes_boot is /servers once more
REQUESTS |= {key.replace('/servers', '/os-volumes_boot'): row for key, row in list(REQUESTS.items())
             if key.split()[1] in ('/servers', '/servers/detail', '/servers/{id}')
             or key.startswith('POST /servers/{id}/action ') and key.split()[2] in (
                 'confirmResize', 'revertResize', 'reboot', 'resize', 'rebuild', 'createImage', 'os-start', 'os-stop',
                 'trigger_crash_dump')}

#: Operations that ask for the role before they look for the server, as Nova's do: whose role does not suffice is told
#: so (403) of the servers of others, too.
ROLE_FIRST = {f'POST /servers/{{id}}/action os-get{kind}Console' for kind in ('VNC', 'SPICE', 'Serial')}

#: The same operations with what asks for more: operation, and the row that then decides.
VARIANTS: list[tuple[str, Row]] = [
    ('GET /servers', _any('servers:index:get_all_tenants', query='all_tenants=1')),
    ('GET /servers/detail', _any('servers:detail:get_all_tenants', query='all_tenants=1')),
    ('POST /servers', _any('servers:create:forced_host', {'server': {
        **_CREATE['server'], 'availability_zone': 'nova:c1'}})),
    ('POST /servers', _any('compute:servers:create:requested_destination', {'server': {
        **_CREATE['server'], 'host': 'c1'}})),
    ('POST /servers', _any('servers:create:zero_disk_flavor', {'server': {**_CREATE['server'], 'flavorRef': 'zero'}})),
    ('POST /servers/{id}/action migrate', _server('os-migrate-server:migrate:host', {'migrate': {'host': 'c2'}})),
    ('POST /servers/{id}/action os-migrateLive', _server(
        'os-migrate-server:migrate_live:host', {'os-migrateLive': {'host': 'c2', 'block_migration': 'auto'}})),
    ('POST /servers/{id}/action unshelve', _server('os-shelve:unshelve_to_host', {'unshelve': {'host': 'c2'}},
                                                      id='{offloaded}')),
    ('POST /servers/{id}/action rebuild', _server('servers:rebuild:trusted_certs', {'rebuild': {
        'imageRef': '{image}', 'trusted_image_certificates': [NOWHERE]}})),
    ('POST /servers', _any('servers:create:trusted_certs', {'server': {
        **_CREATE['server'], 'trusted_image_certificates': [NOWHERE]}})),
    ('POST /servers', _any('servers:create:attach_network', {'server': {
        **_CREATE['server'], 'networks': [_NETWORK]}})),
    ('POST /servers', _any('servers:create:attach_volume', {'server': {
        **_CREATE['server'], 'block_device_mapping_v2': [
            {'source_type': 'image', 'destination_type': 'local', 'boot_index': 0, 'uuid': '{image}'}]}})),
    ('PUT /servers/{server_id}/os-volume_attachments/{id}', _server(
        'os-volumes-attachments:swap', {'volumeAttachment': {'volumeId': TOO}}, id=NOWHERE)),
    ('GET /limits', _any('limits:other_project', query='tenant_id=another')),
    ('GET /os-keypairs', _any('os-keypairs:index', query='user_id=someone', who=('admin',))),
    ('GET /os-keypairs/{id}', _any('os-keypairs:show', query='user_id=someone', who=('admin',))),
    ('DELETE /os-keypairs/{id}', _any('os-keypairs:delete', query='user_id=someone', who=('admin',))),
    ('POST /os-keypairs', _any('os-keypairs:create', {'keypair': {
        'name': 'new', 'public_key': KEY, 'user_id': 'someone'}}, who=('admin',))),
    ('GET /os-migrations', _any('os-migrations:index:all_projects')),
    ('GET /os-migrations', _any('os-migrations:index:all_projects', query='project_id=another')),
]
