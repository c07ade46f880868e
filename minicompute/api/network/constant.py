"""What clients ask for and what is always the same here: extensions, the one security group, no quotas."""
from __future__ import annotations

import uuid
from typing import Any

from minicompute import exception
from minicompute.api.image.table import Request

#: only what is there; clients look before they send an attribute
EXTENSIONS = {
    'net-mtu': 'Network MTU',
    'provider': 'Provider Network',
    'quotas': 'Quota management support',
    'security-group': 'security-group',
}
_UPDATED = '2024-01-01T00:00:00-00:00'
_GROUP = uuid.UUID('3b7a6c1e-52c0-5d3c-8f43-6d696e696370')


def resources(req: Request) -> dict[str, Any]:
    base = req.application_url.rstrip('/')
    return {'resources': [{'name': name, 'collection': name + 's', 'links': [
        {'rel': 'self', 'href': f'{base}/{name}s'}]} for name in ('network', 'subnet', 'port')]}


def _extension(alias: str) -> dict[str, Any]:
    return {'alias': alias, 'name': EXTENSIONS[alias], 'description': EXTENSIONS[alias], 'links': [],
            'updated': _UPDATED}


def extensions(_req: Request) -> dict[str, Any]:
    return {'extensions': [_extension(alias) for alias in EXTENSIONS]}


def extension(_req: Request, alias: str) -> dict[str, Any]:
    if alias not in EXTENSIONS:
        raise exception.NotFound(f'Extension with alias {alias[:64]} does not exist.')
    return {'extension': _extension(alias)}


def default_group(project_id: str) -> dict[str, Any]:
    """Servers are protected against spoofing, not filtered: so says the group that every server is in."""
    group_id = str(uuid.uuid5(_GROUP, project_id))
    rules = [{'id': str(uuid.uuid5(_GROUP, f'{project_id}/{direction}')), 'direction': direction,
              'security_group_id': group_id, 'ethertype': 'IPv4', 'protocol': None, 'port_range_min': None,
              'port_range_max': None, 'remote_ip_prefix': '0.0.0.0/0', 'remote_group_id': None,
              'project_id': project_id, 'tenant_id': project_id, 'description': ''}
             for direction in ('egress', 'ingress')]
    return {'id': group_id, 'name': 'default', 'description': 'Permits all IPv4 traffic',
            'project_id': project_id, 'tenant_id': project_id, 'stateful': True, 'shared': False, 'tags': [],
            'security_group_rules': rules}


def security_groups(req: Request) -> dict[str, Any]:
    group = default_group(req.context.project_id or '')
    wanted = req.parameters
    for field in ('id', 'name', 'project_id', 'tenant_id'):
        if field in wanted and group[field] not in wanted[field]:
            return {'security_groups': []}
    return {'security_groups': [group]}


def security_group(req: Request, group_id: str) -> dict[str, Any]:
    group = default_group(req.context.project_id or '')
    if group_id != group['id']:
        raise exception.NotFound(f'Security group {group_id[:64]} does not exist')
    return {'security_group': group}


def quotas(req: Request, project_id: str) -> dict[str, Any]:
    if not req.context.is_admin and project_id != req.context.project_id:
        raise exception.Forbidden('Quotas of another project are shown to an administrator only.')
    return {'quota': dict.fromkeys(('network', 'subnet', 'port', 'security_group', 'security_group_rule',
                                    'router', 'floatingip', 'rbac_policy', 'subnetpool'), -1)}
