"""What clients ask for and what is always the same here: extensions, and quotas."""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api.image.table import Request
from minicompute.conf import CONF

#: only what is there; clients look before they send an attribute
EXTENSIONS = {
    'net-mtu': 'Network MTU',
    'provider': 'Provider Network',
    'quotas': 'Quota management support',
    'security-group': 'security-group',
}
_UPDATED = '2024-01-01T00:00:00-00:00'


def resources(req: Request) -> dict[str, Any]:
    base = req.application_url.rstrip('/')
    return {'resources': [{'name': name, 'collection': name + 's', 'links': [
        {'rel': 'self', 'href': f'{base}/{name}s'}]} for name in (
            'network', 'subnet', 'port', 'security-group', 'security-group-rule')]}


def _extension(alias: str) -> dict[str, Any]:
    return {'alias': alias, 'name': EXTENSIONS[alias], 'description': EXTENSIONS[alias], 'links': [],
            'updated': _UPDATED}


def extensions(_req: Request) -> dict[str, Any]:
    return {'extensions': [_extension(alias) for alias in EXTENSIONS]}


def extension(_req: Request, alias: str) -> dict[str, Any]:
    if alias not in EXTENSIONS:
        raise exception.NotFound(f'Extension with alias {alias[:64]} does not exist.')
    return {'extension': _extension(alias)}


def quotas(req: Request, project_id: str) -> dict[str, Any]:
    if not req.context.is_admin and project_id != req.context.project_id:
        raise exception.Forbidden('Quotas of another project are shown to an administrator only.')
    conf = CONF.local_networks
    return {'quota': dict.fromkeys(('network', 'subnet', 'router', 'floatingip', 'rbac_policy', 'subnetpool'),
                                   -1) | {'port': conf.max_ports, 'security_group': conf.max_security_groups,
                                          'security_group_rule': conf.max_security_group_rules}}
