"""/limits: what a project may have, and what it has."""
from __future__ import annotations

from typing import Any

from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import limits as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api import quota_sets

RULE = 'os_compute_api:limits'

# (name in the answer, quota)
QUOTAS = (('maxServerMeta', 'metadata_items'), ('maxTotalInstances', 'instances'), ('maxTotalCores', 'cores'),
          ('maxTotalRAMSize', 'ram'), ('maxTotalKeypairs', 'key_pairs'), ('maxServerGroups', 'server_groups'),
          ('maxServerGroupMembers', 'server_group_members'))
USED = (('totalInstancesUsed', 'instances'), ('totalCoresUsed', 'cores'), ('totalRAMUsed', 'ram'),
        ('totalServerGroupsUsed', 'server_groups'))
PERSONALITY = (('maxPersonality', 'injected_files'), ('maxPersonalitySize', 'injected_file_content_bytes'))
NETWORK = (('maxSecurityGroups', 'security_groups'), ('maxSecurityGroupRules', 'security_group_rules'),
           ('maxTotalFloatingIps', 'floating_ips'))
NETWORK_USED = (('totalFloatingIpsUsed', 'floating_ips'), ('totalSecurityGroupsUsed', 'security_groups'))


class LimitsController(wsgi.Controller):

    @validation.schema(query=schema.query, answer=schema.answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE, {})
        project = common.last(req, 'tenant_id')
        if project is not None:      # also when it is the caller's own, as Nova has it
            policy.authorize(req.context, f'{RULE}:other_project')
        else:
            project = req.context.project_id or ''
        return {'limits': {'rate': [], 'absolute': absolute(req, quota_sets.detail(project))}}


ROUTES = (('GET', '/limits', LimitsController, 'index'),)


def absolute(req: Request, quotas: dict[str, quota_sets.Quota]) -> dict[str, int]:
    most, used = [*QUOTAS], [*USED]
    if not req.since('2.36'):
        most += NETWORK
        used += NETWORK_USED
    if not req.since('2.39'):
        most.append(('maxImageMeta', 'metadata_items'))
    if not req.since('2.57'):
        most += PERSONALITY
    return {**{name: quotas[resource].limit for name, resource in most},
            **{name: quotas[resource].in_use for name, resource in used}}
