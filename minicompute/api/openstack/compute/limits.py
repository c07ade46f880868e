"""/limits: what a project may have, and what it has."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import policy
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import limits as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.db import session
from minicompute.db.api import instances, quotas
from minicompute.db.models import instance_groups

RULE = 'os_compute_api:limits'

# (name in the answer, quota); the rest are constants of services that are not ours any more
QUOTAS = (('maxServerMeta', 'metadata_items'), ('maxTotalInstances', 'instances'), ('maxTotalCores', 'cores'),
          ('maxTotalRAMSize', 'ram'), ('maxTotalKeypairs', 'key_pairs'), ('maxServerGroups', 'server_groups'),
          ('maxServerGroupMembers', 'server_group_members'))
PERSONALITY = (('maxPersonality', 'injected_files'), ('maxPersonalitySize', 'injected_file_content_bytes'))
NETWORK = {'maxSecurityGroups': -1, 'maxSecurityGroupRules': -1, 'maxTotalFloatingIps': -1,
           'totalFloatingIpsUsed': 0, 'totalSecurityGroupsUsed': 0}


class LimitsController(wsgi.Controller):

    @validation.schema(query=schema.query, answer=schema.answer)
    def index(self, req: Request) -> dict[str, Any]:
        policy.authorize(req.context, RULE, {})
        project = common.last(req, 'tenant_id')
        if project is not None and project != req.context.project_id:
            policy.authorize(req.context, f'{RULE}:other_project', {'project_id': project})
        with session.read() as conn:
            return {'limits': {'rate': [], 'absolute': absolute(req, conn, project or req.context.project_id or '')}}


ROUTES = (('GET', '/limits', LimitsController, 'index'),)


def absolute(req: Request, conn: sa.Connection, project_id: str) -> dict[str, int]:
    most, used = quotas.limits(conn, project_id), instances.usage(conn, project_id)
    groups = sa.select(sa.func.count()).where(instance_groups.c.project_id == project_id)
    found = {name: most[resource] for name, resource in QUOTAS}
    found.update(totalInstancesUsed=used['instances'], totalCoresUsed=used['cores'], totalRAMUsed=used['ram'],
                 totalServerGroupsUsed=int(conn.execute(groups).scalar_one()))
    if not req.since('2.36'):
        found.update(NETWORK)
    if not req.since('2.39'):
        found['maxImageMeta'] = most['metadata_items']
    if not req.since('2.57'):
        found.update((name, most[resource]) for name, resource in PERSONALITY)
    return found
