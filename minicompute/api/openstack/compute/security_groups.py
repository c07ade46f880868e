"""Security groups of servers.

The local network backend keeps every card to its own addresses and filters nothing else: each server that has a card is
in the one group `default`, which says so, and there is no other. Nobody is told that a rule protects him which no host
keeps: another group is not found, and `default` cannot be left.
"""
from __future__ import annotations

from typing import Any

from minicompute import exception
from minicompute.api import validation
from minicompute.api.network import constant
from minicompute.api.openstack import wsgi
from minicompute.api.openstack.compute.schemas import security_groups as schema
from minicompute.api.openstack.compute.schemas import servers_query as queries
from minicompute.api.openstack.compute.servers import find
from minicompute.api.openstack.wsgi import Request
from minicompute.compute.api.locks import check_lock
from minicompute.objects import Instance

RULE = 'os_compute_api:os-security-groups:%s'
DEFAULT = 'default'


class SecurityGroupsController(wsgi.Controller):

    @wsgi.expected_errors(404)
    @validation.schema(query=queries.nothing, answer=schema.answer)
    def index(self, req: Request, server_id: str) -> dict[str, Any]:
        instance = find(req, server_id, RULE % 'list')
        return {'security_groups': [view(constant.default_group(instance.project_id))] if instance.network_info else []}

    @wsgi.action('addSecurityGroup')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.add)
    def add(self, req: Request, id: str, body: dict[str, Any]) -> None:
        """The server is in it already, so there is nothing to do."""
        self._named(req, id, 'add', body['addSecurityGroup']['name'])

    @wsgi.action('removeSecurityGroup')
    @wsgi.response(202)
    @wsgi.expected_errors((400, 404, 409))
    @validation.schema(schema.remove)
    def remove(self, req: Request, id: str, body: dict[str, Any]) -> None:
        instance = self._named(req, id, 'remove', body['removeSecurityGroup']['name'])
        raise exception.Conflict(f'Security group {DEFAULT} cannot be removed from instance {instance.uuid}: the local '
                                 'network backend has no other.')

    @staticmethod
    def _named(req: Request, uuid: str, rule: str, name: str) -> Instance:
        """The server, which has a card and so is in the group `name`. Raises NotFound."""
        instance = find(req, uuid, RULE % rule)
        check_lock(req.context, instance)
        if not name.strip():
            raise exception.Invalid('Security group name cannot be empty')
        if name not in (DEFAULT, constant.default_group(instance.project_id)['id']):
            raise exception.NotFound(f'Security group {name[:64]} is not found for project {instance.project_id}')
        if not instance.network_info:
            raise exception.NotFound(f'Instance {uuid} has no port that could be in a security group')
        return instance


ROUTES = (
    ('GET', '/servers/{server_id}/os-security-groups', SecurityGroupsController, 'index'),
    ('POST', '/servers/{id}/action', SecurityGroupsController, wsgi.ACTIONS),
)


def view(group: dict[str, Any]) -> dict[str, Any]:
    """A group of the Network API in the words of the Compute API, which knows rules for what comes in only."""
    rules = [{'id': rule['id'], 'parent_group_id': group['id'], 'ip_protocol': rule['protocol'],
              'from_port': rule['port_range_min'], 'to_port': rule['port_range_max'], 'group': {},
              'ip_range': {'cidr': rule['remote_ip_prefix']}}
             for rule in group['security_group_rules'] if rule['direction'] == 'ingress']
    return {'id': group['id'], 'name': group['name'], 'description': group['description'],
            'tenant_id': group['project_id'], 'rules': rules}
